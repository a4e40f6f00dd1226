//! Backends that speak HTTP/2 with prior knowledge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::net::TcpListener;

/// A running backend; it ends with the test's runtime.
pub(crate) struct Backend2 {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request<()>>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend2 {
    /// A backend on a free port that handles each stream by `handler`.
    pub(crate) async fn start<F>(
        handler: impl Fn(RecvStream, SendResponse<Bytes>) -> F + Send + Clone + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::limited(1000, usize::MAX, handler).await
    }

    /// The same with so many streams at once, and so many altogether, on one connection.
    pub(crate) async fn limited<F>(
        streams: u32,
        requests_per_connection: usize,
        handler: impl Fn(RecvStream, SendResponse<Bytes>) -> F + Send + Clone + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (seen, opened) = (requests.clone(), connections.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, SeqCst);
                let (handler, seen) = (handler.clone(), seen.clone());
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let mut connection = builder.max_concurrent_streams(streams).handshake(stream).await?;
                    let mut served = 0;
                    while let Some(accepted) = connection.accept().await {
                        let (request, respond) = accepted?;
                        let (parts, body) = request.into_parts();
                        seen.lock().unwrap().push(Request::from_parts(parts, ()));
                        // A stream that breaks is what some tests want.
                        tokio::spawn(handler(body, respond));
                        served += 1;
                        if served == requests_per_connection {
                            connection.graceful_shutdown();
                        }
                    }
                    Ok::<(), h2::Error>(())
                });
            }
        });
        Self { address, requests, connections }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Requests whose head arrived.
    pub(crate) fn requests(&self) -> Vec<Request<()>> {
        self.requests.lock().unwrap().clone()
    }
}
