//! One request and its response between a client and a backend, whatever protocol each speaks.
//!
//! [`Client`] and [`Backend`] show body bytes where they lie in their read buffers and take bytes by reference, so
//! that a body crosses the edge without being gathered. Both directions run at once: a backend may answer before
//! the request has ended (RFC 9112 section 9.3), and gRPC and other streams need it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use veloflux_snapshot::headers::FieldRules;

use crate::head::{BodyLength, Fields, ResponseHead};
use crate::headers::removes_from_request;
use crate::io::Deadline;
use crate::limit::Pacer;

/// Whether body bytes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// `body()` shows some, at least one.
    Data,
    /// The body is complete.
    End,
}

/// Why the client's side of an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientError {
    /// The client went away or its connection broke.
    Gone,
    /// Its body framing is broken.
    Malformed(&'static str),
    /// It sent or took nothing for too long.
    Timeout,
    /// Its body is longer than allowed.
    BodyTooLarge,
}

/// Why the backend's side of an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackendError {
    /// No connection could be made.
    Connect,
    /// No connection could be made in time.
    ConnectTimeout,
    /// TLS failed or the backend's certificate did not verify.
    Tls,
    /// A kept connection was closed by the backend before it answered: as good as never sent, if the request may
    /// be repeated.
    Stale,
    /// The backend said that it did not act on the request (HTTP/2 REFUSED_STREAM, GOAWAY).
    Refused,
    /// The connection broke.
    Broken,
    /// No response head in time.
    FirstByteTimeout,
    /// No body bytes in time, or the whole took too long.
    Timeout,
    /// What it answered breaks the protocol.
    Malformed(&'static str),
}

/// Why an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Client(ClientError),
    Backend(BackendError),
}

impl From<ClientError> for Failure {
    fn from(e: ClientError) -> Self {
        Self::Client(e)
    }
}

impl From<BackendError> for Failure {
    fn from(e: BackendError) -> Self {
        Self::Backend(e)
    }
}

/// Who an exchange waits for: whoever that is when time is up has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Backend,
}

impl Side {
    fn timed_out(self) -> Failure {
        match self {
            Self::Client => ClientError::Timeout.into(),
            Self::Backend => BackendError::Timeout.into(),
        }
    }
}

/// A response head as it goes to the client: the backend's, or our own.
pub(crate) struct OutgoingResponse<'a> {
    pub(crate) status: u16,
    /// Whose fields are passed on; hop-by-hop ones and those named in `Connection` are left out.
    pub(crate) head: &'a ResponseHead,
    /// Fields that the edge adds.
    pub(crate) added: &'a Fields,
    pub(crate) body: BodyLength,
    /// Answer to `Upgrade`: the connection leaves HTTP after this head.
    pub(crate) upgrade: bool,
}

/// The client's side.
pub(crate) trait Client {
    /// Waits for request-body bytes.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, ClientError>>;
    /// The bytes that are there.
    fn body(&self) -> &[u8];
    /// Takes `n` of them.
    fn consume(&mut self, n: usize);
    /// Trailer fields, once the body has ended.
    fn trailers(&self) -> Option<&Fields>;
    /// Queues a response head.
    fn start(&mut self, response: &OutgoingResponse<'_>) -> Result<(), ClientError>;
    /// Takes response-body bytes; gives how many, more than none.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, ClientError>>;
    /// Pushes out what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>>;
    /// Ends the response and flushes.
    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), ClientError>>;
    /// Ready when the client has gone away; pending (and watching) otherwise.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Makes it visible that the response is not whole.
    fn abort(&mut self);
    /// Takes no further request on this connection.
    fn close_after(&mut self);
    /// Whether the response head has been queued.
    fn started(&self) -> bool;
    /// Timer of this exchange.
    fn deadline(&mut self) -> &mut Deadline;
    /// What slows the response down; `None`: nothing.
    fn pacer(&mut self) -> &mut Option<Pacer>;
    /// The HTTP/1 connection beneath, for upgrades.
    fn http1(&mut self) -> Option<&mut crate::h1::server::H1Client>;
}

/// The backend's side.
pub(crate) trait Backend {
    /// Takes request-body bytes; gives how many, more than none.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, BackendError>>;
    /// Pushes out what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackendError>>;
    /// Ends the request and flushes.
    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>)
    -> Poll<Result<(), BackendError>>;
    /// Waits for the final response head (or 101).
    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), BackendError>>;
    /// Waits for response-body bytes.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, BackendError>>;
    /// The bytes that are there.
    fn body(&self) -> &[u8];
    /// Takes `n` of them.
    fn consume(&mut self, n: usize);
    /// Trailer fields, once the body has ended.
    fn trailers(&self) -> Option<&Fields>;
}

/// The request body on its way to the backend: first what the firewall gathered, then what the client still sends.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    prefix: &'a [u8],
    /// Length of `prefix` at first: what can be sent again.
    kept: u64,
    /// Whether `prefix` is the whole body.
    complete: bool,
    /// Bytes sent so far.
    sent: u64,
    max_bytes: u64,
    state: UploadState,
    waits_for: Side,
    rules: &'a FieldRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadState {
    Sending,
    Ending,
    Done,
    /// The backend takes no more; its answer may still come.
    Refused(BackendError),
}

impl<'a> Upload<'a> {
    /// `rules` say which trailer fields are left out.
    pub(crate) fn new(prefix: &'a [u8], complete: bool, max_bytes: u64, rules: &'a FieldRules) -> Self {
        let kept = prefix.len() as u64;
        Self {
            prefix,
            kept,
            complete,
            sent: 0,
            max_bytes,
            state: UploadState::Sending,
            waits_for: Side::Client,
            rules,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == UploadState::Done
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the same upload can be made again: none of it is on the way that is not kept.
    pub(crate) fn is_replayable(&self) -> bool {
        self.complete || self.sent <= self.kept
    }

    fn poll<C: Client, B: Backend>(
        &mut self,
        client: &mut C,
        backend: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        match ready!(self.poll_steps(client, backend, cx)) {
            Err(Failure::Backend(e)) => {
                self.state = UploadState::Refused(e);
                Poll::Ready(Ok(()))
            }
            other => Poll::Ready(other),
        }
    }

    fn poll_steps<C: Client, B: Backend>(
        &mut self,
        client: &mut C,
        backend: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        self.waits_for = Side::Backend;
        loop {
            match self.state {
                UploadState::Done | UploadState::Refused(_) => return Poll::Ready(Ok(())),
                UploadState::Ending => {
                    let trailers = client.trailers().filter(|_| !self.complete);
                    let trailers =
                        trailers.map(|all| without(all, |name| removes_from_request(self.rules, name)));
                    ready!(backend.poll_end(cx, trailers.as_deref()))?;
                    self.state = UploadState::Done;
                }
                UploadState::Sending if !self.prefix.is_empty() => {
                    let n = ready!(backend.poll_send(cx, self.prefix))?;
                    self.prefix = &self.prefix[n..];
                    self.sent += n as u64;
                }
                UploadState::Sending if self.complete => self.state = UploadState::Ending,
                UploadState::Sending => match client.poll_body(cx) {
                    Poll::Ready(Ok(Body::Data)) => {
                        if self.sent + client.body().len() as u64 > self.max_bytes {
                            return Poll::Ready(Err(ClientError::BodyTooLarge.into()));
                        }
                        let n = ready!(backend.poll_send(cx, client.body()))?;
                        client.consume(n);
                        self.sent += n as u64;
                    }
                    Poll::Ready(Ok(Body::End)) => self.state = UploadState::Ending,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
                    Poll::Pending => {
                        ready!(backend.poll_flush(cx))?;
                        self.waits_for = Side::Client;
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

/// Trailer fields but for those that rules leave out.
fn without(trailers: &Fields, is_removed: impl Fn(&[u8]) -> bool) -> Cow<'_, Fields> {
    if !trailers.iter().any(|(_, name, _)| is_removed(name)) {
        return Cow::Borrowed(trailers);
    }
    let mut kept = trailers.clone();
    kept.retain(|_, name| !is_removed(name));
    Cow::Owned(kept)
}

/// Deadlines of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// A recent reading; what begins now is counted from here.
    pub(crate) now: Instant,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    /// When the whole must be over; `None`: an upgraded connection or event stream.
    pub(crate) total: Option<Instant>,
}

impl Clock {
    /// When a phase that begins with the exchange, or made its last progress at `since`, is over.
    fn due(&self, phase: Duration, since: Option<Instant>) -> Instant {
        let due = since.unwrap_or_else(Instant::now) + phase;
        self.total.map_or(due, |total| due.min(total))
    }
}

/// Sends the request until the backend's response head is there.
pub(crate) async fn request<C: Client, B: Backend>(
    client: &mut C,
    backend: &mut B,
    upload: &mut Upload<'_>,
    head: &mut ResponseHead,
    clock: &Clock,
) -> Result<(), Failure> {
    let mut sent_before = u64::MAX;
    let mut was_done = false;
    poll_fn(|cx| {
        let uploading = upload.poll(client, backend, cx)?.is_pending();
        // Reading comes after writing: a kept connection that the backend has closed shows itself here.
        match backend.poll_head(cx, head) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(e)) => return Poll::Ready(Err(Failure::Backend(e))),
            Poll::Pending => {}
        }
        if !uploading && client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ClientError::Gone.into()));
        }
        if upload.sent != sent_before || (!uploading && !was_done) {
            // The first time round nothing has waited yet.
            let since = (sent_before == u64::MAX).then_some(clock.now);
            let phase = if uploading { clock.idle } else { clock.first_byte };
            client.deadline().set(clock.due(phase, since));
            sent_before = upload.sent;
            was_done = !uploading;
        }
        if client.deadline().poll_due(cx).is_ready() {
            return Poll::Ready(Err(if uploading {
                upload.waits_for.timed_out()
            } else {
                BackendError::FirstByteTimeout.into()
            }));
        }
        Poll::Pending
    })
    .await
}

/// Passes the response body on, and what is left of the request body the other way. Gives the bytes passed. `rules` say
/// which trailer fields are left out.
pub(crate) async fn respond<C: Client, B: Backend>(
    client: &mut C,
    backend: &mut B,
    upload: &mut Upload<'_>,
    clock: &Clock,
    rules: &FieldRules,
    passed: &mut u64,
) -> Result<(), Failure> {
    let mut progress = (u64::MAX, 0);
    let mut waits_for = Side::Backend;
    poll_fn(|cx| {
        // A failing upload does not end a response that has begun; the response's own end does.
        let uploading = !upload.is_done() && upload.poll(client, backend, cx)?.is_pending();
        let done = poll_download(client, backend, cx, passed, &mut waits_for, clock, rules)?;
        if done.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // A backend that is silent may itself be waiting for the rest of the request.
        if uploading && upload.waits_for == Side::Client {
            waits_for = Side::Client;
        }
        if progress != (*passed, upload.sent) {
            progress = (*passed, upload.sent);
            client.deadline().set(clock.due(clock.idle, None));
        }
        if client.deadline().poll_due(cx).is_ready() {
            return Poll::Ready(Err(waits_for.timed_out()));
        }
        Poll::Pending
    })
    .await
}

fn poll_download<C: Client, B: Backend>(
    client: &mut C,
    backend: &mut B,
    cx: &mut Context<'_>,
    passed: &mut u64,
    waits_for: &mut Side,
    clock: &Clock,
    rules: &FieldRules,
) -> Poll<Result<(), Failure>> {
    *waits_for = Side::Client;
    loop {
        match backend.poll_body(cx) {
            Poll::Ready(Ok(Body::Data)) => {
                let n = ready!(poll_send(client, cx, backend.body(), clock))?;
                backend.consume(n);
                *passed += n as u64;
            }
            Poll::Ready(Ok(Body::End)) => {
                let trailers = backend.trailers().map(|all| without(all, |name| rules.removes(name)));
                ready!(client.poll_end(cx, trailers.as_deref()))?;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
            Poll::Pending => {
                ready!(client.poll_flush(cx))?;
                if client.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(ClientError::Gone.into()));
                }
                *waits_for = Side::Backend;
                return Poll::Pending;
            }
        }
    }
}

/// Sends response-body bytes, as fast as the limits on bandwidth allow; gives how many, more than none.
fn poll_send<C: Client>(
    client: &mut C,
    cx: &mut Context<'_>,
    data: &[u8],
    clock: &Clock,
) -> Poll<Result<usize, ClientError>> {
    let Some(pacer) = client.pacer() else { return client.poll_send(cx, data) };
    let Poll::Ready(credit) = pacer.poll_credit(cx, data.len()) else {
        // What was sent so far is not held back with the rest. Whoever is slowed down has not fallen silent, so that
        // its time counts from here on.
        ready!(client.poll_flush(cx))?;
        client.deadline().set(Instant::now() + clock.idle);
        return Poll::Pending;
    };
    let sent = ready!(client.poll_send(cx, &data[..credit]))?;
    if let Some(pacer) = client.pacer() {
        pacer.sent(sent);
    }
    Poll::Ready(Ok(sent))
}

/// Gathers request-body bytes for the firewall until the body ends or `limit` is reached; gives whether it ended.
pub(crate) async fn gather<C: Client>(
    client: &mut C,
    into: &mut Vec<u8>,
    limit: usize,
    clock: &Clock,
) -> Result<bool, ClientError> {
    client.deadline().set(clock.due(clock.idle, None));
    poll_fn(|cx| {
        loop {
            match client.poll_body(cx) {
                Poll::Ready(Ok(Body::End)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(Body::Data)) => {
                    let room = limit - into.len();
                    if room == 0 {
                        return Poll::Ready(Ok(false));
                    }
                    let n = client.body().len().min(room);
                    into.extend_from_slice(&client.body()[..n]);
                    client.consume(n);
                    let due = clock.due(clock.idle, None);
                    client.deadline().set(due);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    return client.deadline().poll_due(cx).map(|()| Err(ClientError::Timeout));
                }
            }
        }
    })
    .await
}

/// Gathers response-body bytes for the firewall until the body ends or `limit` is reached; gives whether it ended.
pub(crate) async fn gather_response<C: Client, B: Backend>(
    client: &mut C,
    backend: &mut B,
    into: &mut Vec<u8>,
    limit: usize,
    clock: &Clock,
) -> Result<bool, Failure> {
    client.deadline().set(clock.due(clock.idle, None));
    poll_fn(|cx| {
        loop {
            match backend.poll_body(cx) {
                Poll::Ready(Ok(Body::End)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(Body::Data)) => {
                    let room = limit - into.len();
                    if room == 0 {
                        return Poll::Ready(Ok(false));
                    }
                    let n = backend.body().len().min(room);
                    into.extend_from_slice(&backend.body()[..n]);
                    backend.consume(n);
                    let due = clock.due(clock.idle, None);
                    client.deadline().set(due);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
                Poll::Pending => {
                    if client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(ClientError::Gone.into()));
                    }
                    return client.deadline().poll_due(cx).map(|()| Err(BackendError::Timeout.into()));
                }
            }
        }
    })
    .await
}

/// Sends bytes that are already in memory as part of the response body.
pub(crate) async fn send_all<C: Client>(
    client: &mut C,
    mut data: &[u8],
    clock: &Clock,
) -> Result<(), ClientError> {
    client.deadline().set(clock.due(clock.idle, None));
    poll_fn(|cx| {
        while !data.is_empty() {
            match poll_send(client, cx, data, clock) {
                Poll::Ready(Ok(n)) => data = &data[n..],
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return client.deadline().poll_due(cx).map(|()| Err(ClientError::Timeout)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Ends a response that is already in memory.
pub(crate) async fn end<C: Client>(client: &mut C, clock: &Clock) -> Result<(), ClientError> {
    client.deadline().set(clock.due(clock.idle, None));
    poll_fn(|cx| match client.poll_end(cx, None) {
        Poll::Pending => client.deadline().poll_due(cx).map(|()| Err(ClientError::Timeout)),
        done @ Poll::Ready(_) => done,
    })
    .await
}
