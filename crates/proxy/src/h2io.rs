//! HTTP/2 streams as the exchange wants them: what the client's and the backend's side share.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::exchange::Body;
use crate::h1::may_trail;
use crate::head::Fields;

/// Most bytes handed to a stream at once; one DATA frame of the default maximum size (RFC 9113 section 6.5.2).
const FRAME_BYTES: usize = 16 * 1024;

/// The stream was reset or its connection broke.
#[derive(Debug)]
pub(crate) struct StreamBroken;

impl From<h2::Error> for StreamBroken {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: RecvStream,
    chunk: Bytes,
    trailers: Option<Fields>,
    ended: bool,
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, chunk: Bytes::new(), trailers: None, ended: false }
    }

    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, StreamBroken>> {
        while self.chunk.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(Body::End));
            }
            if let Some(chunk) = ready!(self.stream.poll_data(cx)) {
                self.chunk = chunk?;
                continue;
            }
            if let Some(map) = ready!(self.stream.poll_trailers(cx))? {
                let mut trailers = Fields::default();
                push_map(&map, &mut trailers);
                self.trailers = Some(trailers);
            }
            self.ended = true;
        }
        Poll::Ready(Ok(Body::Data))
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.chunk
    }

    /// Takes bytes and lets the peer send as many more.
    pub(crate) fn consume(&mut self, n: usize) {
        self.chunk.advance(n);
        // Fails only on a stream that is gone already, which the next poll reports.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }
}

/// Sends body bytes within the peer's window; gives how many, more than none.
pub(crate) fn poll_send(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    data: &[u8],
) -> Poll<Result<usize, StreamBroken>> {
    let wanted = data.len().min(FRAME_BYTES);
    if stream.capacity() == 0 {
        stream.reserve_capacity(wanted);
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(n)) if n > 0 => {}
            Some(Ok(_)) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Err(_)) | None => return Poll::Ready(Err(StreamBroken)),
        }
    }
    let n = wanted.min(stream.capacity());
    stream.send_data(Bytes::copy_from_slice(&data[..n]), false)?;
    Poll::Ready(Ok(n))
}

/// Ends a stream, with trailers if there are any.
pub(crate) fn end(stream: &mut SendStream<Bytes>, trailers: Option<&Fields>) -> Result<(), StreamBroken> {
    match trailers {
        Some(trailers) => {
            let mut map = HeaderMap::with_capacity(trailers.list.len());
            for (known, name, value) in trailers.iter() {
                if may_trail(known, name) {
                    append(&mut map, name, value);
                }
            }
            stream.send_trailers(map)?;
        }
        None => stream.send_data(Bytes::new(), true)?,
    }
    Ok(())
}

/// Adds a field to a map. Names and values were checked when they were read, so nothing is lost here.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

/// Copies a map into fields.
pub(crate) fn push_map(map: &HeaderMap, fields: &mut Fields) {
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
}
