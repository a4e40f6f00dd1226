//! State that outlives snapshots: found again by id, held by `Arc` from every snapshot that uses it.
//!
//! Only atomics live here, so that a request never waits for another core; but for the collections of firewall rules,
//! where two requests may meet at the same entry, and one waits for as long as the other's change of it takes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use veloflux_waf::collections::{ProcessCollections, TenantCollections};

use crate::AccessRule;
use crate::tls::Tickets;

/// Health and load of one backend.
#[derive(Debug)]
pub struct BackendState {
    /// The backend's id, `tenant/pool/address`.
    pub id: Arc<str>,
    /// What active checks last decided; a new backend counts as healthy until a check says otherwise.
    pub healthy: AtomicBool,
    /// Set while the backend takes no new requests but finishes old ones.
    pub draining: AtomicBool,
    /// Requests in flight.
    pub in_flight: AtomicU32,
    /// Moving average of time to response head, in microseconds.
    pub latency_ewma_us: AtomicU64,
    /// When `latency_ewma_us` was last updated, in milliseconds on the process clock: old averages count less.
    pub latency_updated_ms: AtomicU64,
    /// Failures in a row of real requests.
    pub consecutive_failures: AtomicU32,
    /// Ejected until this time, in milliseconds on the process clock; 0: not ejected.
    pub ejected_until_ms: AtomicU64,
    /// Ejections in a row.
    pub ejections: AtomicU32,
    /// Smooth weighted round robin's current weight.
    pub current_weight: AtomicI64,
}

/// Counters of one pool.
#[derive(Debug)]
pub struct PoolState {
    /// The pool's id, `tenant/pool`.
    pub id: Arc<str>,
    /// Round robin's next position.
    pub next: AtomicU32,
    /// Requests begun, for the retry budget (halved every window).
    pub requests: AtomicU64,
    /// Retries made, for the retry budget (halved every window).
    pub retries: AtomicU64,
    /// Start of the budget window, in milliseconds on the process clock.
    pub window_start_ms: AtomicU64,
}

/// Counters of one tenant; what `/metrics` shows.
#[derive(Debug)]
pub struct TenantState {
    /// The tenant's id.
    pub id: Arc<str>,
    /// Requests answered, by status class 1xx-5xx (index 0-4).
    pub requests: [AtomicU64; 5],
    /// Client connections or HTTP/2 streams being served.
    pub active: AtomicI64,
    /// Duration histogram: cumulative counts are made at read time; bounds in `DURATION_BOUNDS_US`.
    pub duration: Histogram,
    /// Firewall time per transaction.
    pub waf_duration: Histogram,
    /// Requests refused by the firewall.
    pub waf_blocked: AtomicU64,
    /// Requests that the firewall would have refused in detect mode.
    pub waf_detected: AtomicU64,
    /// Units of work that judging took.
    pub waf_units: AtomicU64,
    /// Requests that would have taken more than their budget.
    pub waf_over_budget: AtomicU64,
    /// Responses that the firewall could not decode, withheld or not.
    pub waf_undecodable: AtomicU64,
    /// Requests refused by IP and country rules, by [`AccessRule`](crate::AccessRule) in the order of its `ALL`.
    pub access_blocked: [AtomicU64; AccessRule::ALL.len()],
    /// Requests that these rules would have refused, but for `action: log`.
    pub access_logged: [AtomicU64; AccessRule::ALL.len()],
    /// TLS handshakes refused for the client's certificate, by reason.
    pub clients_refused: [AtomicU64; ClientRefusal::ALL.len()],
    /// Requests refused for any other reason (limits, bad host, no backend).
    pub rejected: AtomicU64,
    /// Requests refused for maintenance.
    pub maintenance_refused: AtomicU64,
    /// Requests that were told to prove work first.
    pub challenged: AtomicU64,
    /// Reports of what a Content-Security-Policy stopped.
    pub csp_reports: AtomicU64,
    /// What the firewall's rules remember from one request to the next.
    pub collections: TenantCollections,
}

/// Why a client's certificate was refused in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRefusal {
    /// It showed none, and has to.
    Missing,
    /// Nobody who may issued it.
    UnknownAuthority,
    /// It, or an intermediate, has expired.
    Expired,
    /// It, or an intermediate, is not valid yet.
    NotValidYet,
    /// It, or an intermediate, is on a revocation list.
    Revoked,
    /// No current revocation list tells of it.
    RevocationUnknown,
    /// It carries none of the allowed names.
    Name,
    /// It is malformed, too long, or not for clients.
    Other,
}

impl ClientRefusal {
    /// All reasons, in the order of the counters.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::UnknownAuthority,
        Self::Expired,
        Self::NotValidYet,
        Self::Revoked,
        Self::RevocationUnknown,
        Self::Name,
        Self::Other,
    ];

    /// The reason's name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "expired",
            Self::NotValidYet => "not_valid_yet",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Name => "name",
            Self::Other => "other",
        }
    }
}

/// What one limit has used up, and what it did. Found again by id, so that a reload forgives nobody: not where a rate
/// changes either, for what is kept is a time, which the new rate reads in its own way (see `veloflux_proxy::limit`).
#[derive(Debug)]
pub struct LimitState {
    /// The limit's id: `tenant/plan/name`, `tenant/ceiling/name`, `tenant/tenant/name` or `tenant/route/route/name`.
    pub id: Arc<str>,
    /// Of a limit without a key, its theoretical arrival time, in nanoseconds on the process clock. Of one with a key,
    /// that of all keys together that found no place in the table.
    pub tat_ns: AtomicU64,
    /// Of a limit on how many at once, how many are. Counted per client, those of clients without a place.
    pub in_use: AtomicU64,
    /// Requests that wait until they are within the limit.
    pub waiting: AtomicU32,
    /// What became of requests over the limit, by [`LimitOutcome`].
    pub outcomes: [AtomicU64; LimitOutcome::ALL.len()],
    /// Requests that were counted together with others because there was no place left for their key.
    pub unplaced: AtomicU64,
}

/// What became of a request over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOutcome {
    /// Refused.
    Rejected,
    /// Let through after a wait.
    Delayed,
    /// Let through, as the limit only records.
    Logged,
    /// Let through, as the limit is a dry run.
    DryRun,
}

impl LimitOutcome {
    /// All, in the order of [`LimitState::outcomes`].
    pub const ALL: [Self; 4] = [Self::Rejected, Self::Delayed, Self::Logged, Self::DryRun];

    /// As metrics and logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Delayed => "delayed",
            Self::Logged => "logged",
            Self::DryRun => "dry_run",
        }
    }
}

impl LimitState {
    /// The state of a limit that nothing has used up.
    pub fn new(id: &Arc<str>) -> Self {
        Self {
            id: id.clone(),
            tat_ns: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            outcomes: Default::default(),
            unplaced: AtomicU64::new(0),
        }
    }

    /// Counts what became of a request.
    pub fn count(&self, outcome: LimitOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Upper bounds of the histograms' buckets, in microseconds; one more bucket holds the rest.
pub const DURATION_BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    10_000_000,
];

/// A fixed-bucket histogram of microseconds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Counts per bucket, not cumulative.
    pub buckets: [AtomicU64; DURATION_BOUNDS_US.len() + 1],
    /// Sum of all observations, in microseconds.
    pub sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, us: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let bucket = DURATION_BOUNDS_US.iter().position(|&b| us <= b).unwrap_or(DURATION_BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }
}

impl BackendState {
    fn new(id: &Arc<str>) -> Self {
        Self {
            id: id.clone(),
            healthy: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            latency_ewma_us: AtomicU64::new(0),
            latency_updated_ms: AtomicU64::new(0),
            consecutive_failures: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            current_weight: AtomicI64::new(0),
        }
    }
}

impl PoolState {
    fn new(id: &Arc<str>) -> Self {
        Self {
            id: id.clone(),
            next: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            window_start_ms: AtomicU64::new(0),
        }
    }
}

impl TenantState {
    fn new(id: &Arc<str>, collections: &Arc<ProcessCollections>) -> Self {
        Self {
            id: id.clone(),
            requests: Default::default(),
            active: AtomicI64::new(0),
            duration: Histogram::default(),
            waf_duration: Histogram::default(),
            waf_blocked: AtomicU64::new(0),
            waf_detected: AtomicU64::new(0),
            waf_units: AtomicU64::new(0),
            waf_over_budget: AtomicU64::new(0),
            waf_undecodable: AtomicU64::new(0),
            access_blocked: Default::default(),
            access_logged: Default::default(),
            clients_refused: Default::default(),
            rejected: AtomicU64::new(0),
            maintenance_refused: AtomicU64::new(0),
            challenged: AtomicU64::new(0),
            csp_reports: AtomicU64::new(0),
            collections: collections.tenant(),
        }
    }
}

/// Finds state again by id. Used when a snapshot is compiled and by observers, never on a request's path.
#[derive(Debug, Default)]
pub struct Registry {
    backends: Mutex<Kept<BackendState>>,
    pools: Mutex<Kept<PoolState>>,
    tenants: Mutex<Kept<TenantState>>,
    tickets: Mutex<Kept<Tickets>>,
    limits: Mutex<Kept<LimitState>>,
    /// The collections of all tenants.
    collections: Arc<ProcessCollections>,
}

impl Registry {
    /// The backend's state, kept as long as any snapshot or request holds it.
    pub fn backend(&self, id: &Arc<str>) -> Arc<BackendState> {
        get_or_create(&self.backends, id, BackendState::new)
    }

    /// The pool's state.
    pub fn pool(&self, id: &Arc<str>) -> Arc<PoolState> {
        get_or_create(&self.pools, id, PoolState::new)
    }

    /// The limit's state.
    pub fn limit(&self, id: &Arc<str>) -> Arc<LimitState> {
        get_or_create(&self.limits, id, LimitState::new)
    }

    /// The tenant's state.
    pub fn tenant(&self, id: &Arc<str>) -> Arc<TenantState> {
        get_or_create(&self.tenants, id, |id| TenantState::new(id, &self.collections))
    }
}

impl Registry {
    /// The ticket keys of the policy `id`, made to rotate every `period` when it is new. Fails where the system gives no
    /// random numbers.
    pub(crate) fn tickets(&self, id: &Arc<str>, period: Duration) -> Result<Arc<Tickets>, rustls::Error> {
        get_or_try_create(&self.tickets, id, |_| Tickets::new(period))
    }
}

/// States by id, those that nobody holds any more among them until the next sweep.
#[derive(Debug)]
struct Kept<T> {
    by_id: HashMap<Arc<str>, Weak<T>>,
    /// Size at which dead entries are swept out. It is twice the number of entries that lived through the last
    /// sweep, so that all sweeps together cost no more than all insertions.
    sweep_at: usize,
}

/// Least size at which a sweep is worth its while.
const MIN_SWEEP: usize = 64;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { by_id: HashMap::new(), sweep_at: MIN_SWEEP }
    }
}

fn get_or_create<T>(kept: &Mutex<Kept<T>>, id: &Arc<str>, make: impl FnOnce(&Arc<str>) -> T) -> Arc<T> {
    let Ok(made) = get_or_try_create(kept, id, |id| Ok::<_, Infallible>(make(id)));
    made
}

fn get_or_try_create<T, E>(
    kept: &Mutex<Kept<T>>,
    id: &Arc<str>,
    make: impl FnOnce(&Arc<str>) -> Result<T, E>,
) -> Result<Arc<T>, E> {
    let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(found) = kept.by_id.get(id).and_then(Weak::upgrade) {
        return Ok(found);
    }
    if kept.by_id.len() >= kept.sweep_at {
        kept.by_id.retain(|_, weak| weak.strong_count() > 0);
        kept.sweep_at = MIN_SWEEP.max(2 * kept.by_id.len());
    }
    let made = Arc::new(make(id)?);
    kept.by_id.insert(id.clone(), Arc::downgrade(&made));
    Ok(made)
}

#[cfg(test)]
mod tests {
    use veloflux_waf::collections::{Change, Collections as _, EntryKey, Kind, Update};

    use super::*;

    #[test]
    fn state_is_found_again_while_it_is_held() {
        let registry = Registry::default();
        let id: Arc<str> = "acme/web".into();
        let first = registry.pool(&id);
        assert!(Arc::ptr_eq(&first, &registry.pool(&id)));
        drop(first);
        assert_eq!(Arc::strong_count(&registry.pool(&id)), 1);
    }

    #[test]
    fn collections_are_kept_as_long_as_their_tenant() {
        let registry = Registry::default();
        let (acme, other) = (registry.tenant(&"acme".into()), registry.tenant(&"other".into()));
        let add = |to: &TenantState| {
            let key = EntryKey::new(Kind::Global, "", b"all").unwrap();
            let at = Update { now_s: 1, timeout_s: 60, is_first: true };
            to.collections.change(&key, &Change::Add { name: b"n", amount: 1 }, &at).unwrap()
        };
        assert_eq!(
            (add(&acme), add(&registry.tenant(&"acme".into())), add(&other)),
            (Some(1), Some(2), Some(1))
        );
        drop(acme);
        assert_eq!(
            add(&registry.tenant(&"acme".into())),
            Some(1),
            "nothing is left to a tenant that comes back"
        );
    }

    #[test]
    fn what_nobody_holds_is_swept_out() {
        let registry = Registry::default();
        let held = registry.tenant(&"held".into());
        for number in 0..10_000 {
            registry.tenant(&format!("t{number}").into());
        }
        assert!(registry.tenants.lock().unwrap().by_id.len() <= 2 * MIN_SWEEP);
        assert!(Arc::ptr_eq(&held, &registry.tenant(&"held".into())));
    }
}
