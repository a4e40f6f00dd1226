//! Passive ejection: a backend that fails real requests is left out for a while.
//!
//! - `consecutive_failures` failures in a row eject for `base`; each further ejection doubles that, up to
//!   [`LONGEST_IN_BASES`] times `base`. One success ends the run of failures.
//! - At most `max_ejected_percent` of a pool is out at once (rounded down, so 10 % of three backends is none).
//!   Cores that eject different backends at the same instant may overshoot by one each; balancing then still uses
//!   ejected backends when nobody else is left.
//! - A backend returns slowly: for one `base` after its time is over it gets a share that grows from
//!   [`FIRST_SHARE_PERCENT`] to all, so that a cold or still sick one is not hit by everything at once. While it
//!   returns, a single failure ejects it again.
//! - The doubling is forgotten at the first success after the return is over.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use veloflux_snapshot::runtime::BackendState;
use veloflux_snapshot::{Ejection, Pool};

/// The longest ejection, in multiples of [`Ejection::base`].
const LONGEST_IN_BASES: u64 = 10;

/// The share of its usual requests that a backend gets right after an ejection, in percent.
const FIRST_SHARE_PERCENT: u64 = 5;

/// Where a backend stands between being ejected and being back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not ejected.
    In,
    /// Ejected.
    Out,
    /// Back from an ejection, with a part of its requests.
    Returning {
        /// How much of its usual requests it should get, 5-99.
        share_percent: u8,
    },
}

/// The backend's phase at `now_ms` on the process clock.
pub fn phase(policy: &Ejection, backend: &BackendState, now_ms: u64) -> Phase {
    let until_ms = backend.ejected_until_ms.load(Relaxed);
    if until_ms == 0 {
        return Phase::In;
    }
    let Some(since_ms) = now_ms.checked_sub(until_ms) else { return Phase::Out };
    let base_ms = base_ms(policy);
    if since_ms >= base_ms {
        return Phase::In;
    }
    let share = FIRST_SHARE_PERCENT + since_ms.saturating_mul(100 - FIRST_SHARE_PERCENT) / base_ms;
    Phase::Returning { share_percent: share.min(99) as u8 }
}

/// A backend answered: its run of failures is over.
pub fn on_success(policy: &Ejection, backend: &BackendState, now_ms: u64) {
    // Written only when it changes something: this runs for every request on every core.
    if backend.consecutive_failures.load(Relaxed) != 0 {
        backend.consecutive_failures.store(0, Relaxed);
    }
    if backend.ejected_until_ms.load(Relaxed) != 0 && phase(policy, backend, now_ms) == Phase::In {
        backend.ejections.store(0, Relaxed);
        backend.ejected_until_ms.store(0, Relaxed);
    }
}

/// The pool's backend `index` failed a request (connect error, time-out, broken response, 502-504). Gives the
/// length of the ejection if this failure caused one.
pub fn on_failure(pool: &Pool, index: usize, now_ms: u64) -> Option<Duration> {
    let policy = pool.ejection.as_ref()?;
    let backend = &pool.backends.get(index)?.state;
    let failures = backend.consecutive_failures.fetch_add(1, Relaxed).saturating_add(1);
    let limit = match phase(policy, backend, now_ms) {
        Phase::In => policy.consecutive_failures,
        Phase::Returning { .. } => 1,
        Phase::Out => return None,
    };
    if failures < limit || !has_room(policy, pool, now_ms) {
        return None;
    }
    let previous = backend.ejected_until_ms.load(Relaxed);
    let doublings = backend.ejections.load(Relaxed).min(u64::BITS - 1);
    let length_ms = base_ms(policy).saturating_mul((1 << doublings).min(LONGEST_IN_BASES));
    // Of several cores that see the last failure only one ejects.
    let until_ms = now_ms.saturating_add(length_ms);
    backend.ejected_until_ms.compare_exchange(previous, until_ms, Relaxed, Relaxed).ok()?;
    backend.ejections.fetch_add(1, Relaxed);
    backend.consecutive_failures.store(0, Relaxed);
    Some(Duration::from_millis(length_ms))
}

fn has_room(policy: &Ejection, pool: &Pool, now_ms: u64) -> bool {
    let out = pool.backends.iter().filter(|b| phase(policy, &b.state, now_ms) == Phase::Out).count();
    (out + 1) * 100 <= pool.backends.len() * policy.max_ejected_percent as usize
}

fn base_ms(policy: &Ejection) -> u64 {
    u64::try_from(policy.base.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{EJECTION, pool_of};
    use veloflux_snapshot::Algorithm;

    fn pool(backends: usize) -> Pool {
        let mut pool = pool_of(Algorithm::RoundRobin, &vec![1; backends]);
        pool.ejection = Some(EJECTION);
        pool
    }

    fn phase_of(pool: &Pool, index: usize, now_ms: u64) -> Phase {
        phase(&EJECTION, &pool.backends[index].state, now_ms)
    }

    #[test]
    fn failures_in_a_row_eject_and_others_do_not() {
        let pool = pool(4);
        assert_eq!(on_failure(&pool, 0, 10), None);
        on_success(&EJECTION, &pool.backends[0].state, 11);
        assert_eq!(on_failure(&pool, 0, 12), None);
        assert_eq!(on_failure(&pool, 0, 13), Some(Duration::from_secs(1)));
        assert_eq!(phase_of(&pool, 0, 1_012), Phase::Out);
        assert_eq!(phase_of(&pool, 1, 1_012), Phase::In);
    }

    #[test]
    fn requests_still_under_way_do_not_prolong_an_ejection() {
        let pool = pool(4);
        on_failure(&pool, 0, 10);
        on_failure(&pool, 0, 10);
        assert_eq!(on_failure(&pool, 0, 500), None);
        on_success(&EJECTION, &pool.backends[0].state, 600);
        assert_eq!(phase_of(&pool, 0, 1_009), Phase::Out);
        assert_ne!(phase_of(&pool, 0, 1_010), Phase::Out);
    }

    #[test]
    fn the_return_is_gradual() {
        let pool = pool(4);
        on_failure(&pool, 0, 0);
        on_failure(&pool, 0, 0);
        assert_eq!(phase_of(&pool, 0, 1_000), Phase::Returning { share_percent: 5 });
        assert_eq!(phase_of(&pool, 0, 1_500), Phase::Returning { share_percent: 52 });
        assert_eq!(phase_of(&pool, 0, 2_000), Phase::In);
    }

    #[test]
    fn a_failure_during_the_return_ejects_for_twice_as_long_up_to_the_limit() {
        let pool = pool(4);
        on_failure(&pool, 0, 0);
        on_failure(&pool, 0, 0);
        let mut now_ms = 1_000;
        for seconds in [2, 4, 8, 10, 10] {
            let length = on_failure(&pool, 0, now_ms).unwrap();
            assert_eq!(length, Duration::from_secs(seconds));
            now_ms += seconds * 1_000;
        }
    }

    #[test]
    fn the_doubling_is_forgotten_once_the_backend_is_back() {
        let pool = pool(4);
        let fail_twice = |now_ms| {
            on_failure(&pool, 0, now_ms);
            on_failure(&pool, 0, now_ms)
        };
        fail_twice(0);
        on_success(&EJECTION, &pool.backends[0].state, 1_500);
        assert_eq!(on_failure(&pool, 0, 1_600), Some(Duration::from_secs(2)));
        on_success(&EJECTION, &pool.backends[0].state, 4_600);
        assert_eq!(fail_twice(4_700), Some(Duration::from_secs(1)));
    }

    #[test]
    fn no_more_than_the_allowed_share_is_out() {
        let pool = pool(5);
        let ejected = (0..5)
            .filter(|&index| {
                on_failure(&pool, index, 0);
                on_failure(&pool, index, 0).is_some()
            })
            .count();
        assert_eq!(ejected, 2);
    }

    #[test]
    fn a_backend_is_ejected_once_when_cores_race() {
        let pool = pool(4);
        let ejections: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter_map(|_| on_failure(&pool, 0, 10)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(ejections, 1);
    }

    #[test]
    fn a_pool_without_a_policy_ejects_nobody() {
        let mut pool = pool(2);
        pool.ejection = None;
        assert!((0..100).all(|_| on_failure(&pool, 0, 0).is_none()));
    }
}
