//! The client's side of HTTP/2: one connection, each stream a task of its own.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use crate::accept::ConnectionInfo;
use crate::core::Core;
use crate::exchange::{Body, Client, ClientError, OutgoingResponse};
use crate::h1::parse::{HeadError, split_target};
use crate::h1::{nominates, stays_behind};
use crate::h2io::{self, Incoming};
use crate::head::{BodyLength, Fields, Known, RequestHead, Version};
use crate::io::{Deadline, Stream};
use crate::serve;

/// How often an idle connection is looked at.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Serves one HTTP/2 connection until it ends.
pub(crate) async fn run(core: Rc<Core>, stream: Stream, info: ConnectionInfo) {
    let limits = &core.config.http2;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_concurrent_reset_streams(limits.max_reset_streams)
        .max_pending_accept_reset_streams(limits.max_reset_streams)
        .max_header_list_size(core.config.max_header_bytes as u32)
        .initial_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buffer_size(256 * 1024);
    let handshake = tokio::time::timeout(core.config.header_timeout, builder.handshake::<_, Bytes>(stream));
    let Ok(Ok(mut connection)) = handshake.await else { return };
    let info = Rc::new(info);
    let open = Rc::new(std::cell::Cell::new(0_usize));
    let mut drain = core.drain.watch();
    let mut draining = false;
    let mut idle_since = Instant::now();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = std::future::poll_fn(|cx| drain.poll(cx)), if !draining => {
                draining = true;
                connection.graceful_shutdown();
                continue;
            }
            () = tokio::time::sleep(IDLE_CHECK) => {
                if open.get() > 0 {
                    idle_since = Instant::now();
                } else if !draining && idle_since.elapsed() >= core.config.keep_alive_timeout {
                    draining = true;
                    connection.graceful_shutdown();
                }
                continue;
            }
        };
        // An error ends the connection; its streams find out by themselves.
        let Some(Ok((request, respond))) = accepted else { return };
        let guard = OpenStream::new(&open);
        let (core, info) = (core.clone(), info.clone());
        tokio::task::spawn_local(async move {
            stream_task(&core, &info, request, respond).await;
            drop(guard);
        });
    }
}

/// Counts a connection's open streams.
struct OpenStream(Rc<std::cell::Cell<usize>>);

impl OpenStream {
    fn new(open: &Rc<std::cell::Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn stream_task(
    core: &Core,
    info: &ConnectionInfo,
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (parts, body) = request.into_parts();
    let mut head = RequestHead::default();
    let read = read_head(&parts, body.is_end_stream(), core.config.max_headers, &mut head);
    let mut client = H2Client {
        respond,
        send: None,
        incoming: Incoming::new(body),
        deadline: Deadline::after(core.config.keep_alive_timeout),
        for_head: head.method() == b"HEAD",
        started: false,
    };
    match read {
        Ok(()) => serve::serve(core, info, &head, &mut client).await,
        Err(error) => serve::refuse_head(core, info, error, &mut client).await,
    }
}

/// Turns a request's pseudo-header fields and fields (RFC 9113 section 8.3.1) into a head.
fn read_head(
    parts: &http::request::Parts,
    ended: bool,
    max_fields: usize,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    if parts.headers.len() > max_fields {
        return Err(HeadError::TooLarge);
    }
    head.version = Version::Http2;
    head.keep_alive = true;
    head.method = head.fields.store(parts.method.as_str().as_bytes());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::Malformed("more than one Host field"));
    }
    // `:authority` and Host, where both are there, must agree (RFC 9113 section 8.3.1).
    let authority = match (authority, host) {
        (Some(a), Some(h)) if a.as_bytes() != h.as_bytes() => {
            return Err(HeadError::Malformed("Host differs from :authority"));
        }
        (Some(a), _) => a.as_bytes(),
        (None, Some(h)) => h.as_bytes(),
        (None, None) => return Err(HeadError::Malformed("no :authority and no Host")),
    };
    if parts.method == http::Method::CONNECT {
        head.authority = head.fields.store(authority);
        head.target = head.authority;
    } else {
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).as_bytes();
        let target = if target.is_empty() { b"/" } else { target };
        let base = head.fields.arena.len();
        head.target = head.fields.store(target);
        split_target(parts.method.as_str().as_bytes(), target, base, head)?;
        head.authority = head.fields.store(authority);
    }
    // The firewall and backends know the authority as Host.
    head.fields.push(b"host", authority);
    let mut cookie: Option<Vec<u8>> = None;
    for (name, value) in &parts.headers {
        if name == http::header::HOST {
            continue;
        }
        // Crumbs are joined before the cookie leaves HTTP/2 (RFC 9113 section 8.2.3).
        if name == http::header::COOKIE {
            match &mut cookie {
                Some(joined) => {
                    joined.extend_from_slice(b"; ");
                    joined.extend_from_slice(value.as_bytes());
                }
                None => cookie = Some(value.as_bytes().to_vec()),
            }
            continue;
        }
        head.fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    if let Some(cookie) = cookie {
        head.fields.push(b"cookie", &cookie);
    }
    let declared = head.fields.first(Known::ContentLength);
    head.body = match declared {
        _ if ended => BodyLength::None,
        Some(n) => match std::str::from_utf8(n).ok().and_then(|n| n.parse().ok()) {
            Some(0) => BodyLength::None,
            Some(n) => BodyLength::Known(n),
            None => return Err(HeadError::Malformed("Content-Length is not one number")),
        },
        None => BodyLength::Unknown,
    };
    Ok(())
}

/// A client on one HTTP/2 stream.
pub(crate) struct H2Client {
    respond: SendResponse<Bytes>,
    send: Option<h2::SendStream<Bytes>>,
    incoming: Incoming,
    deadline: Deadline,
    for_head: bool,
    started: bool,
}

impl Client for H2Client {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, ClientError>> {
        self.incoming.poll_body(cx).map_err(|_| ClientError::Gone)
    }

    fn body(&self) -> &[u8] {
        self.incoming.body()
    }

    fn consume(&mut self, n: usize) {
        self.incoming.consume(n);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.incoming.trailers()
    }

    fn start(&mut self, outgoing: &OutgoingResponse<'_>) -> Result<(), ClientError> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(outgoing.status).unwrap_or(StatusCode::BAD_GATEWAY);
        *response.version_mut() = http::Version::HTTP_2;
        let headers = response.headers_mut();
        let fields = &outgoing.head.fields;
        let nominated = nominates(fields);
        let bodiless =
            self.for_head || matches!(outgoing.status, 204 | 304) || outgoing.body == BodyLength::None;
        let keeps_length = self.for_head || outgoing.status == 304;
        for (known, name, value) in fields.iter() {
            let skip = match known {
                Known::ContentLength => !keeps_length,
                // Ours is among the added fields; a backend that repeats it must not double it.
                Known::XRequestId => true,
                Known::StrictTransportSecurity => outgoing.hsts.is_some(),
                _ => stays_behind(known, name, fields, nominated),
            };
            if !skip {
                h2io::append(headers, name, value);
            }
        }
        for (_, name, value) in outgoing.added.iter() {
            h2io::append(headers, name, value);
        }
        if let Some(hsts) = outgoing.hsts {
            h2io::append(headers, b"strict-transport-security", hsts.as_bytes());
        }
        if let BodyLength::Known(n) = outgoing.body
            && !bodiless
        {
            headers.insert(http::header::CONTENT_LENGTH, n.into());
        }
        // With no body but trailers to come (gRPC errors), `None` has an END_STREAM head: nothing is lost, since
        // such heads carry the status themselves.
        let send = self.respond.send_response(response, bodiless).map_err(|_| ClientError::Gone)?;
        self.send = (!bodiless).then_some(send);
        self.started = true;
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, ClientError>> {
        match &mut self.send {
            Some(send) => h2io::poll_send(send, cx, data).map_err(|_| ClientError::Gone),
            None => Poll::Ready(Ok(data.len())),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), ClientError>> {
        // If the request has not ended, its rest is not wanted: `h2` says so with a reset (RFC 9113 section 8.1) when
        // the stream is dropped, after what is queued. A reset from here would overtake the response.
        let ended = self.send.take().map_or(Ok(()), |mut send| h2io::end(&mut send, trailers));
        Poll::Ready(ended.map_err(|_| ClientError::Gone))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Some(send) => send.poll_reset(cx).map(|_| ()),
            None if self.started => Poll::Pending,
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    fn abort(&mut self) {
        match &mut self.send {
            Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    fn close_after(&mut self) {
        // Streams are separate: one bad request says nothing about the next.
    }

    fn started(&self) -> bool {
        self.started
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    fn http1(&mut self) -> Option<&mut crate::h1::server::H1Client> {
        None
    }
}
