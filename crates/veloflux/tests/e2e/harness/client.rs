//! A client that speaks HTTP/1, byte by byte if a test wants.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::message::{Framing, Reader, Stream};
use super::{Response, soon};

/// One connection to the edge.
pub(crate) struct Client(Reader<Box<dyn Stream>>);

impl Client {
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(soon("connect", TcpStream::connect(address)).await.unwrap())
    }

    /// From another of the loopback's addresses.
    pub(crate) async fn plain_from(source: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        Self::over(soon("connect", socket.connect(address)).await.unwrap())
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self(Reader::new(Box::new(stream)))
    }

    /// The same connection twice, to read and to write at once.
    pub(crate) fn split(self) -> (Self, Self) {
        let (read, write) = tokio::io::split(self.0.stream);
        (
            Self::over(tokio::io::join(read, tokio::io::sink())),
            Self::over(tokio::io::join(tokio::io::empty(), write)),
        )
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        soon("the edge reads", async {
            self.0.stream.write_all(bytes.as_ref()).await?;
            self.0.stream.flush().await
        })
        .await
    }

    /// Ends this side's half of the connection.
    pub(crate) async fn shutdown(&mut self) {
        self.0.stream.shutdown().await.unwrap();
    }

    /// The next response, whole.
    pub(crate) async fn response(&mut self) -> Response {
        self.try_response().await.unwrap()
    }

    /// The next response, or how it broke off.
    pub(crate) async fn try_response(&mut self) -> io::Result<Response> {
        soon("a response", async {
            let mut response = self.0.response_head().await?;
            if response.status >= 200 {
                let framing = match response.status {
                    204 | 304 => Framing::Length(0),
                    _ => Framing::of(&response.fields, Framing::UntilClose),
                };
                (response.body, response.trailers) = self.0.body(framing).await?;
            }
            Ok(response)
        })
        .await
    }

    /// A response without its body: to HEAD, or before the body is looked at piece by piece.
    pub(crate) async fn response_head(&mut self) -> Response {
        soon("a response head", self.0.response_head()).await.unwrap()
    }

    /// Sends a GET and reads the response.
    pub(crate) async fn get(&mut self, host: &str, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        self.response().await
    }

    /// Takes exactly `n` bytes.
    pub(crate) async fn exactly(&mut self, n: usize) -> Vec<u8> {
        self.try_exactly(n).await.unwrap()
    }

    /// Takes exactly `n` bytes, or says how the connection broke.
    pub(crate) async fn try_exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        soon("bytes", self.0.exactly(n)).await
    }

    /// Takes some bytes; an error or none: the end.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        soon("bytes", self.0.some()).await
    }

    /// Whether the edge closes, having sent nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        match soon("the edge closes", self.0.some()).await {
            Ok(bytes) => bytes.is_empty(),
            Err(_) => true,
        }
    }
}
