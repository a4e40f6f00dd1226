//! A revision compiled for serving.
//!
//! [`compile`](compile::compile) turns a desired state into a [`Snapshot`]: immutable, swapped in whole, read by
//! every core without a lock. What must outlive a snapshot (counters, health, connection pools' keys) lives in
//! [`runtime`] and is found again by id, so that a reload of one tenant disturbs no other.

pub mod access;
pub mod compile;
pub mod geo;
pub mod headers;
mod hosts;
pub mod limit;
pub mod managed;
pub mod mode;
mod pool;
pub mod publish;
pub mod runtime;
pub mod template;
pub mod tls;

pub use access::{AccessAction, AccessPolicy, AccessRule};
pub use compile::{Inputs, Lapsed, compile};
pub use geo::{Geo, GeoDatabase, Origin};
pub use hosts::{HostEntry, HostTable};
pub use pool::{
    Algorithm, Backend, BackendAddress, BackendProtocol, BackendTls, Ejection, HealthCheck, HealthKind, Pool,
    Retry, Sticky,
};
pub use publish::{CachedReader, Publisher, Reader};

use std::sync::Arc;
use std::time::Duration;

use managed::{IssuedCertificates, ManagedDomain};
use veloflux_model::addresses::AddressList;

use runtime::TenantState;

/// Everything the data plane needs to serve one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the revision this was compiled from; grows by one with every accepted change.
    pub revision: u64,
    /// All tenants, ordered by id.
    pub tenants: Vec<Arc<Tenant>>,
    /// Which tenant owns a host name.
    pub hosts: HostTable<HostEntry>,
    /// What happens to header fields of responses that belong to no tenant.
    pub header_policy: Arc<headers::Headers>,
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
        let Self {
            revision,
            tenants,
            hosts,
            header_policy,
            managed,
            default_tls,
            geo,
            metrics_access,
            data_files,
        } = self;
        let mut next = Self {
            revision: revision + 1,
            tenants: tenants.clone(),
            hosts: hosts.clone(),
            header_policy: header_policy.clone(),
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
    /// What happens to header fields of responses that no route makes.
    pub header_policy: Arc<headers::Headers>,
    /// How often clients may report what a Content-Security-Policy stopped; `None`: no reports are taken.
    pub csp_reports: Option<Arc<limit::Limits>>,
    /// As usual, closed for maintenance, or under attack.
    pub mode: mode::Mode,
    /// Counters that outlive the snapshot.
    pub state: Arc<TenantState>,
}

impl Tenant {
    /// What limits requests that no route takes; `is_spared`: the tenant's mode is not for them. `None`: nothing does.
    pub fn limits(&self, is_spared: bool) -> Option<&Arc<limit::Limits>> {
        match &self.mode {
            mode::Mode::UnderAttack(attack) if is_spared => attack.spared_limits.as_ref(),
            _ => self.limits.as_ref(),
        }
    }
}

impl Route {
    /// What limits its requests; `is_spared`: the tenant's mode is not for them. `None`: nothing does.
    pub fn limits(&self, is_spared: bool) -> Option<&Arc<limit::Limits>> {
        self.usual.as_ref().filter(|_| is_spared).map_or(&self.limits, |usual| &usual.limits).as_ref()
    }

    /// The firewall policy for its requests; `is_spared`: the tenant's mode is not for them. `None`: the firewall is off.
    pub fn firewall(&self, is_spared: bool) -> Option<&Arc<FirewallPolicy>> {
        self.usual.as_ref().filter(|_| is_spared).map_or(&self.firewall, |usual| &usual.firewall).as_ref()
    }
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
    /// What holds in place of `firewall` and `limits` for requests that the tenant's mode is not for; `None`: the same.
    pub usual: Option<mode::Usual>,
    /// What happens to header fields.
    pub header_policy: Arc<headers::Headers>,
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
    /// Answer with a redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The Location header.
        location: template::Template,
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
