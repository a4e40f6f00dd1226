//! Sends raw bytes to a server and says what came back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::stream::{Framing, Messages};
use crate::wire;

/// How long a connection may take to be accepted.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `X-Request-Id`.
    pub request_id: Option<String>,
    /// Whether the server announced that it closes the connection.
    pub closes: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response.
    Answered(Answer),
    /// The connection was closed without one.
    Closed,
    /// Nothing, or only part of a response, within the time allowed.
    Silent,
}

/// Sends `request` on a new connection and waits for the response, at most `limit` without a byte.
pub fn send(address: SocketAddr, request: &[u8], limit: Duration) -> io::Result<Outcome> {
    let mut connection = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    connection.set_read_timeout(Some(limit))?;
    connection.set_nodelay(true)?;
    // A server may refuse and close before it has read everything: that answer is what counts.
    let _ = connection.write_all(request);
    let expects_no_body = request.starts_with(b"HEAD ");
    match read_answer(&mut Messages::new(&connection), expects_no_body) {
        Ok(Some(answer)) => Ok(Outcome::Answered(answer)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Ok(Outcome::Silent)
        }
        Ok(None) | Err(_) => Ok(Outcome::Closed),
    }
}

/// Reads one final response, passing over interim ones (RFC 9110 section 15.2); 101 is final.
pub fn read_answer<R: Read>(messages: &mut Messages<R>, to_head: bool) -> io::Result<Option<Answer>> {
    loop {
        let Some(head) = messages.head()? else { return Ok(None) };
        let mut lines = wire::lines(&head);
        let status = lines.next().and_then(status).ok_or_else(|| io::Error::other("no status line"))?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let headers: Vec<_> = lines.filter_map(wire::field).collect();
        let has_no_body = to_head || matches!(status, 101 | 204 | 304);
        let framing = if has_no_body { Framing::Length(0) } else { announced_or_close(&headers) };
        let text =
            |name| wire::header(&headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
        let request_id = text("X-Request-Id");
        let closes = text("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        return Ok(Some(Answer { status, request_id, closes, body: messages.body(framing)? }));
    }
}

fn announced_or_close(headers: &[wire::Field<'_>]) -> Framing {
    Framing::announced(headers).unwrap_or(Framing::UntilClose)
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], to_head: bool) -> io::Result<Option<Answer>> {
        read_answer(&mut Messages::new(bytes), to_head)
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let answer =
            read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Request-Id: 7\r\n\r\nbody", false);
        let answer = answer.unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.request_id.as_deref(), &answer.body[..]),
            (200, Some("7"), &b"body"[..])
        );
    }

    #[test]
    fn some_responses_have_no_body() {
        for (head, to_head) in
            [("200 OK\r\nContent-Length: 9", true), ("204 No Content", false), ("304 Same", false)]
        {
            let answer = read(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), to_head).unwrap().unwrap();
            assert_eq!(answer.body, b"");
        }
    }

    #[test]
    fn what_is_not_a_response_is_an_error_and_nothing_is_none() {
        assert!(read(b"SSH-2.0-x\r\n\r\n", false).is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", false).is_err());
        assert_eq!(read(b"", false).unwrap(), None);
    }
}
