//! Limits: how often, how many at once and how fast, per tenant, route and whatever else a rule's key names.
//!
//! Policy:
//!
//! - All limits of a request hold at once: its plan's, the operator's for the tenant, the tenant's, the route's. None
//!   replaces another, so that no tenant lifts a ceiling. A request that no route takes is held to those of its tenant.
//! - Rates are judged by the generic cell rate algorithm (`gcra`): a burst, then the rate, over any time. What counts is
//!   when a request's head had been read, on the monotonic clock that all cores share.
//! - Rules are asked one after the other, those with a key first. A request that one refuses is charged to none: what the
//!   others charged is taken back, so that whoever is refused uses up nothing that others share.
//! - One over a limit is refused with 429 (RFC 6585 section 4) and `Retry-After` (RFC 9110 section 10.2.3), waits, or is
//!   only recorded. Who waits does so without being in anybody's way; how long and how many is bounded.
//! - Clients are told of the rule that leaves them least, in `RateLimit-Policy` and `RateLimit`
//!   (draft-ietf-httpapi-ratelimit-headers): `q` and `w` are the rate as it is written, `r` how many more may come at
//!   once, `t` the seconds until all is given back.
//! - Who a client is was settled before, behind trusted proxies only; nothing here reads a forwarding header.
//! - Nothing waits for another core, and a request within its limits allocates nothing. What is remembered, how much
//!   memory it takes, and that it is never given up before its time, stands in `table`.

mod at_once;
mod gcra;
mod key;
mod limiter;
mod pacer;
mod table;

use std::future::poll_fn;
use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use veloflux_model::desired::MAX_RATES;
use veloflux_snapshot::limit::{AtOnce, LimitAction, Limits, MAX_LISTS, RateRule};
use veloflux_snapshot::runtime::{LimitOutcome, LimitState};
use veloflux_snapshot::{PathMatch, Tenant};

use crate::accept::ConnectionInfo;
use crate::answer::Rejection;
use crate::core::Core;
use crate::exchange::Client;
use crate::head::Fields;
use crate::observe::Observation;
use crate::record::LimitSummary;

pub(crate) use at_once::{ConnectionPlace, Places, connections_per_client};
pub use gcra::{Over, Within};
pub(crate) use key::{KeyHash, Subject};
pub use limiter::{Answer, Bucket, Charge, Limiter, ProcessLimiter, Verdict};
pub(crate) use pacer::Pacer;
pub use table::Key;
use table::Table;

/// Memory for the clients of limits on how many at once, in bytes: over a million of them at the same time.
const COUNTS_BYTES: usize = 16 << 20;

/// When to try again where nobody can say when a place is free, in seconds.
const RETRY_PLACE_S: u32 = 1;

/// What is remembered of requests, for the life of the process.
#[derive(Debug)]
pub(crate) struct Tables {
    hash: KeyHash,
    limiter: Box<dyn Limiter>,
    /// How many of something there are, by client.
    counts: Table,
}

impl Tables {
    /// Tables that take at most `rates_bytes` for the keys of rates.
    pub(crate) fn new(rates_bytes: usize) -> Self {
        Self {
            hash: KeyHash::default(),
            limiter: Box::new(ProcessLimiter::new(rates_bytes)),
            counts: Table::new(COUNTS_BYTES),
        }
    }

    /// Memory taken, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.limiter.memory_bytes() + self.counts.bytes()
    }
}

/// A request that was over a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limited<'s> {
    pub(crate) state: &'s LimitState,
    pub(crate) name: &'s str,
    pub(crate) outcome: LimitOutcome,
    /// How long it was made to wait, or when it could have come again.
    pub(crate) time: Duration,
}

/// What a client is told of a rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota<'s> {
    /// The value of `RateLimit-Policy`.
    pub(crate) policy: &'s str,
    pub(crate) name: &'s str,
    /// How many more may come at once.
    pub(crate) left: u32,
    /// When all is given back.
    pub(crate) reset_ns: u64,
}

impl Limited<'_> {
    /// For the logs.
    pub(crate) fn summary(&self) -> LimitSummary<'_> {
        LimitSummary {
            // `tenant/who/name`; neither a tenant's name nor one who sets limits holds the separators.
            set_by: self.state.id.split(['/', '#']).nth(1).unwrap_or_default(),
            name: self.name,
            outcome: self.outcome.name(),
            time_ms: u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Quota<'_> {
    /// Adds the fields that tell the client.
    pub(crate) fn write(&self, fields: &mut Fields) {
        // A name is letters, digits, `-`, `_` and `.`: a structured string as it is (RFC 9651 section 3.3.3).
        fields.push(b"RateLimit-Policy", self.policy.as_bytes());
        let Self { name, left, reset_ns, .. } = self;
        fields.push_with(b"RateLimit", |value| {
            // Writing to a vector does not fail.
            let _ = write!(value, "\"{name}\";r={left};t={}", whole_seconds(*reset_ns));
        });
    }
}

/// The limits' stage: lets a request through, makes it wait, or refuses it. What it holds meanwhile is given back when
/// the result is dropped.
pub(crate) async fn admit<'s, C: Client>(
    core: &'s Core,
    tenant: &Tenant,
    limits: &'s Limits,
    subject: &Subject<'_>,
    info: &ConnectionInfo,
    client: &mut C,
    observed: &mut Observation<'s>,
) -> Result<Places<'s>, Rejection> {
    let tables = &core.shared.limits;
    if !limits.connections.is_empty() {
        let peer = info.peer.ip();
        let peer = (!core.config.trusted_proxies.contains(peer)).then_some(peer);
        if let Err(limit) = info.place.take(tables, &tenant.id, limits, peer) {
            client.close_after();
            return Err(too_many_at_once(limit, observed));
        }
    }
    let places =
        Places::take(tables, limits, subject.client).map_err(|limit| too_many_at_once(limit, observed))?;
    if !limits.rates.is_empty() {
        rates(core, limits, subject, client, observed).await?;
    }
    *client.pacer() = Pacer::new(limits, core.epoch);
    Ok(places)
}

fn too_many_at_once<'s>(limit: &'s AtOnce, observed: &mut Observation<'s>) -> Rejection {
    observed.limited(Limited {
        state: &limit.state,
        name: &limit.name,
        outcome: LimitOutcome::Rejected,
        time: Duration::from_secs(RETRY_PLACE_S.into()),
    });
    Rejection::TooManyRequests { retry_after_s: RETRY_PLACE_S }
}

async fn rates<'s, C: Client>(
    core: &Core,
    limits: &'s Limits,
    subject: &Subject<'_>,
    client: &mut C,
    observed: &mut Observation<'s>,
) -> Result<(), Rejection> {
    let tables = &core.shared.limits;
    let now_ns = core.now_ns(observed.begun);
    let asked = |rule: &'s RateRule| asked(tables, limits, rule, subject, now_ns);
    let mut waiting = Waiting::default();
    // One bit for each rule.
    const { assert!(MAX_LISTS * MAX_RATES <= 128) };
    let mut charged = 0_u128;
    for (index, rule) in limits.rates.iter().enumerate() {
        if !applies(rule, subject) {
            continue;
        }
        let (bucket, charge) = asked(rule);
        let over = match tables.limiter.charge(&bucket, &charge).verdict().await {
            Ok(within) if within.wait_ns == 0 || waiting.join(rule, within.wait_ns) => {
                observed.quota(rule, within.left, within.reset_ns);
                charged |= 1 << index;
                continue;
            }
            Ok(within) => {
                tables.limiter.refund(&bucket, &charge);
                Over { retry_ns: within.wait_ns, reset_ns: within.reset_ns }
            }
            Err(over) => over,
        };
        let outcome = match rule.action {
            _ if rule.dry_run => LimitOutcome::DryRun,
            LimitAction::Log => LimitOutcome::Logged,
            LimitAction::Reject | LimitAction::Delay { .. } => LimitOutcome::Rejected,
        };
        let time = Duration::from_nanos(over.retry_ns);
        observed.limited(Limited { state: &rule.state, name: &rule.name, outcome, time });
        observed.quota(rule, 0, over.reset_ns);
        if outcome == LimitOutcome::Rejected {
            let was_charged = |(index, _): &(usize, &RateRule)| charged >> index & 1 == 1;
            for (_, rule) in limits.rates.iter().enumerate().filter(was_charged) {
                let (bucket, charge) = asked(rule);
                tables.limiter.refund(&bucket, &charge);
            }
            return Err(Rejection::TooManyRequests {
                retry_after_s: whole_seconds(over.retry_ns).max(1) as u32,
            });
        }
    }
    waiting.sit_out(client, observed).await
}

/// What a request asks of a rule.
fn asked<'r>(
    tables: &Tables,
    limits: &Limits,
    rule: &'r RateRule,
    subject: &Subject<'_>,
    now_ns: u64,
) -> (Bucket<'r>, Charge) {
    let key = || tables.hash.key(limits.tenant_mark, &rule.state.id, &rule.key, subject);
    let max_wait_ns = match rule.action {
        LimitAction::Delay { max_wait, .. } if !rule.dry_run => max_wait.as_nanos() as u64,
        _ => 0,
    };
    let bucket = Bucket { state: &rule.state, key: (!rule.key.is_empty()).then(key) };
    (bucket, Charge { pace: rule.pace, cost: rule.cost, max_wait_ns, now_ns })
}

/// Whether a rule counts a request: also where only a lenient server would take it for what the rule is about.
fn applies(rule: &RateRule, subject: &Subject<'_>) -> bool {
    let is_method = |method: &str| method.as_bytes().eq_ignore_ascii_case(subject.head.method());
    let is_path = |wanted: &PathMatch| {
        is_in(wanted, subject.path) || subject.readings.iter().any(|reading| is_in(wanted, reading))
    };
    (rule.methods.is_empty() || rule.methods.iter().any(|method| is_method(method)))
        && rule.path.as_ref().is_none_or(is_path)
}

/// Whether a path is one that is wanted, in upper or lower case, with or without a `/` at its end.
fn is_in(wanted: &PathMatch, path: &[u8]) -> bool {
    let without_end = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).len();
    let (wanted, is_exact) = match wanted {
        PathMatch::Exact(exact) => (exact, true),
        PathMatch::Prefix(prefix) => (prefix, false),
    };
    let wanted = &wanted.as_bytes()[..without_end(wanted.as_bytes())];
    path.split_at_checked(wanted.len()).is_some_and(|(begin, rest)| {
        begin.eq_ignore_ascii_case(wanted)
            && if is_exact { matches!(rest, b"" | b"/") } else { rest.is_empty() || rest[0] == b'/' }
    })
}

/// Rounded up.
fn whole_seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000)
}

/// The rules that make a request wait.
#[derive(Debug, Default)]
struct Waiting<'s> {
    rules: Vec<(&'s RateRule, u64)>,
}

impl<'s> Waiting<'s> {
    /// Joins those who wait for `rule`, unless there are too many.
    fn join(&mut self, rule: &'s RateRule, wait_ns: u64) -> bool {
        let LimitAction::Delay { max_waiting, .. } = rule.action else { return false };
        if rule.state.waiting.fetch_add(1, Relaxed) >= max_waiting {
            rule.state.waiting.fetch_sub(1, Relaxed);
            return false;
        }
        self.rules.push((rule, wait_ns));
        true
    }

    /// Waits as long as the slowest rule asks, or until the client goes away.
    async fn sit_out<C: Client>(
        self,
        client: &mut C,
        observed: &mut Observation<'s>,
    ) -> Result<(), Rejection> {
        let Some(longest) = self.rules.iter().map(|(_, wait_ns)| *wait_ns).max() else { return Ok(()) };
        for &(rule, wait_ns) in &self.rules {
            let time = Duration::from_nanos(wait_ns);
            observed.limited(Limited {
                state: &rule.state,
                name: &rule.name,
                outcome: LimitOutcome::Delayed,
                time,
            });
        }
        client.deadline().set(Instant::now() + Duration::from_nanos(longest));
        poll_fn(|cx| {
            if client.poll_gone(cx).is_ready() {
                return std::task::Poll::Ready(Err(Rejection::ClientGone));
            }
            client.deadline().poll_due(cx).map(Ok)
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (rule, _) in &self.rules {
            rule.state.waiting.fetch_sub(1, Relaxed);
        }
    }
}
