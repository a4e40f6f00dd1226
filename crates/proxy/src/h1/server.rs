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
use crate::h1::body::{Decoder, Part};
use crate::h1::parse::{HeadError, HeadScanner, may_begin_request};
use crate::h1::transfer::{Framing, Inflow, Outflow};
use crate::h1::{nominates, parse, push_decimal, push_field, stays_behind};
use crate::head::{BodyLength, Fields, Known, RequestHead, Version};
use crate::io::{Buffer, Deadline, Outbox, Stream};
use crate::limits::MAX_DISCARD_BYTES;
use crate::serve;

/// A client that speaks HTTP/1.
pub(crate) struct H1Client {
    stream: Stream,
    inflow: Inflow,
    outflow: Outflow,
    scanner: HeadScanner,
    deadline: Deadline,
    /// Whether the response's head has been queued.
    started: bool,
    version: Version,
    /// Whether the request was HEAD.
    for_head: bool,
    expect_continue: bool,
    keep_alive: bool,
    aborted: bool,
}

/// How a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    /// With its head, whatever that says of a body (HEAD, 204, 304).
    Head,
    Length(u64),
    Chunks,
    /// With the connection.
    Close,
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
        inflow: Inflow::default(),
        outflow: Outflow::default(),
        scanner: HeadScanner::default(),
        deadline: Deadline::after(core.config.header_timeout),
        started: false,
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
        self.started = false;
        let inbox = &mut self.inflow.buffer;
        let mut idle = inbox.is_empty();
        let timeout = if idle { core.config.keep_alive_timeout } else { core.config.header_timeout };
        self.deadline.set(since + timeout);
        let mut drain = core.drain.watch();
        let end = poll_fn(|cx| {
            loop {
                while let [b'\r', b'\n', ..] = inbox.filled() {
                    // One empty line before a request line is tolerated (RFC 9112 section 2.2); each is consumed
                    // only together with the CRLF, so this stays bounded by what the client sends in time.
                    inbox.consume(2);
                }
                let filled = inbox.filled();
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
                match inbox.poll_read(&mut self.stream, cx) {
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
        parse::request(&inbox.filled()[..end], &core.config.head_limits(), head)?;
        inbox.consume(end);
        self.inflow.begin(Decoder::new(head.body));
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
            let _ = ready!(self.outflow.outbox.poll_flush(&mut self.stream, cx));
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
            loop {
                let inbox = &mut self.inflow.buffer;
                let unread = inbox.filled().len();
                inbox.consume(unread);
                discarded += unread as u64;
                if discarded > MAX_DISCARD_BYTES {
                    return Poll::Ready(());
                }
                match ready!(inbox.poll_read(&mut self.stream, cx)) {
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
        (&mut self.stream, &mut self.inflow.buffer, &mut self.outflow.outbox, &mut self.deadline)
    }

    fn write_head(&mut self, response: &OutgoingResponse<'_>, delimiter: Delimiter) {
        let out = &mut self.outflow.outbox.bytes;
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(response.status));
        out.push(b' ');
        let reason = http::StatusCode::from_u16(response.status).ok().and_then(|s| s.canonical_reason());
        out.extend_from_slice(reason.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        let fields = &response.head.fields;
        let nominated = nominates(fields);
        for (known, name, value) in fields.iter() {
            let skip = match known {
                Known::ContentLength => delimiter != Delimiter::Head,
                Known::Upgrade => !response.upgrade,
                // Ours is among the added fields; a backend that repeats it must not double it.
                Known::XRequestId => true,
                Known::StrictTransportSecurity => response.hsts.is_some(),
                _ => stays_behind(known, name, fields, nominated),
            };
            if !skip {
                push_field(out, name, value);
            }
        }
        for (_, name, value) in response.added.iter() {
            push_field(out, name, value);
        }
        if let Some(hsts) = response.hsts {
            push_field(out, b"Strict-Transport-Security", hsts.as_bytes());
        }
        match delimiter {
            Delimiter::Length(n) => {
                out.extend_from_slice(b"Content-Length: ");
                push_decimal(out, n);
                out.extend_from_slice(b"\r\n");
            }
            Delimiter::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Delimiter::Head | Delimiter::Close => {}
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
            match self.inflow.look().map_err(|e| ClientError::Malformed(e.0))? {
                Part::Data(_) => return Poll::Ready(Ok(Body::Data)),
                Part::End => return Poll::Ready(Ok(Body::End)),
                Part::More => {
                    if !self.started {
                        let outbox = &mut self.outflow.outbox;
                        if std::mem::take(&mut self.expect_continue) {
                            outbox.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                        }
                        ready!(outbox.poll_flush(&mut self.stream, cx)).map_err(|_| ClientError::Gone)?;
                    }
                    let read = ready!(self.inflow.buffer.poll_read(&mut self.stream, cx));
                    if read.map_err(|_| ClientError::Gone)? == 0 {
                        return Poll::Ready(Err(ClientError::Gone));
                    }
                }
            }
        }
    }

    fn body(&self) -> &[u8] {
        self.inflow.body()
    }

    fn consume(&mut self, n: usize) {
        self.inflow.consume(n);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.inflow.trailers()
    }

    fn start(&mut self, response: &OutgoingResponse<'_>) -> Result<(), ClientError> {
        // A request body that nobody has read to its end would be taken for the next request.
        if !self.inflow.is_end() && !response.upgrade {
            self.keep_alive = false;
        }
        let delimiter = match response.body {
            _ if response.upgrade => Delimiter::Close,
            _ if self.for_head || response.status == 204 || response.status == 304 => Delimiter::Head,
            BodyLength::None => Delimiter::Length(0),
            BodyLength::Known(n) => Delimiter::Length(n),
            BodyLength::Unknown if self.version == Version::Http10 => {
                self.keep_alive = false;
                Delimiter::Close
            }
            BodyLength::Unknown => Delimiter::Chunks,
        };
        self.write_head(response, delimiter);
        self.outflow.begin(match delimiter {
            Delimiter::Head => Framing::Bodiless,
            Delimiter::Length(_) | Delimiter::Close => Framing::Plain,
            Delimiter::Chunks => Framing::Chunked(0),
        });
        self.started = true;
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, ClientError>> {
        self.outflow.poll_send(&mut self.stream, cx, data).map_err(|_| ClientError::Gone)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.outflow.outbox.poll_flush(&mut self.stream, cx).map_err(|_| ClientError::Gone)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), ClientError>> {
        self.outflow.end(trailers);
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
        self.started
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    fn http1(&mut self) -> Option<&mut H1Client> {
        Some(self)
    }
}
