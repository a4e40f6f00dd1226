//! `veloflux demo-upstream`: a small backend to try an edge with. HTTP/1.1 only, for machines of developers only.

mod http;
mod websocket;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::cli::DemoUpstream;
use crate::failure::{Failure, Outcome};
use http::{Bad, Request};

/// Connections served at once; more wait.
const MAX_CONNECTIONS: usize = 4_096;

/// How long a connection may wait for its next request or the rest of one.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// Longest wait that `/slow` grants, in milliseconds.
const MAX_SLOW_MS: u64 = 60_000;

/// Most events that `/sse` sends, and the time between two.
const MAX_EVENTS: u64 = 10_000;
const EVENT_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &DemoUpstream) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let cannot = |error| Failure::new(format!("cannot listen on {}: {error}", args.listen));
        let listener = TcpListener::bind(args.listen).await.map_err(cannot)?;
        println!("{} listens on {}", args.name, listener.local_addr().map_err(cannot)?);
        serve(listener, args.name.clone()).await;
        Ok(())
    })
}

/// Answers on `listener` for ever.
pub(crate) async fn serve(listener: TcpListener, name: String) {
    let name: Arc<str> = name.into();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let name = name.clone();
                tokio::spawn(async move {
                    // Whatever ends a connection ends it for this backend's client, which is told by that.
                    let _ = connection(stream, &name).await;
                    drop(slot);
                });
            }
            // Out of file descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let read = tokio::time::timeout(READ_TIMEOUT, http::read(&mut stream)).await;
        let request = match read.unwrap_or(Ok(None)) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(Bad::Io(error)) => return Err(error),
            Err(Bad::Request(why)) => {
                return respond(&mut stream, "400 Bad Request", name, why.as_bytes(), false).await;
            }
        };
        let keep_alive = request.keep_alive;
        match request.path() {
            "/health" => respond(&mut stream, "200 OK", name, b"ok\n", keep_alive).await?,
            "/slow" => {
                let wait = request.number("ms").unwrap_or(1_000).min(MAX_SLOW_MS);
                tokio::time::sleep(Duration::from_millis(wait)).await;
                let body = format!("waited {wait} ms\n");
                respond(&mut stream, "200 OK", name, body.as_bytes(), keep_alive).await?;
            }
            "/sse" => {
                return events(&mut stream, name, request.number("n").unwrap_or(10).min(MAX_EVENTS)).await;
            }
            "/ws" => {
                if let Some(key) = request.header("sec-websocket-key") {
                    return websocket::echo(&mut stream, key).await;
                }
                respond(
                    &mut stream,
                    "400 Bad Request",
                    name,
                    b"this is a WebSocket
",
                    keep_alive,
                )
                .await?;
            }
            _ => respond(&mut stream, "200 OK", name, mirror(&request, name).as_slice(), keep_alive).await?,
        }
        if !keep_alive {
            return Ok(());
        }
    }
}

/// What was asked, as text.
fn mirror(request: &Request, name: &str) -> Vec<u8> {
    let mut head = format!("Hello from {name}\n\n{} {}\n", request.method, request.target);
    for (header, value) in &request.headers {
        // Writing to a String cannot fail.
        let _ = writeln!(head, "{header}: {value}");
    }
    let mut text = head.into_bytes();
    text.push(b'\n');
    text.extend_from_slice(&request.body);
    text
}

async fn respond(
    stream: &mut BufReader<TcpStream>,
    status: &str,
    name: &str,
    body: &[u8],
    keep_alive: bool,
) -> std::io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         X-Upstream: {name}\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    response.extend_from_slice(body);
    stream.write_all(&response).await
}

/// Sends `count` server-sent events (WHATWG HTML section 9.2), then closes.
async fn events(stream: &mut BufReader<TcpStream>, name: &str, count: u64) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Upstream: {name}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    for number in 1..=count {
        stream.write_all(format!("id: {number}\ndata: event {number} from {name}\n\n").as_bytes()).await?;
        tokio::time::sleep(EVENT_INTERVAL).await;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// Sends `request` to a fresh backend and gives all that comes back.
    async fn ask(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, "one".to_owned()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        server.abort();
        String::from_utf8_lossy(&response).into_owned()
    }

    #[tokio::test]
    async fn mirrors_what_was_asked() {
        let request = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Odd: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let response = ask(request).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("Hello from one\n\nPOST /a?b=c\nhost: x\nx-odd: 1\ncontent-length: 5\nconnection: close\n\nhello"), "{response}");
    }

    #[tokio::test]
    async fn reads_chunked_bodies_and_keeps_connections() {
        let request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
        let response = ask(request).await;
        assert!(
            response.contains("\n\nabcdeHTTP/1.1 200 OK") && response.ends_with("\r\n\r\nok\n"),
            "{response}"
        );
    }

    #[tokio::test]
    async fn refuses_what_is_no_request() {
        for bad in [
            "hello\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(ask(bad.as_bytes()).await.starts_with("HTTP/1.1 400"), "{bad}");
        }
    }

    #[tokio::test]
    async fn sends_events_and_echoes_over_websocket() {
        let response = ask(b"GET /sse?n=2 HTTP/1.1\r\n\r\n").await;
        assert!(
            response.contains("text/event-stream") && response.ends_with("id: 2\ndata: event 2 from one\n\n")
        );

        // The key and its answer are those of RFC 6455 section 1.3; the frames "Hi", masked, and a close.
        let mut request = b"GET /ws HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
        request.extend_from_slice(&[0x81, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2, 0x88, 0x80, 0, 0, 0, 0]);
        let response = ask(&request).await;
        assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
        assert!(response.ends_with("\u{fffd}\u{2}Hi\u{fffd}\0"), "{response}");
    }
}
