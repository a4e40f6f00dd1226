//! The backend's side of HTTP/1: one connection, kept for reuse when an exchange left it clean.

use std::task::{Context, Poll, ready};

use crate::exchange::{Backend, BackendError, Body};
use crate::h1::body::{Decoder, Part};
use crate::h1::parse::{self, HeadError, HeadLimits, HeadScanner};
use crate::h1::transfer::{Framing, Inflow, Outflow};
use crate::h1::{push_decimal, push_field};
use crate::head::{BodyLength, Fields, Known, ResponseHead};
use crate::io::{Buffer, Deadline, Outbox, Stream};
use crate::limit::Pacer;
use crate::limits::MAX_INTERIM_RESPONSES;
use crate::upstream::OutgoingRequest;

/// A connection to a backend that speaks HTTP/1.
#[derive(Debug)]
pub(crate) struct H1Backend {
    stream: Stream,
    inflow: Inflow,
    outflow: Outflow,
    scanner: HeadScanner,
    limits: HeadLimits,
    /// Whether the connection has served an exchange before.
    reused: bool,
    /// Whether the backend has sent anything in this exchange.
    heard: bool,
    interim: u32,
    for_head: bool,
    request_ended: bool,
    head_received: bool,
    keep_alive: bool,
}

impl H1Backend {
    pub(crate) fn new(stream: Stream, limits: HeadLimits) -> Self {
        Self {
            stream,
            inflow: Inflow::default(),
            outflow: Outflow::default(),
            scanner: HeadScanner::default(),
            limits,
            reused: false,
            heard: false,
            interim: 0,
            for_head: false,
            request_ended: false,
            head_received: false,
            keep_alive: false,
        }
    }

    /// Whether the connection, kept idle until now, can take a request. An idle backend has nothing to say:
    /// readable means closed, or out of step.
    ///
    /// What the runtime knows costs nothing to ask. `careful` also asks the system, for a request that must not
    /// be sent twice and so could not be repeated if the backend had just closed.
    pub(crate) fn is_usable(&self, careful: bool) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if !self.inflow.buffer.is_empty() || self.stream.tcp().poll_read_ready(&mut cx).is_ready() {
            return false;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let would_block = |e: std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
        !careful || socket2::SockRef::from(self.stream.tcp()).peek(&mut byte).is_err_and(would_block)
    }

    /// Whether the exchange left the connection fit for another.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.request_ended
            && self.head_received
            && self.inflow.is_end()
            && self.inflow.buffer.is_empty()
            && self.outflow.outbox.is_empty()
    }

    /// Makes the connection ready to be kept idle.
    pub(crate) fn park(&mut self) {
        self.reused = true;
        self.inflow.buffer.release();
    }

    /// Queues a request head.
    pub(crate) fn start(&mut self, request: &OutgoingRequest<'_>) {
        self.scanner.reset();
        self.heard = false;
        self.interim = 0;
        self.request_ended = false;
        self.head_received = false;
        self.keep_alive = false;
        self.inflow.begin(Decoder::default());
        self.for_head = request.head.method() == b"HEAD";
        self.outflow.outbox.clear();
        let out = &mut self.outflow.outbox.bytes;
        out.extend_from_slice(request.head.method());
        out.push(b' ');
        out.extend_from_slice(&request.target);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(request.host);
        out.extend_from_slice(b"\r\n");
        request.for_each_field(|name, value| push_field(out, name, value));
        match request.body {
            BodyLength::Known(n) => {
                out.extend_from_slice(b"Content-Length: ");
                push_decimal(out, n);
                out.extend_from_slice(b"\r\n");
            }
            BodyLength::Unknown => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            // Methods with a defined body say that theirs is empty (RFC 9110 section 8.6).
            BodyLength::None if matches!(request.head.method(), b"POST" | b"PUT" | b"PATCH") => {
                out.extend_from_slice(b"Content-Length: 0\r\n");
            }
            BodyLength::None => {}
        }
        if let Some(protocol) = request.upgrade() {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            push_field(out, b"Upgrade", protocol);
        }
        out.extend_from_slice(b"\r\n");
        self.outflow.begin(match request.body {
            BodyLength::None => Framing::Bodiless,
            BodyLength::Known(_) => Framing::Plain,
            BodyLength::Unknown => Framing::Chunked(0),
        });
    }

    /// The parts that a tunnel works on.
    pub(crate) fn tunnel_parts(&mut self) -> (&mut Stream, &mut Buffer, &mut Outbox) {
        self.keep_alive = false;
        (&mut self.stream, &mut self.inflow.buffer, &mut self.outflow.outbox)
    }

    /// A connection that ends before the first byte of an answer was closed while it lay idle.
    fn broken(&self) -> BackendError {
        if self.reused && !self.heard { BackendError::Stale } else { BackendError::Broken }
    }

    /// Reads one more piece; an end is an error unless the body may end so.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BackendError>> {
        match ready!(self.inflow.buffer.poll_read(&mut self.stream, cx)) {
            Ok(n) => {
                self.heard |= n > 0;
                Poll::Ready(Ok(n))
            }
            Err(_) => Poll::Ready(Err(self.broken())),
        }
    }
}

impl Backend for H1Backend {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, BackendError>> {
        let broken = self.broken();
        self.outflow.poll_send(&mut self.stream, cx, data).map_err(|_| broken)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackendError>> {
        let broken = self.broken();
        self.outflow.outbox.poll_flush(&mut self.stream, cx).map_err(|_| broken)
    }

    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<Result<(), BackendError>> {
        self.outflow.end(trailers);
        ready!(self.poll_flush(cx))?;
        self.request_ended = true;
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), BackendError>> {
        loop {
            match self.scanner.scan(self.inflow.buffer.filled(), &self.limits) {
                Err(_) => return Poll::Ready(Err(BackendError::Malformed("the response head is malformed"))),
                Ok(Some(end)) => {
                    let raw = &self.inflow.buffer.filled()[..end];
                    if let Err(error) = parse::response(raw, &self.limits, self.for_head, head) {
                        return Poll::Ready(Err(BackendError::Malformed(match error {
                            HeadError::Malformed(why) => why,
                            HeadError::Version => "the response is not HTTP/1",
                            HeadError::TransferCoding => "the response has an unknown transfer coding",
                            _ => "the response head is too large",
                        })));
                    }
                    self.inflow.buffer.consume(end);
                    self.scanner.reset();
                    if head.status < 200 && head.status != 101 {
                        self.interim += 1;
                        if self.interim > MAX_INTERIM_RESPONSES {
                            return Poll::Ready(Err(BackendError::Malformed("too many interim responses")));
                        }
                        continue;
                    }
                    self.head_received = true;
                    self.keep_alive = head.keep_alive && head.status != 101;
                    let until_close = head.body == BodyLength::Unknown
                        && head.fields.first(Known::TransferEncoding).is_none();
                    let body = if until_close { Decoder::until_close() } else { Decoder::new(head.body) };
                    self.inflow.begin(body);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {
                    if ready!(self.poll_more(cx))? == 0 {
                        return Poll::Ready(Err(self.broken()));
                    }
                }
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, BackendError>> {
        loop {
            match self.inflow.look().map_err(|e| BackendError::Malformed(e.0))? {
                Part::Data(_) => return Poll::Ready(Ok(Body::Data)),
                Part::End => return Poll::Ready(Ok(Body::End)),
                Part::More => {
                    if ready!(self.poll_more(cx))? == 0 {
                        self.keep_alive = false;
                        self.inflow.eof().map_err(|_| BackendError::Broken)?;
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
}

/// Connects the two sides of an upgraded connection until both have ended or nothing moved for `idle`.
pub(crate) async fn tunnel(
    client: TunnelEnd<'_>,
    backend: (&mut Stream, &mut Buffer, &mut Outbox),
    idle: std::time::Duration,
    passed: &mut (u64, u64),
) {
    let TunnelEnd { stream: client_stream, inbox: client_in, outbox: client_out, deadline, pacer } = client;
    let (backend_stream, backend_in, backend_out) = backend;
    let mut up = Way::default();
    let mut down = Way::default();
    let mut seen = (u64::MAX, 0);
    std::future::poll_fn(|cx| {
        // The 101 head still waits in the client's outbox; it leaves before the first tunnelled byte.
        if client_out.poll_flush(client_stream, cx)?.is_pending()
            || backend_out.poll_flush(backend_stream, cx)?.is_pending()
        {
            return deadline.poll_due(cx).map(|()| Ok(()));
        }
        let (sent, received) = (&mut passed.0, &mut passed.1);
        let up_done = up.poll(client_stream, client_in, backend_stream, &mut None, sent, cx)?.is_ready();
        let down_done = down.poll(backend_stream, backend_in, client_stream, pacer, received, cx)?.is_ready();
        if up_done && down_done {
            return Poll::Ready(Ok::<(), std::io::Error>(()));
        }
        // Whoever is slowed down has not fallen silent.
        if *passed != seen || pacer.as_ref().is_some_and(Pacer::is_waiting) {
            seen = *passed;
            deadline.set_after(idle);
        }
        deadline.poll_due(cx).map(|()| Ok(()))
    })
    .await
    // Either side breaking ends the tunnel; there is nobody left to tell.
    .unwrap_or(());
}

/// The client's end of a tunnel.
#[derive(Debug)]
pub(crate) struct TunnelEnd<'a> {
    pub(crate) stream: &'a mut Stream,
    /// What was read ahead.
    pub(crate) inbox: &'a mut Buffer,
    /// What still waits to be sent.
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) deadline: &'a mut Deadline,
    /// What slows down what goes to the client.
    pub(crate) pacer: &'a mut Option<Pacer>,
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Way {
    ended: bool,
    shut: bool,
}

impl Way {
    fn poll(
        &mut self,
        from: &mut Stream,
        inbox: &mut Buffer,
        to: &mut Stream,
        pacer: &mut Option<Pacer>,
        passed: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        use std::pin::Pin;
        use tokio::io::AsyncWrite;
        loop {
            while !inbox.is_empty() {
                let mut bytes = inbox.filled();
                if let Some(pacer) = pacer {
                    let Poll::Ready(credit) = pacer.poll_credit(cx, bytes.len()) else {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        return Poll::Pending;
                    };
                    bytes = &bytes[..credit];
                }
                let n = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
                inbox.consume(n);
                if let Some(pacer) = pacer {
                    pacer.sent(n);
                }
                *passed += n as u64;
            }
            if self.ended {
                if !self.shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            match inbox.poll_read(from, cx) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }
}
