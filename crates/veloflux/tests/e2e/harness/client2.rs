//! A client that speaks HTTP/2.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use super::message::Stream;
use super::{pattern, soon};

/// One connection to the edge.
pub(crate) struct Client2 {
    requests: SendRequest<Bytes>,
    /// Ends when the connection does.
    pub(crate) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// A response that arrived whole.
#[derive(Debug)]
pub(crate) struct Reply2 {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply2 {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|v| v.to_str().unwrap())
    }

    /// Reads a response to its end.
    pub(crate) async fn read(response: ResponseFuture) -> Result<Self, h2::Error> {
        soon("a response", async {
            let (parts, body) = response.await?.into_parts();
            let (body, trailers) = read_body(body).await?;
            Ok(Self { head: Response::from_parts(parts, ()), body, trailers })
        })
        .await
    }
}

/// Reads a body to its end.
pub(crate) async fn read_body(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        bytes.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    Ok((bytes, body.trailers().await?))
}

/// Sends all of `data` as the peer's window allows.
pub(crate) async fn send_body(
    stream: &mut SendStream<Bytes>,
    data: &[u8],
    end: bool,
) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(data);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(h2::Reason::CANCEL.into()),
        };
        stream.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

impl Client2 {
    pub(crate) async fn over(stream: impl Stream + Send + 'static) -> Self {
        let (requests, connection) =
            soon("an HTTP/2 handshake", h2::client::handshake(stream)).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Begins a request; without `body` it is complete.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        body: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = soon("a free stream", self.requests.clone().ready()).await.unwrap();
        ready.send_request(request, !body).unwrap()
    }

    /// Begins a request whose body never comes, unless the edge has ended the connection.
    pub(crate) async fn try_begin(&mut self, request: Request<()>) -> Result<SendStream<Bytes>, h2::Error> {
        let mut ready = soon("a free stream", self.requests.clone().ready()).await?;
        Ok(ready.send_request(request, false)?.1)
    }

    /// Sends a request and reads its response.
    pub(crate) async fn request(&mut self, request: Request<()>) -> Result<Reply2, h2::Error> {
        let (response, _) = self.begin(request, false).await;
        Reply2::read(response).await
    }

    pub(crate) async fn get(&mut self, url: &str) -> Reply2 {
        self.request(Request::get(url).body(()).unwrap()).await.unwrap()
    }

    /// Sends `len` bytes of [`pattern`] and reads the response at the same time.
    pub(crate) async fn post_pattern(&mut self, request: Request<()>, len: usize) -> Reply2 {
        let (response, mut stream) = self.begin(request, true).await;
        let sent = pattern(len);
        let (sent, reply) = tokio::join!(send_body(&mut stream, &sent, true), Reply2::read(response));
        sent.unwrap();
        reply.unwrap()
    }
}
