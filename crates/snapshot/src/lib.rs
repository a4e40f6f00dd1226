//! A revision compiled for serving.
//!
//! [`compile`](compile::compile) turns a desired state into a [`Snapshot`]: immutable, swapped in whole, read by
//! every core without a lock. What must outlive a snapshot (counters, health, connection pools' keys) lives in
//! [`runtime`] and is found again by id, so that a reload of one tenant disturbs no other.

pub mod access;
pub mod compile;
pub mod geo;
pub mod limit;
pub mod managed;
pub mod publish;
pub mod runtime;
pub mod tls;

pub use access::{AccessAction, AccessPolicy, AccessRule};
pub use compile::{Inputs, Lapsed, compile};
pub use geo::{Geo, GeoDatabase, Origin};
pub use publish::{CachedReader, Publisher, Reader};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use managed::{IssuedCertificates, ManagedDomain};
use veloflux_model::addresses::AddressList;

use runtime::{BackendState, PoolState, TenantState};

/// Everything the data plane needs to serve one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the revision this was compiled from; grows by one with every accepted change.
    pub revision: u64,
    /// All tenants, ordered by id.
    pub tenants: Vec<Arc<Tenant>>,
    /// Which tenant owns a host name.
    pub hosts: HostTable<HostEntry>,
    /// The domains whose certificates are ordered and renewed by themselves.
    pub managed: Vec<ManagedDomain>,
    /// What TLS clients that ask for nobody's name are shown; `None`: an alert.
    pub default_tls: Option<tls::DefaultTls>,
    /// Where addresses are, if the process has geographic databases.
    pub geo: Option<Arc<Geo>>,
    /// Whom the metrics listener answers; `None`: everybody.
    pub metrics_access: Option<Arc<AccessPolicy>>,
    /// The lists of addresses and the databases that it uses, those of the process among them.
    pub data_files: Vec<DataFile>,
}

/// A list of addresses or a geographic database, and how it stands.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its path as the process sees it.
    pub path: Arc<str>,
    /// What it is.
    pub kind: DataKind,
    /// Why what the file holds now is refused; what it held before is in force then. `None`: what it holds is in force.
    pub refused: Option<Arc<str>>,
}

/// What a data file is.
#[derive(Debug, Clone)]
pub enum DataKind {
    /// A list of addresses.
    List(Arc<AddressList>),
    /// A geographic database.
    Database(Arc<GeoDatabase>),
}

/// Stands for the tenant where a thing belongs to none.
pub const NOBODY: &str = "_none";

impl Snapshot {
    /// The same desired state as the next revision, with what has been issued since.
    #[must_use]
    pub fn with_issued(&self, issued: &IssuedCertificates) -> Self {
        let Self { revision, tenants, hosts, managed, default_tls, geo, metrics_access, data_files } = self;
        let mut next = Self {
            revision: revision + 1,
            tenants: tenants.clone(),
            hosts: hosts.clone(),
            managed: managed.clone(),
            default_tls: default_tls.clone(),
            geo: geo.clone(),
            metrics_access: metrics_access.clone(),
            data_files: data_files.clone(),
        };
        next.take_issued(issued);
        next
    }

    /// Gives every managed domain the certificate that was issued for it.
    fn take_issued(&mut self, issued: &IssuedCertificates) {
        for domain in &mut self.managed {
            let Some(next) = issued.get(&domain.tenant, &domain.host) else { continue };
            let known = domain.certificate.as_ref().map(|issued| &issued.certificate.key);
            if known.is_some_and(|known| Arc::ptr_eq(known, &next.certificate.key)) {
                continue;
            }
            if let Some(entry) = self.hosts.pattern_mut(&domain.host) {
                entry.present(Some(next.certificate.key.clone()));
            }
            domain.certificate = Some(next.clone());
        }
    }

    /// Every certificate with its tenant's id, or [`NOBODY`] for the operator's.
    pub fn certificates(&self) -> impl Iterator<Item = (&str, &Certificate)> {
        let own = self.default_tls.iter().map(|default| (NOBODY, &default.certificate));
        let of = |tenant| move |certificate| (tenant, certificate);
        let uploaded =
            self.tenants.iter().flat_map(move |tenant| tenant.certificates.iter().map(of(&*tenant.id)));
        let issued = self.managed.iter().filter_map(|domain| domain.certificate.as_ref());
        own.chain(uploaded).chain(issued.map(|issued| (&*issued.tenant, &issued.certificate)))
    }

    /// The rule sets that some route's firewall runs, each once.
    pub fn rulesets(&self) -> Vec<&veloflux_waf::Ruleset> {
        let policies =
            self.tenants.iter().flat_map(|tenant| &tenant.routes).filter_map(|route| route.firewall.as_ref());
        let mut rulesets: Vec<&veloflux_waf::Ruleset> = Vec::new();
        for policy in policies {
            if !rulesets.iter().any(|known| std::ptr::eq(*known, &raw const *policy.ruleset)) {
                rulesets.push(&policy.ruleset);
            }
        }
        rulesets
    }

    /// All pools that some route forwards to; one that several routes use comes as often.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.tenants.iter().flat_map(|tenant| &tenant.routes).filter_map(|route| match &route.action {
            Action::Forward { pool, .. } => Some(pool),
            Action::Redirect { .. } | Action::Respond { .. } => None,
        })
    }
}

/// A certificate chain with its key, as TLS listeners present it.
pub type TlsCertificate = Arc<rustls::sign::CertifiedKey>;

/// What a host name leads to.
#[derive(Clone)]
pub struct HostEntry {
    /// The one tenant that owns the name.
    pub tenant: Arc<Tenant>,
    /// The certificate to present; `None` where the name is served on plain listeners only.
    pub certificate: Option<TlsCertificate>,
    /// What a TLS handshake for the name runs with; there where a certificate is.
    pub config: Option<Arc<rustls::ServerConfig>>,
    /// What holds for connections to the name.
    pub tls: Arc<tls::TlsPolicy>,
}

impl HostEntry {
    /// Presents this certificate from now on; `None`: the name is served on plain listeners only.
    pub fn present(&mut self, certificate: Option<TlsCertificate>) {
        self.config = certificate.as_ref().and_then(|certificate| self.tls.showing(certificate, None));
        self.certificate = certificate;
    }
}

impl std::fmt::Debug for HostEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tenant, certificate, config: _, tls } = self;
        f.debug_struct("HostEntry")
            .field("tenant", &tenant.id)
            .field("has_certificate", &certificate.is_some())
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// A table of exact and `*.` wildcard host names.
#[derive(Debug, Clone)]
pub struct HostTable<T> {
    exact: std::collections::HashMap<Box<str>, T>,
    /// Keyed by the name without `*.`; a wildcard covers exactly one label, as in RFC 6125 section 6.4.3.
    wildcard: std::collections::HashMap<Box<str>, T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: std::collections::HashMap::new(), wildcard: std::collections::HashMap::new() }
    }
}

impl<T> HostTable<T> {
    /// Looks `host` up: lower case, no port, no trailing dot. An exact name wins over a wildcard.
    pub fn get(&self, host: &str) -> Option<&T> {
        self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        })
    }

    /// What stands at `pattern` itself (`name` or `*.name`).
    fn pattern_mut(&mut self, pattern: &str) -> Option<&mut T> {
        match pattern.strip_prefix("*.") {
            Some(parent) => self.wildcard.get_mut(parent),
            None => self.exact.get_mut(pattern),
        }
    }

    /// Adds `pattern` (`name` or `*.name`, lower case); gives back what stood there before.
    pub fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        match pattern.strip_prefix("*.") {
            Some(parent) => self.wildcard.insert(parent.into(), value),
            None => self.exact.insert(pattern.into(), value),
        }
    }
}

/// One tenant, ready to serve.
#[derive(Debug)]
pub struct Tenant {
    /// The tenant's name in the desired state; unique and stable.
    pub id: Arc<str>,
    /// Routes in the order in which they are tried: the compiler sorts the most specific first.
    pub routes: Vec<Route>,
    /// Certificates in the order of the desired state, those that no host name uses included; then those that pools show
    /// to their backends, as `pool:NAME`.
    pub certificates: Vec<Certificate>,
    /// IP and country rules for requests that no route takes.
    pub access: Box<[Arc<AccessPolicy>]>,
    /// Revocation lists of client certificates, ordered by file.
    pub revocation_lists: Vec<tls::RevocationList>,
    /// What limits requests that no route takes; `None`: nothing does.
    pub limits: Option<Arc<limit::Limits>>,
    /// Counters that outlive the snapshot.
    pub state: Arc<TenantState>,
}

/// A certificate of a tenant.
#[derive(Clone)]
pub struct Certificate {
    /// Its name, unique within its tenant.
    pub name: Arc<str>,
    /// The file that it came from, as written in the desired state; or the URL of the directory that issued it.
    pub file: Arc<str>,
    /// End of the validity of the certificate or of the intermediate that ends first, in seconds since 1970.
    pub not_after_unix_s: i64,
    /// Why clients refuse it, in words: when the snapshot was compiled it had expired, or was not valid yet.
    pub lapsed: Option<Arc<str>>,
    /// Who issued the certificate, where its own certificate ought to be in the file and is not: some clients will refuse.
    pub missing_issuer: Option<Arc<str>>,
    /// Whether it was ordered and is renewed by itself.
    pub is_ordered: bool,
    /// Until when the OCSP response is shown, in seconds since 1970; `None`: there is none.
    pub ocsp_next_update_unix_s: Option<i64>,
    /// The chain and its key.
    pub key: TlsCertificate,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            file,
            not_after_unix_s,
            lapsed,
            missing_issuer,
            is_ordered,
            ocsp_next_update_unix_s,
            key: _,
        } = self;
        f.debug_struct("Certificate")
            .field("name", name)
            .field("file", file)
            .field("not_after_unix_s", not_after_unix_s)
            .field("lapsed", lapsed)
            .field("missing_issuer", missing_issuer)
            .field("is_ordered", is_ordered)
            .field("ocsp_next_update_unix_s", ocsp_next_update_unix_s)
            .finish_non_exhaustive()
    }
}

/// What a request must look like, and what then happens to it.
#[derive(Debug)]
pub struct Route {
    /// The route's name, unique within its tenant.
    pub name: Arc<str>,
    /// Host patterns (`name` or `*.name`); empty: every host of the tenant.
    pub hosts: Vec<Box<str>>,
    /// The path condition.
    pub path: PathMatch,
    /// Allowed methods; empty: every method.
    pub methods: Vec<Box<str>>,
    /// Headers that must be there (lower-case name); `None` as value: any value.
    pub headers: Vec<(Box<str>, Option<Box<str>>)>,
    /// What to do.
    pub action: Action,
    /// Whether clients without a verified certificate are refused.
    pub require_client_certificate: bool,
    /// Longest request body accepted, in bytes; over it 413.
    pub max_body_bytes: u64,
    /// Time limits.
    pub timeouts: Timeouts,
    /// IP and country rules, all of which a request has to pass: the tenant's, then the route's.
    pub access: Box<[Arc<AccessPolicy>]>,
    /// The firewall policy in force here; `None`: the firewall is off for this route.
    pub firewall: Option<Arc<FirewallPolicy>>,
    /// What limits its requests; `None`: nothing does.
    pub limits: Option<Arc<limit::Limits>>,
}

/// A path condition. Paths are compared after percent-decoding of unreserved characters and dot-segment removal
/// (RFC 3986 section 6.2.2), so that no spelling reaches a route that another spelling could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>),
    /// A prefix that ends at a segment boundary: `/a` covers `/a` and `/a/b`, not `/ab`. `/` covers all.
    Prefix(Box<str>),
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Forward to a pool.
    Forward {
        /// Where to.
        pool: Arc<Pool>,
        /// Removed from the start of the path before forwarding (on a segment boundary).
        strip_prefix: Option<Box<str>>,
    },
    /// Answer with a redirect. `location` may hold `{host}`, `{path}` and `{query}` (with its `?`).
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Template of the Location header.
        location: Box<str>,
    },
    /// Answer with a fixed response.
    Respond {
        /// Status code, 200-599.
        status: u16,
        /// Content-Type header.
        content_type: Box<str>,
        /// The body.
        body: Arc<[u8]>,
    },
}

/// Time limits of a route.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To establish a connection to a backend, TLS included.
    pub connect: Duration,
    /// From the request's last byte sent to the response head received.
    pub first_byte: Duration,
    /// Between two reads or writes while a body or an upgraded connection is passed.
    pub idle: Duration,
    /// From request head to response end; does not apply to upgraded connections, event streams and responses that a
    /// limit on bandwidth slows down.
    pub total: Duration,
}

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

/// The firewall in force on a route.
pub struct FirewallPolicy {
    /// Compiled rules, shared by every tenant that uses this version.
    pub ruleset: Arc<veloflux_waf::Ruleset>,
    /// This tenant's and route's differences from it.
    pub overlay: veloflux_waf::Overlay,
    /// Request-body bytes kept in memory for inspection.
    pub body_limit_bytes: usize,
    /// What happens to a body over the limit.
    pub over_limit: OverLimit,
    /// Response-body bytes inspected.
    pub response_limit_bytes: usize,
}

impl std::fmt::Debug for FirewallPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirewallPolicy").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

/// What happens to a request body over the inspection limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// Refuse with 413.
    Reject,
    /// Inspect the prefix, pass the rest.
    InspectPrefix,
}
