//! May a failed attempt be made again?
//!
//! [`may_retry`] judges the attempt: nothing of the response has gone out, the body can be sent again, and either
//! the backend certainly did not act on the request or the method is idempotent (RFC 9110 section 9.2.2), so that
//! acting on it twice does no harm.
//!
//! [`Budget`] judges the pool: retries may add at most [`Retry::budget_percent`] to its requests, so that they
//! cannot double the load on backends that are failing because of load. Counts are halved every
//! [`WINDOW_MS`]: a cheap sliding window. [`FLOOR_PER_WINDOW`] retries are always allowed, or a quiet pool could
//! never retry.

use std::sync::atomic::Ordering::Relaxed;

use http::Method;
use veloflux_snapshot::Retry;
use veloflux_snapshot::runtime::PoolState;

/// Length of the budget's window, in milliseconds.
pub const WINDOW_MS: u64 = 10_000;

/// Retries allowed per window whatever the number of requests.
pub const FLOOR_PER_WINDOW: u64 = 10;

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made (refused, unreachable, TLS failed, connect time-out): nothing was sent.
    Connect,
    /// The backend said that it did not act on the request: HTTP/2 REFUSED_STREAM, or a GOAWAY whose last stream
    /// is an earlier one (RFC 9113 section 8.7).
    NotProcessed,
    /// The connection ended or was reset before a response; what the backend did is not known.
    Closed,
    /// No response head in time; what the backend did is not known.
    FirstByteTimeout,
    /// What came back was not HTTP: trying again will not help.
    BadResponse,
}

/// What became of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none, it is kept whole in memory, or none of it has been read from the client yet.
    Replayable,
    /// Some of it has been read, sent and not kept.
    Spent,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// What became of its body.
    pub body: Body,
    /// Whether any byte of this request was written to the backend's connection.
    pub sent: bool,
    /// Whether any byte of a response has been passed to the client.
    pub response_begun: bool,
    /// What failed.
    pub failure: Failure,
    /// Retries made for this request so far.
    pub retries: u32,
}

/// Whether `attempt` may be repeated under `policy`. The caller then still asks [`Budget::take`].
pub fn may_retry(policy: &Retry, attempt: &Attempt<'_>) -> bool {
    let untouched = !attempt.sent || matches!(attempt.failure, Failure::Connect | Failure::NotProcessed);
    attempt.retries < policy.attempts
        && !attempt.response_begun
        && attempt.body == Body::Replayable
        && attempt.failure != Failure::BadResponse
        && (untouched || is_idempotent(attempt.method))
}

/// Methods of RFC 9110 section 9.2.2. Unknown ones count as not idempotent.
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// A pool's retry budget.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    pool: &'a PoolState,
    percent: u32,
}

impl<'a> Budget<'a> {
    /// The budget of `pool` under `policy`.
    pub fn of(pool: &'a PoolState, policy: &Retry) -> Self {
        Self { pool, percent: policy.budget_percent }
    }

    /// Counts a request (once, not per attempt). `now_ms` is on the process clock.
    pub fn count_request(&self, now_ms: u64) {
        self.roll(now_ms);
        self.pool.requests.fetch_add(1, Relaxed);
    }

    /// Takes one retry out of the budget; `false`: it is used up, and the failure must be answered.
    pub fn take(&self, now_ms: u64) -> bool {
        self.roll(now_ms);
        let allowed = self.pool.requests.load(Relaxed).saturating_mul(u64::from(self.percent)) / 100;
        let allowed = allowed.max(FLOOR_PER_WINDOW);
        self.pool.retries.fetch_update(Relaxed, Relaxed, |made| (made < allowed).then_some(made + 1)).is_ok()
    }

    /// Halves the counts for every window that has passed.
    fn roll(&self, now_ms: u64) {
        let start = self.pool.window_start_ms.load(Relaxed);
        let windows = now_ms.saturating_sub(start) / WINDOW_MS;
        if windows == 0 {
            return;
        }
        let next = start + windows * WINDOW_MS;
        if self.pool.window_start_ms.compare_exchange(start, next, Relaxed, Relaxed).is_err() {
            return; // Another core does it.
        }
        let halved = |count: u64| Some(count.checked_shr(windows.min(64) as u32).unwrap_or(0));
        for counter in [&self.pool.requests, &self.pool.retries] {
            // The closure never declines, so this cannot fail.
            let _ = counter.fetch_update(Relaxed, Relaxed, halved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use veloflux_snapshot::runtime::Registry;

    const POLICY: Retry = Retry { attempts: 2, budget_percent: 20 };

    fn attempt(method: &Method) -> Attempt<'_> {
        Attempt {
            method,
            body: Body::Replayable,
            sent: true,
            response_begun: false,
            failure: Failure::Closed,
            retries: 0,
        }
    }

    #[test]
    fn idempotent_methods_are_repeated_and_others_not() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            let method = method.parse().unwrap();
            assert!(may_retry(&POLICY, &attempt(&method)), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PROPFIND", "get"] {
            let method = method.parse().unwrap();
            assert!(!may_retry(&POLICY, &attempt(&method)), "{method}");
        }
    }

    #[test]
    fn what_the_backend_did_not_act_on_is_repeated_whatever_the_method() {
        for failure in [Failure::Connect, Failure::NotProcessed] {
            assert!(may_retry(&POLICY, &Attempt { failure, ..attempt(&Method::POST) }));
        }
        assert!(may_retry(&POLICY, &Attempt { sent: false, ..attempt(&Method::POST) }));
    }

    #[test]
    fn a_begun_response_a_spent_body_used_up_attempts_or_a_broken_response_end_it() {
        let get = attempt(&Method::GET);
        assert!(!may_retry(&POLICY, &Attempt { response_begun: true, ..get }));
        assert!(!may_retry(&POLICY, &Attempt { body: Body::Spent, failure: Failure::NotProcessed, ..get }));
        assert!(!may_retry(&POLICY, &Attempt { retries: 2, ..get }));
        assert!(!may_retry(&POLICY, &Attempt { failure: Failure::BadResponse, ..get }));
    }

    fn pool() -> Arc<PoolState> {
        Registry::default().pool(&"t/p".into())
    }

    fn takes(budget: Budget<'_>, now_ms: u64) -> usize {
        (0..1_000).take_while(|_| budget.take(now_ms)).count()
    }

    #[test]
    fn retries_stay_within_their_share_of_requests() {
        let pool = pool();
        let budget = Budget::of(&pool, &POLICY);
        (0..1_000).for_each(|_| budget.count_request(5));
        assert_eq!(takes(budget, 6), 200);
        assert!(!budget.take(WINDOW_MS - 1));
    }

    #[test]
    fn a_quiet_pool_may_retry_a_few_times_per_window() {
        let pool = pool();
        let budget = Budget::of(&pool, &POLICY);
        budget.count_request(0);
        assert_eq!(takes(budget, 1), FLOOR_PER_WINDOW as usize);
        assert_eq!(takes(budget, WINDOW_MS), FLOOR_PER_WINDOW as usize / 2);
        assert_eq!(takes(budget, 50 * WINDOW_MS), FLOOR_PER_WINDOW as usize);
    }

    #[test]
    fn old_requests_count_half_after_each_window() {
        let pool = pool();
        let budget = Budget::of(&pool, &POLICY);
        (0..1_000).for_each(|_| budget.count_request(5));
        assert_eq!(takes(budget, 2 * WINDOW_MS), 50);
    }

    #[test]
    fn the_budget_holds_when_cores_race() {
        let pool = pool();
        (0..1_000).for_each(|_| Budget::of(&pool, &POLICY).count_request(5));
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| takes(Budget::of(&pool, &POLICY), 6))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 200);
    }
}
