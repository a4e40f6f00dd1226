//! The backend's side of HTTP/2: one stream of a shared connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use http::{HeaderMap, Method, Request, Uri};

use crate::exchange::{Backend, BackendError, Body};
use crate::h2io::{self, Incoming};
use crate::head::{BodyLength, Fields, Known, ResponseHead, Version};
use crate::upstream::OutgoingRequest;
use crate::upstream::shared_h2::Slot;

/// An exchange with a backend that speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct H2Backend {
    slot: Slot,
    response: Option<ResponseFuture>,
    send: Option<h2::SendStream<Bytes>>,
    incoming: Option<Incoming>,
    for_head: bool,
}

impl H2Backend {
    pub(crate) fn new(slot: Slot) -> Self {
        Self { slot, response: None, send: None, incoming: None, for_head: false }
    }

    /// Sends the request head on a new stream.
    pub(crate) fn start(&mut self, request: &OutgoingRequest<'_>, scheme: &str) -> Result<(), BackendError> {
        let malformed = |_| BackendError::Malformed("the request cannot be written as HTTP/2");
        let method = Method::from_bytes(request.head.method())
            .map_err(|_| BackendError::Malformed("the method cannot be written as HTTP/2"))?;
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(request.host)
            .path_and_query(&*request.target)
            .build()
            .map_err(malformed)?;
        let mut message = Request::new(());
        *message.method_mut() = method;
        *message.uri_mut() = uri;
        *message.version_mut() = http::Version::HTTP_2;
        let headers = message.headers_mut();
        request.for_each_field(|name, value| h2io::append(headers, name, value));
        match request.body {
            BodyLength::Known(n) => {
                headers.insert(http::header::CONTENT_LENGTH, n.into());
            }
            // gRPC servers want to know that trailers can be read (RFC 9110 section 10.1.4).
            BodyLength::Unknown if request.head.fields.has_token(Known::Te, b"trailers") => {
                headers.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
            }
            _ => {}
        }
        self.for_head = request.head.method() == b"HEAD";
        let bodiless = request.body == BodyLength::None;
        let (response, send) =
            self.slot.requests.send_request(message, bodiless).map_err(|_| BackendError::Refused)?;
        self.response = Some(response);
        self.send = (!bodiless).then_some(send);
        Ok(())
    }
}

impl Backend for H2Backend {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, BackendError>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Err(BackendError::Broken)) };
        h2io::poll_send(send, cx, data).map_err(|_| BackendError::Broken)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BackendError>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), BackendError>> {
        match self.send.take() {
            Some(mut send) => Poll::Ready(h2io::end(&mut send, trailers).map_err(|_| BackendError::Broken)),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), BackendError>> {
        let Some(response) = &mut self.response else { return Poll::Ready(Err(BackendError::Broken)) };
        let response = ready!(Pin::new(response).poll(cx)).map_err(|e| {
            // A stream refused before it was processed, or a connection on its way out, may be tried elsewhere.
            if e.reason() == Some(h2::Reason::REFUSED_STREAM) || e.is_go_away() {
                BackendError::Refused
            } else {
                BackendError::Broken
            }
        })?;
        let (parts, body) = response.into_parts();
        head.clear();
        head.version = Version::Http2;
        head.status = parts.status.as_u16();
        head.keep_alive = true;
        h2io::push_map(&parts.headers, &mut head.fields);
        head.body = body_length(&parts.headers, self.for_head, head.status, body.is_end_stream());
        self.incoming = Some(Incoming::new(body));
        self.response = None;
        Poll::Ready(Ok(()))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, BackendError>> {
        match &mut self.incoming {
            Some(incoming) => incoming.poll_body(cx).map_err(|_| BackendError::Broken),
            None => Poll::Ready(Err(BackendError::Broken)),
        }
    }

    fn body(&self) -> &[u8] {
        self.incoming.as_ref().map_or(&[], Incoming::body)
    }

    fn consume(&mut self, n: usize) {
        if let Some(incoming) = &mut self.incoming {
            incoming.consume(n);
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        self.incoming.as_ref().and_then(Incoming::trailers)
    }
}

/// How long an HTTP/2 response body is. `h2` checks DATA against Content-Length itself.
fn body_length(headers: &HeaderMap, for_head: bool, status: u16, ended: bool) -> BodyLength {
    let declared = headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    match declared {
        _ if for_head || status == 204 || status == 304 || ended => BodyLength::None,
        Some(0) => BodyLength::None,
        Some(n) => BodyLength::Known(n),
        None => BodyLength::Unknown,
    }
}

use std::future::Future;
use std::pin::Pin;
