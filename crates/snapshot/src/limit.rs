//! Limits as they are in force on a route: the plan's, the operator's for the tenant, the tenant's, and the route's.
//! None of them replaces another, so that a ceiling holds whatever a tenant writes.

use std::sync::Arc;
use std::time::Duration;

use crate::PathMatch;
use crate::runtime::LimitState;

/// Most lists of limits that hold for one request: its plan's, the ceilings', the tenant's, the route's, an attack's.
pub const MAX_LISTS: usize = 5;

/// Everything that limits requests of one route, or those of a tenant that no route takes.
#[derive(Debug)]
pub struct Limits {
    /// Rules of rates, those with a key first: what one client does too often should not touch what all share.
    pub rates: Vec<RateRule>,
    /// How many client connections may be open.
    pub connections: Vec<AtOnce>,
    /// How many requests may be in flight.
    pub requests: Vec<AtOnce>,
    /// How fast responses may be.
    pub bandwidth: Vec<Bandwidth>,
    /// Tells tenants apart where they share the table of keys.
    pub tenant_mark: u16,
}

impl Limits {
    /// What each of the limits that a request can be over has used up, and did.
    pub fn states(&self) -> impl Iterator<Item = &Arc<LimitState>> {
        let rates = self.rates.iter().map(|rule| &rule.state);
        let at_once = self.connections.iter().chain(&self.requests).map(|limit| &limit.state);
        rates.chain(at_once)
    }
}

/// How often requests may come.
#[derive(Debug)]
pub struct RateRule {
    /// The rule's name.
    pub name: Arc<str>,
    /// What is counted together; empty: all requests.
    pub key: Vec<KeyPart>,
    /// Methods of the requests that count; empty: all.
    pub methods: Vec<Box<str>>,
    /// Their path; `None`: every path.
    pub path: Option<PathMatch>,
    /// How often, and how many at once.
    pub pace: Pace,
    /// As how many a request counts.
    pub cost: u32,
    /// What happens to a request over the limit.
    pub action: LimitAction,
    /// Whether it is only recorded what would happen.
    pub dry_run: bool,
    /// What clients are told of the rule in `RateLimit-Policy`; `None`: nothing of it.
    pub policy: Option<Box<str>>,
    /// What was used up.
    pub state: Arc<LimitState>,
}

/// The increment and the limit of the generic cell rate algorithm (ITU-T I.371 annex A), in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two requests at the rate, rounded up; at least 1.
    pub interval_ns: u64,
    /// In how long a full burst is given back; at least `interval_ns`.
    pub burst_ns: u64,
}

impl Pace {
    /// `count` in each `period`, and `burst` at once.
    pub fn new(count: u32, period: Duration, burst: u32) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval_ns = period_ns.div_ceil(u64::from(count.max(1))).max(1);
        Self { interval_ns, burst_ns: interval_ns.saturating_mul(u64::from(burst.max(1))) }
    }
}

/// Something that requests have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address; of an IPv6 address the first so many bits.
    Client(u8),
    /// The route.
    Route,
    /// The method.
    Method,
    /// The path in normal form.
    Path,
    /// The value of this header (lower-case name).
    Header(Box<str>),
    /// The value of this cookie.
    Cookie(Box<str>),
    /// An API key.
    ApiKey {
        /// The header (lower-case name) that holds it.
        header: Option<Box<str>>,
        /// The query parameter that holds it.
        query: Option<Box<str>>,
    },
}

/// What happens to a request over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitAction {
    /// It is refused.
    Reject,
    /// It waits; where that would take too long, or too many wait, it is refused.
    Delay {
        /// The longest wait.
        max_wait: Duration,
        /// How many may wait at once.
        max_waiting: u32,
    },
    /// It is recorded and let through.
    Log,
}

/// How many at once.
#[derive(Debug)]
pub struct AtOnce {
    /// The limit's name: `connections`, `connections_per_client`, `requests` or `requests_per_client`.
    pub name: Arc<str>,
    /// How many.
    pub most: u32,
    /// Each client by itself, IPv6 clients by so many leading bits of their address; `None`: all together.
    pub per_client: Option<u8>,
    /// How many there are.
    pub state: Arc<LimitState>,
}

/// How fast responses may be, all together.
#[derive(Debug)]
pub struct Bandwidth {
    /// Body bytes a second.
    pub bytes_per_s: u64,
    /// When what was sent so far is paid.
    pub state: Arc<LimitState>,
}
