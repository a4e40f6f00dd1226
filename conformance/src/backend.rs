//! The reflecting backend as a server on a free loopback port, one thread per connection.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::crs::reflect::{self, Answer};
use crate::stream::{Framing, Messages};
use crate::wire;

/// Starts the backend; it serves until the process ends.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A connection that fails concerns its peer, which sees it end.
            std::thread::spawn(move || serve(&connection));
        }
    });
    Ok(address)
}

/// Answers requests until the peer closes the connection or sends what is not a request.
fn serve(connection: &TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut messages = Messages::new(connection);
    while let Some(head) = messages.head()? {
        let mut lines = wire::lines(&head);
        let request_line: Vec<_> = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ').collect();
        let headers: Vec<_> = lines.filter_map(wire::field).collect();
        let [method, target, _] = request_line[..] else { return Ok(()) };
        let body = messages.body(Framing::announced(&headers).unwrap_or(Framing::Length(0)))?;
        let answer = reflect::answer(method, target, &body);
        (&*connection).write_all(&bytes(&answer, method != b"HEAD"))?;
    }
    Ok(())
}

fn bytes(answer: &Answer, with_body: bool) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} Reflected\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if with_body {
        bytes.extend_from_slice(&answer.body);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn requests_on_one_connection_are_answered_in_turn() {
        let address = start().unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let wish = r#"{"status": 418, "body": "tea"}"#;
        let request = format!("POST /reflect HTTP/1.1\r\nContent-Length: {}\r\n\r\n{wish}", wish.len());
        connection.write_all(request.as_bytes()).unwrap();
        connection.write_all(b"HEAD / HTTP/1.1\r\n\r\n").unwrap();
        let mut messages = Messages::new(&connection);
        let answer = client::read_answer(&mut messages, false).unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..]), (418, &b"tea"[..]));
        let answer = client::read_answer(&mut messages, true).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
}
