//! Connections to backends: one pool per core, so that no request waits for another core.
//!
//! A connection is kept under the backend's state (which outlives snapshots) and the TLS configuration it was
//! made with, so that a reload that changes neither keeps it.

pub(crate) mod h1;
pub(crate) mod h2;
mod shared_h2;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use veloflux_snapshot::headers::FieldRules;
use veloflux_snapshot::runtime::BackendState;
use veloflux_snapshot::{Backend as Target, BackendAddress, BackendProtocol, BackendTls, Pool};

use crate::client_addr::is_forwarding_header;
use crate::exchange::{Backend, BackendError, Body};
use crate::h1::parse::HeadLimits;
use crate::h1::{nominates, stays_behind};
use crate::head::{BodyLength, Fields, Known, RequestHead, ResponseHead};
use crate::headers::removes_from_request;
use crate::io::Stream;
use h1::H1Backend;
use h2::H2Backend;
use shared_h2::SharedH2;

/// How long a connection is kept without use. Below the keep-alive time of common servers, so that it is us who
/// close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Largest response head accepted from a backend.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target_bytes: 64 * 1024, fields: 256 };

/// A request head as it goes to the backend.
pub(crate) struct OutgoingRequest<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) target: Cow<'a, [u8]>,
    pub(crate) host: &'a [u8],
    /// Fields that the edge adds (forwarding fields, request id, those of rules).
    pub(crate) added: &'a Fields,
    /// The route's rules, for what they leave out.
    pub(crate) rules: &'a FieldRules,
    pub(crate) body: BodyLength,
    pub(crate) upgrading: bool,
}

impl OutgoingRequest<'_> {
    /// The protocol to upgrade to, if the request asks for one.
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        self.upgrading.then(|| self.head.fields.first(Known::Upgrade)).flatten()
    }

    /// Calls `write` with every field that goes out except Host and the framing fields.
    pub(crate) fn for_each_field(&self, mut write: impl FnMut(&[u8], &[u8])) {
        let fields = &self.head.fields;
        let nominated = nominates(fields);
        for (known, name, value) in fields.iter() {
            let replaced = match known {
                Known::Host
                | Known::ContentLength
                | Known::Expect
                | Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedHost
                | Known::XForwardedPort
                | Known::XForwardedProto
                | Known::XRealIp
                | Known::XRequestId => true,
                Known::Other => is_forwarding_header(name),
                _ => false,
            };
            if !replaced
                && !stays_behind(known, name, fields, nominated)
                && !removes_from_request(self.rules, name)
            {
                write(name, value);
            }
        }
        for (_, name, value) in self.added.iter() {
            write(name, value);
        }
    }
}

/// A connection or stream to a backend.
#[derive(Debug)]
pub(crate) enum Upstream {
    Http1(Box<H1Backend>),
    Http2(Box<H2Backend>),
}

impl Upstream {
    pub(crate) fn start(&mut self, request: &OutgoingRequest<'_>, tls: bool) -> Result<(), BackendError> {
        match self {
            Self::Http1(b) => {
                b.start(request);
                Ok(())
            }
            Self::Http2(b) => b.start(request, if tls { "https" } else { "http" }),
        }
    }
}

macro_rules! either {
    ($self:ident, $b:ident => $call:expr) => {
        match $self {
            Upstream::Http1($b) => $call,
            Upstream::Http2($b) => $call,
        }
    };
}

impl Backend for Upstream {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, BackendError>> {
        either!(self, b => b.poll_send(cx, data))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackendError>> {
        either!(self, b => b.poll_flush(cx))
    }
    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<Result<(), BackendError>> {
        either!(self, b => b.poll_end(cx, trailers))
    }
    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), BackendError>> {
        either!(self, b => b.poll_head(cx, head))
    }
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body, BackendError>> {
        either!(self, b => b.poll_body(cx))
    }
    fn body(&self) -> &[u8] {
        either!(self, b => b.body())
    }
    fn consume(&mut self, n: usize) {
        either!(self, b => b.consume(n));
    }
    fn trailers(&self) -> Option<&Fields> {
        either!(self, b => b.trailers())
    }
}

/// What a kept connection belongs to. The addresses stay valid because the entry holds what they point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    backend: usize,
    tls: usize,
}

/// Connections to one backend.
#[derive(Debug)]
struct Kept {
    /// Keep the addresses in `Key` from being reused.
    state: Arc<BackendState>,
    tls: Option<Arc<rustls::ClientConfig>>,
    idle: Vec<(Box<H1Backend>, Instant)>,
    h2: Rc<SharedH2>,
}

/// One core's connections to backends.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    kept: RefCell<HashMap<Key, Kept>>,
}

impl Connections {
    /// A connection to `target`: a kept one, unless `fresh`, or a new one within `timeout`.
    pub(crate) async fn get(
        &self,
        pool: &Pool,
        target: &Target,
        fresh: bool,
        careful: bool,
        timeout: Duration,
    ) -> Result<Upstream, BackendError> {
        let connect = async {
            match pool.protocol {
                BackendProtocol::Http1 => {
                    if let Some(kept) = (!fresh).then(|| self.take_idle(pool, target, careful)).flatten() {
                        return Ok(Upstream::Http1(kept));
                    }
                    let stream = connect(target, pool.tls.as_ref()).await?;
                    Ok(Upstream::Http1(Box::new(H1Backend::new(stream, RESPONSE_LIMITS))))
                }
                BackendProtocol::Http2 => {
                    let shared = Self::entry(&mut self.kept.borrow_mut(), pool, target).h2.clone();
                    let slot = shared.slot(connect(target, pool.tls.as_ref())).await?;
                    Ok(Upstream::Http2(Box::new(H2Backend::new(slot))))
                }
            }
        };
        // The timer costs more than taking a kept connection, which never waits: poll once without it.
        let mut connect = std::pin::pin!(connect);
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await {
            return done;
        }
        tokio::time::timeout(timeout, connect).await.unwrap_or(Err(BackendError::ConnectTimeout))
    }

    fn key(pool: &Pool, target: &Target) -> Key {
        Key {
            backend: Arc::as_ptr(&target.state) as usize,
            tls: pool.tls.as_ref().map_or(0, |tls| Arc::as_ptr(&tls.config) as usize),
        }
    }

    fn take_idle(&self, pool: &Pool, target: &Target, careful: bool) -> Option<Box<H1Backend>> {
        let mut kept = self.kept.borrow_mut();
        let idle = &mut kept.get_mut(&Self::key(pool, target))?.idle;
        // The last one kept is the one most likely alive, and its buffers are warm.
        while let Some((connection, _)) = idle.pop() {
            if connection.is_usable(careful) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection that its exchange left clean.
    pub(crate) fn put(&self, pool: &Pool, target: &Target, upstream: Upstream, now: Instant) {
        let Upstream::Http1(mut connection) = upstream else { return };
        if !connection.is_reusable() {
            return;
        }
        connection.park();
        let mut kept = self.kept.borrow_mut();
        let idle = &mut Self::entry(&mut kept, pool, target).idle;
        if idle.len() < pool.max_idle_connections {
            idle.push((connection, now));
        }
    }

    fn entry<'a>(kept: &'a mut HashMap<Key, Kept>, pool: &Pool, target: &Target) -> &'a mut Kept {
        kept.entry(Self::key(pool, target)).or_insert_with(|| Kept {
            state: target.state.clone(),
            tls: pool.tls.as_ref().map(|tls| tls.config.clone()),
            idle: Vec::new(),
            h2: Rc::default(),
        })
    }

    /// Closes what lay idle too long or belongs to backends that no snapshot holds any more. Called every few
    /// seconds by the core.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.kept.borrow_mut().retain(|_, kept| {
            kept.idle
                .retain(|(connection, since)| now - *since < IDLE_TIMEOUT && connection.is_usable(false));
            kept.h2.drop_closed();
            // One reference is ours: with no other, the backend or its TLS configuration is history.
            let gone = Arc::strong_count(&kept.state) == 1
                || kept.tls.as_ref().is_some_and(|tls| Arc::strong_count(tls) == 1);
            if gone {
                kept.idle.clear();
                kept.h2.clear();
            }
            !kept.idle.is_empty() || !kept.h2.is_empty()
        });
    }
}

async fn connect(target: &Target, tls: Option<&BackendTls>) -> Result<Stream, BackendError> {
    let tcp = match &target.address {
        BackendAddress::Ip(address) => TcpStream::connect(address).await,
        BackendAddress::Name(name, port) => TcpStream::connect((&**name, *port)).await,
    }
    .map_err(|_| BackendError::Connect)?;
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
    let name = match (&tls.server_name, &target.address) {
        (Some(name), _) | (None, BackendAddress::Name(name, _)) => {
            ServerName::try_from(name.to_string()).map_err(|_| BackendError::Tls)?
        }
        (None, BackendAddress::Ip(address)) => ServerName::IpAddress(address.ip().into()),
    };
    let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
    let stream = connector.connect(name, tcp).await.map_err(|_| BackendError::Tls)?;
    Ok(Stream::Tls(Box::new(stream.into())))
}
