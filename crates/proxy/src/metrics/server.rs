//! The listener for operators: `GET /metrics`, `/healthz` (the process runs) and `/readyz` (it takes requests).
//!
//! A responder, not a web server: one request per connection, nothing read beyond its head, everything bounded.
//! It belongs on an address that only operators reach; it shows tenants' names.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Metrics;

/// Longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Connections served at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 32;

/// Connections at once that are told that they are not welcome; more are closed without a word, so that none of them
/// takes the place of one that is.
const MAX_REFUSED: usize = 8;

/// For one connection, from accept to close.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `listener` until `shutdown` is ready. `is_ready` decides `/readyz`, `is_welcome` whether anything is shown
/// to an address at all.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    is_ready: impl Fn() -> bool + Send + Sync + 'static,
    is_welcome: impl Fn(IpAddr) -> bool,
    shutdown: impl Future<Output = ()>,
) {
    let is_ready = Arc::new(is_ready);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let refused = Arc::new(Semaphore::new(MAX_REFUSED));
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "metrics listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let metrics = is_welcome(peer.ip()).then(|| metrics.clone());
            let slot = match metrics {
                Some(_) => slots.clone().acquire_owned().await.ok(),
                None => refused.clone().try_acquire_owned().ok(),
            };
            let Some(slot) = slot else { continue };
            let is_ready = is_ready.clone();
            connections.spawn(async move {
                // A client that goes away or is too slow only loses its own answer.
                let _ = timeout(CONNECTION_TIMEOUT, converse(stream, metrics.as_deref(), &*is_ready)).await;
                drop(slot);
            });
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = accept => {}
    }
}

/// Without `metrics` the peer is refused.
async fn converse(
    mut stream: TcpStream,
    metrics: Option<&Metrics>,
    is_ready: &impl Fn() -> bool,
) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    let response = loop {
        if memchr::memmem::find(&head, b"\r\n\r\n").is_some() {
            break match metrics {
                Some(metrics) => respond(&head, metrics, is_ready),
                None => Response::text("403 Forbidden", ""),
            };
        }
        if head.len() >= MAX_HEAD_BYTES {
            break Response::text("431 Request Header Fields Too Large", "");
        }
        let room = MAX_HEAD_BYTES - head.len();
        if (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let Response { status, content_type, body } = response;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Response {
    fn text(status: &'static str, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }
}

fn respond(head: &[u8], metrics: &Metrics, is_ready: &impl Fn() -> bool) -> Response {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let target = line
        .strip_prefix(b"GET ")
        .and_then(|rest| rest.strip_suffix(b" HTTP/1.1").or_else(|| rest.strip_suffix(b" HTTP/1.0")));
    match target {
        Some(b"/healthz") => Response::text("200 OK", "ok\n"),
        Some(b"/readyz") if is_ready() => Response::text("200 OK", "ready\n"),
        Some(b"/readyz") => Response::text("503 Service Unavailable", "not ready\n"),
        Some(b"/metrics") => match metrics.render() {
            Ok(body) => Response {
                status: "200 OK",
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body,
            },
            Err(error) => {
                tracing::error!(%error, "metrics cannot be rendered");
                Response::text("500 Internal Server Error", "")
            }
        },
        _ => Response::text("404 Not Found", ""),
    }
}
