//! Pools and their backends, ready to serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::{BackendState, PoolState};

/// A set of backends that serve the same content.
#[derive(Debug)]
pub struct Pool {
    /// `tenant/pool`: unique and stable across revisions.
    pub id: Arc<str>,
    /// How a backend is picked.
    pub algorithm: Algorithm,
    /// The backends, in the order of the desired state; never empty.
    pub backends: Vec<Backend>,
    /// Points of the consistent-hash ring, sorted: (hash, index into `backends`); empty unless `IpHash`.
    pub ring: Vec<(u64, u16)>,
    /// Kilometres from each country, by its index, to each backend, one row after the other; empty unless
    /// `GeoProximity`.
    pub distances: Vec<u16>,
    /// The protocol spoken to the backends.
    pub protocol: BackendProtocol,
    /// TLS to the backends; `None`: plain TCP.
    pub tls: Option<BackendTls>,
    /// Cookie stickiness.
    pub sticky: Option<Sticky>,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
    /// Passive ejection.
    pub ejection: Option<Ejection>,
    /// Retries.
    pub retry: Retry,
    /// Most idle connections kept per backend and core.
    pub max_idle_connections: usize,
    /// Counters that outlive the snapshot.
    pub state: Arc<PoolState>,
}

/// How a backend is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// Smooth weighted round robin (as nginx: interleaved in proportion to weight).
    WeightedRoundRobin,
    /// Fewest requests in flight, relative to weight.
    LeastConn,
    /// Consistent hash of the client address: a lost backend moves only its own clients.
    IpHash,
    /// The better of two random backends by moving-average latency times requests in flight.
    RandomTwo,
    /// Those nearest to the client's country; among them smooth weighted round robin.
    GeoProximity,
}

/// One address in a pool.
#[derive(Debug)]
pub struct Backend {
    /// `tenant/pool/address`: unique and stable across revisions.
    pub id: Arc<str>,
    /// Host and port as written, for the Host header of health checks and for logs.
    pub authority: Arc<str>,
    /// Where to connect: a literal address, or a name that is resolved when it is needed.
    pub address: BackendAddress,
    /// Relative share, 1-1000.
    pub weight: u32,
    /// Takes no new requests; [`Publisher`] copies this to the state when the snapshot is swapped in.
    pub drain: bool,
    /// Health and load; outlives the snapshot.
    pub state: Arc<BackendState>,
}

/// Where a backend is.
#[derive(Debug, Clone)]
pub enum BackendAddress {
    /// A literal IP address and port.
    Ip(SocketAddr),
    /// A DNS name and port.
    Name(Box<str>, u16),
}

/// The protocol spoken to a pool's backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge over plain TCP.
    Http2,
}

/// TLS towards a pool's backends.
#[derive(Clone)]
pub struct BackendTls {
    /// The client configuration: roots, verification, ALPN.
    pub config: Arc<rustls::ClientConfig>,
    /// Name sent as SNI and verified; `None`: the backend's own host name or address.
    pub server_name: Option<Box<str>>,
}

impl std::fmt::Debug for BackendTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Cookie stickiness.
#[derive(Debug, Clone)]
pub struct Sticky {
    /// Cookie name.
    pub cookie: Box<str>,
    /// How long the cookie binds a client.
    pub ttl: Duration,
}

/// Active health check.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthKind,
    /// Time between two checks of one backend; each is moved by up to 10 % at random.
    pub interval: Duration,
    /// Time for one check, connect included.
    pub timeout: Duration,
    /// Passed checks in a row that bring a backend back.
    pub rise: u32,
    /// Failed checks in a row that take a backend out.
    pub fall: u32,
}

/// What a health check asks.
#[derive(Debug, Clone)]
pub enum HealthKind {
    /// A TCP connection that is accepted.
    Tcp,
    /// An HTTP/1.1 GET.
    Http {
        /// Path and query.
        path: Box<str>,
        /// Host header; `None`: the backend's authority.
        host: Option<Box<str>>,
        /// Accepted status codes as inclusive ranges.
        expected_status: Vec<(u16, u16)>,
        /// Text that the first 64 KiB of the body must hold.
        expected_body: Option<Box<str>>,
    },
}

/// Passive ejection: a backend that fails real requests is left out for a while.
#[derive(Debug, Clone, Copy)]
pub struct Ejection {
    /// Failures in a row (connect error, time-out, broken response, 502-504) that eject.
    pub consecutive_failures: u32,
    /// First ejection's length; doubles with each ejection in a row up to 10 times this.
    pub base: Duration,
    /// At most this share of a pool is ejected at once, in percent.
    pub max_ejected_percent: u32,
}

/// Retry policy. Only requests that may be repeated are (RFC 9110 section 9.2.2), or ones of which no byte was
/// sent.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts after the first one.
    pub attempts: u32,
    /// Retries may add at most this much to a pool's requests, in percent, over a sliding window.
    pub budget_percent: u32,
}
