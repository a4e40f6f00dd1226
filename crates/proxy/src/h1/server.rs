//! The client's side of HTTP/1: one connection, its requests one after the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::accept::ConnectionInfo;
use crate::core::Core;
use crate::exchange::{Body, Client, ClientError, OutgoingResponse};
use crate::h1::body::{Decoder, Part, push_chunk_size};
use crate::h1::parse::{HeadError, HeadScanner, may_begin_request};
use crate::h1::{nominates, parse, push_decimal, push_field, stays_behind};
use crate::head::{BodyLength, Fields, Known, RequestHead, Version};
use crate::io::{Buffer, Deadline, Outbox, Stream};
use crate::limits::MAX_DISCARD_BYTES;
use crate::serve;

/// Responses up to this size leave in one write together with their head; larger bodies go out from where they
/// lie.
const COALESCE_BYTES: usize = 8 * 1024;

/// A client that speaks HTTP/1.
pub(crate) struct H1Client {
    stream: Stream,
    inbox: Buffer,
    outbox: Outbox,
    scanner: HeadScanner,
    decoder: Decoder,
    /// Body bytes at the front of `inbox` that the decoder has shown.
    available: usize,
    deadline: Deadline,
    response: ResponseState,
    version: Version,
    /// Whether the request was HEAD.
    for_head: bool,
    expect_continue: bool,
    keep_alive: bool,
    aborted: bool,
}

/// Where the response stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseState {
    Waiting,
    /// No body follows, whatever is offered (HEAD, 204, 304).
    Bodiless,
    /// As many bytes as Content-Length says.
    Length(u64),
    /// Chunked; this many bytes of the chunk that was begun are still to come.
    Chunked(usize),
    /// Until the connection closes.
    Close,
    Ended,
}

/// What comes next on a connection.
enum Next {
    Request,
    Closed,
}

/// Serves one HTTP/1 connection until it ends.
pub(crate) async fn run(core: Rc<Core>, stream: Stream, info: ConnectionInfo) {
    let mut client = H1Client {
        stream,
        inbox: Buffer::default(),
        outbox: Outbox::default(),
        scanner: HeadScanner::default(),
        decoder: Decoder::default(),
        available: 0,
        deadline: Deadline::after(core.config.header_timeout),
        response: ResponseState::Waiting,
        version: Version::Http11,
        for_head: false,
        expect_continue: false,
        keep_alive: true,
        aborted: false,
    };
    let mut head = RequestHead::default();
    let mut since = core.now();
    loop {
        match client.next_request(&core, &mut head, since).await {
            Ok(Next::Request) => serve::serve(&core, &info, &head, &mut client).await,
            Ok(Next::Closed) => break,
            Err(error) => {
                client.keep_alive = false;
                serve::refuse_head(&core, &info, error, &mut client).await;
                break;
            }
        }
        if !client.keep_alive || client.aborted {
            break;
        }
        since = core.recent();
    }
    client.close().await;
}

impl H1Client {
    /// Reads the next request head; `since` is when the connection became free for it.
    async fn next_request(
        &mut self,
        core: &Core,
        head: &mut RequestHead,
        since: Instant,
    ) -> Result<Next, HeadError> {
        self.scanner.reset();
        self.available = 0;
        self.response = ResponseState::Waiting;
        let mut idle = self.inbox.is_empty();
        let timeout = if idle { core.config.keep_alive_timeout } else { core.config.header_timeout };
        self.deadline.set(since + timeout);
        let mut drain = core.drain.watch();
        let end = poll_fn(|cx| {
            loop {
                while let [b'\r', b'\n', ..] = self.inbox.filled() {
                    // One empty line before a request line is tolerated (RFC 9112 section 2.2); each is consumed
                    // only together with the CRLF, so this stays bounded by what the client sends in time.
                    self.inbox.consume(2);
                }
                let filled = self.inbox.filled();
                if let Some(&first) = filled.first() {
                    if !may_begin_request(first) {
                        return Poll::Ready(Err(HeadError::Malformed(
                            "the first byte cannot begin a request",
                        )));
                    }
                    if let Some(end) = self.scanner.scan(filled, &core.config.head_limits())? {
                        return Poll::Ready(Ok(Some(end)));
                    }
                    if idle {
                        idle = false;
                        self.deadline.set_after(core.config.header_timeout);
                    }
                }
                match self.inbox.poll_read(&mut self.stream, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => {
                        if idle && drain.poll(cx).is_ready() {
                            return Poll::Ready(Ok(None));
                        }
                        ready!(self.deadline.poll_due(cx));
                        return Poll::Ready(if idle { Ok(None) } else { Err(HeadError::Timeout) });
                    }
                }
            }
        })
        .await?;
        let Some(end) = end else { return Ok(Next::Closed) };
        parse::request(&self.inbox.filled()[..end], &core.config.head_limits(), head)?;
        self.inbox.consume(end);
        self.decoder = Decoder::new(head.body);
        self.version = head.version;
        self.for_head = head.method() == b"HEAD";
        self.expect_continue = head.expect_continue;
        self.keep_alive = head.keep_alive && !core.drain.is_draining();
        Ok(Next::Request)
    }

    /// Closes so that a client that still sends can read what it was told (RFC 9112 section 9.6).
    async fn close(mut self) {
        if self.aborted {
            // A reset instead of an orderly end: a response that ends with the connection must not look whole.
            let _ = socket2::SockRef::from(self.stream.tcp()).set_linger(Some(std::time::Duration::ZERO));
            return;
        }
        self.deadline.set_after(std::time::Duration::from_secs(2));
        let mut discarded = 0;
        poll_fn(|cx| {
            if self.deadline.poll_due(cx).is_ready() {
                return Poll::Ready(());
            }
            let _ = ready!(self.outbox.poll_flush(&mut self.stream, cx));
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
            loop {
                let unread = self.inbox.filled().len();
                self.inbox.consume(unread);
                discarded += unread as u64;
                if discarded > MAX_DISCARD_BYTES {
                    return Poll::Ready(());
                }
                match ready!(self.inbox.poll_read(&mut self.stream, cx)) {
                    Ok(n) if n > 0 => {}
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    /// The parts that a tunnel works on: the stream, and what was read ahead.
    pub(crate) fn tunnel_parts(&mut self) -> (&mut Stream, &mut Buffer, &mut Outbox, &mut Deadline) {
        self.keep_alive = false;
        (&mut self.stream, &mut self.inbox, &mut self.outbox, &mut self.deadline)
    }

    fn write_head(&mut self, response: &OutgoingResponse<'_>) {
        let out = &mut self.outbox.bytes;
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(response.status));
        out.push(b' ');
        let reason = http::StatusCode::from_u16(response.status).ok().and_then(|s| s.canonical_reason());
        out.extend_from_slice(reason.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        let fields = &response.head.fields;
        let nominated = nominates(fields);
        let keeps_length = self.response == ResponseState::Bodiless;
        for (known, name, value) in fields.iter() {
            let skip = match known {
                Known::ContentLength => !keeps_length,
                Known::Upgrade => !response.upgrade,
                // Ours is among the added fields; a backend that repeats it must not double it.
                Known::XRequestId => true,
                _ => stays_behind(known, name, fields, nominated),
            };
            if !skip {
                push_field(out, name, value);
            }
        }
        for (_, name, value) in response.added.iter() {
            push_field(out, name, value);
        }
        match self.response {
            ResponseState::Length(n) => {
                out.extend_from_slice(b"Content-Length: ");
                push_decimal(out, n);
                out.extend_from_slice(b"\r\n");
            }
            ResponseState::Chunked(_) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            _ => {}
        }
        if response.upgrade {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        } else if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Client for H1Client {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, ClientError>> {
        loop {
            let (skip, part) =
                self.decoder.look(self.inbox.filled()).map_err(|e| ClientError::Malformed(e.0))?;
            self.inbox.consume(skip);
            match part {
                Part::Data(n) => {
                    self.available = n;
                    return Poll::Ready(Ok(Body::Data));
                }
                Part::End => return Poll::Ready(Ok(Body::End)),
                Part::More => {
                    if std::mem::take(&mut self.expect_continue) && !self.started() {
                        self.outbox.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    if !self.started() {
                        ready!(self.outbox.poll_flush(&mut self.stream, cx))
                            .map_err(|_| ClientError::Gone)?;
                    }
                    let read = ready!(self.inbox.poll_read(&mut self.stream, cx));
                    if read.map_err(|_| ClientError::Gone)? == 0 {
                        return Poll::Ready(Err(ClientError::Gone));
                    }
                }
            }
        }
    }

    fn body(&self) -> &[u8] {
        &self.inbox.filled()[..self.available]
    }

    fn consume(&mut self, n: usize) {
        self.inbox.consume(n);
        self.decoder.took(n);
        self.available -= n;
    }

    fn trailers(&self) -> Option<&Fields> {
        let trailers = self.decoder.trailers();
        (!trailers.list.is_empty()).then_some(trailers)
    }

    fn start(&mut self, response: &OutgoingResponse<'_>) -> Result<(), ClientError> {
        // A request body that nobody has read to its end would be taken for the next request.
        if !self.decoder.is_end() && !response.upgrade {
            self.keep_alive = false;
        }
        self.response = match response.body {
            _ if response.upgrade => ResponseState::Close,
            _ if self.for_head || response.status == 204 || response.status == 304 => ResponseState::Bodiless,
            BodyLength::None => ResponseState::Length(0),
            BodyLength::Known(n) => ResponseState::Length(n),
            BodyLength::Unknown if self.version == Version::Http10 => {
                self.keep_alive = false;
                ResponseState::Close
            }
            BodyLength::Unknown => ResponseState::Chunked(0),
        };
        self.write_head(response);
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, ClientError>> {
        let gone = |_| ClientError::Gone;
        let out = &mut self.outbox;
        let coalesce = out.bytes.len() + data.len() <= COALESCE_BYTES;
        match &mut self.response {
            ResponseState::Waiting | ResponseState::Bodiless | ResponseState::Ended => {
                Poll::Ready(Ok(data.len()))
            }
            ResponseState::Length(_) | ResponseState::Close if coalesce => {
                out.bytes.extend_from_slice(data);
                Poll::Ready(Ok(data.len()))
            }
            ResponseState::Length(_) | ResponseState::Close => {
                out.poll_write(&mut self.stream, cx, data).map_err(gone)
            }
            ResponseState::Chunked(0) if coalesce => {
                push_chunk_size(&mut out.bytes, data.len());
                out.bytes.extend_from_slice(data);
                out.bytes.extend_from_slice(b"\r\n");
                Poll::Ready(Ok(data.len()))
            }
            ResponseState::Chunked(left) => {
                if *left == 0 {
                    push_chunk_size(&mut out.bytes, data.len());
                    *left = data.len();
                }
                let n = ready!(out.poll_write(&mut self.stream, cx, &data[..data.len().min(*left)]))
                    .map_err(gone)?;
                *left -= n;
                if *left == 0 {
                    out.bytes.extend_from_slice(b"\r\n");
                }
                Poll::Ready(Ok(n))
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.outbox.poll_flush(&mut self.stream, cx).map_err(|_| ClientError::Gone)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), ClientError>> {
        if let ResponseState::Chunked(_) = self.response {
            let out = &mut self.outbox.bytes;
            out.extend_from_slice(b"0\r\n");
            for (known, name, value) in trailers.into_iter().flat_map(Fields::iter) {
                // Framing and routing fields have no meaning in a trailer (RFC 9110 section 6.5.1).
                if known == Known::Other {
                    push_field(out, name, value);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        self.response = ResponseState::Ended;
        self.poll_flush(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_closed(cx)
    }

    fn abort(&mut self) {
        self.aborted = true;
        self.keep_alive = false;
    }

    fn close_after(&mut self) {
        self.keep_alive = false;
    }

    fn started(&self) -> bool {
        self.response != ResponseState::Waiting
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    fn http1(&mut self) -> Option<&mut H1Client> {
        Some(self)
    }
}
