//! Which backend serves a request.
//!
//! [`pick`] first decides who may be chosen, then lets the pool's algorithm choose among them. Backends stand in
//! four groups:
//!
//! 1. *full*: up by active checks, not draining, not ejected, and admitted by the slow return after an ejection;
//! 2. *returning*: as above, but this request is not part of the share that a returning backend gets;
//! 3. *ejected*: up by active checks and not draining, but left out for failing real requests;
//! 4. *out*: down by active checks, or draining.
//!
//! The best group that has anyone is used. So when every backend is out by passive ejection alone, all of them
//! serve again (ejection must not turn a bad minute into an outage), while backends that active checks call down
//! or that drain are never chosen: the answer is then `None`, a 503. Within a group, backends that this request
//! has not tried yet come first; when all were tried, one may be tried again (attempts and the retry budget bound
//! that).
//!
//! Nothing here locks: cores race on the atomics of [`BackendState`](veloflux_snapshot::runtime::BackendState),
//! and the algorithms are such that a lost race costs at most a little evenness.

mod geo_proximity;
mod ip_hash;
mod least_conn;
mod load;
mod random_two;
mod round_robin;
mod weighted_round_robin;

use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use veloflux_model::value::Country;
use veloflux_snapshot::{Algorithm, Backend, Pool};

use crate::eject;

pub use load::{InFlight, latency_us};

/// What the choice of a backend depends on, besides the pool.
#[derive(Debug, Clone, Copy)]
pub struct PickRequest<'a> {
    /// Hash of the client's address, for [`Algorithm::IpHash`]; compared with the points of [`Pool::ring`].
    pub client_hash: u64,
    /// The client's country, for [`Algorithm::GeoProximity`].
    pub country: Option<Country>,
    /// Index of the backend that a valid stickiness cookie names; it wins if it is in the full group and untried.
    pub sticky: Option<usize>,
    /// Backends that this request has been sent to already.
    pub tried: &'a Tried,
    /// Now, in milliseconds on the process clock.
    pub now_ms: u64,
}

/// Indexes of the backends that one request has been sent to. Empty (and without an allocation) until a retry;
/// bounded by the retry policy's attempts.
#[derive(Debug, Clone, Default)]
pub struct Tried(Vec<usize>);

impl Tried {
    /// Remembers that backend `index` was tried.
    pub fn insert(&mut self, index: usize) {
        if !self.contains(index) {
            self.0.push(index);
        }
    }

    /// Whether backend `index` was tried.
    pub fn contains(&self, index: usize) -> bool {
        self.0.contains(&index)
    }
}

/// Picks the backend for a request: an index into [`Pool::backends`], or `None` when every backend is down or
/// draining.
pub fn pick(pool: &Pool, request: &PickRequest<'_>, rng: &mut Rng) -> Option<usize> {
    // A client of `ip_hash` always draws the same lot, so that it returns to its backend once and stays there.
    let lot = match pool.algorithm {
        Algorithm::IpHash => request.client_hash,
        _ => rng.u64(..),
    };
    let standing = |index: usize| {
        pool.backends.get(index).map_or(Standing::Out, |backend| standing(pool, backend, request.now_ms, lot))
    };
    let fresh = |index: usize| !request.tried.contains(index);

    if let Some(index) = request.sticky
        && fresh(index)
        && standing(index) == Standing::Full
    {
        return Some(index);
    }
    for worst in [Standing::Full, Standing::Returning, Standing::Ejected] {
        let in_group = |index: usize| standing(index) <= worst;
        let choice = choose(pool, request, rng, |index| fresh(index) && in_group(index))
            .or_else(|| choose(pool, request, rng, in_group));
        if choice.is_some() {
            return choice;
        }
    }
    None
}

fn choose(
    pool: &Pool,
    request: &PickRequest<'_>,
    rng: &mut Rng,
    usable: impl Fn(usize) -> bool + Copy,
) -> Option<usize> {
    match pool.algorithm {
        Algorithm::RoundRobin => round_robin::choose(pool, usable),
        Algorithm::WeightedRoundRobin => weighted_round_robin::choose(pool, usable),
        Algorithm::LeastConn => least_conn::choose(pool, usable),
        Algorithm::IpHash => ip_hash::choose(pool, request.client_hash, usable),
        Algorithm::GeoProximity => geo_proximity::choose(pool, request.country, usable),
        Algorithm::RandomTwo => random_two::choose(pool, request.now_ms, rng, usable),
    }
}

/// How fit a backend is for a request, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Full,
    Returning,
    Ejected,
    Out,
}

fn standing(pool: &Pool, backend: &Backend, now_ms: u64, lot: u64) -> Standing {
    let state = &backend.state;
    if !state.healthy.load(Relaxed) || state.draining.load(Relaxed) {
        return Standing::Out;
    }
    match pool.ejection.as_ref().map_or(eject::Phase::In, |policy| eject::phase(policy, state, now_ms)) {
        eject::Phase::In => Standing::Full,
        eject::Phase::Out => Standing::Ejected,
        eject::Phase::Returning { share_percent } if lot % 100 < u64::from(share_percent) => Standing::Full,
        eject::Phase::Returning { .. } => Standing::Returning,
    }
}

/// The usable backend at place `turn`, counted round and round over the usable ones only: the share of a backend
/// that is out is spread over all others and not given to its neighbour.
fn nth_usable(pool: &Pool, turn: u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
    let all = || (0..pool.backends.len()).filter(|&index| usable(index));
    let count = all().count();
    let place = (turn as usize).checked_rem(count)?;
    // Another core may have taken one out between the two passes.
    all().nth(place).or_else(|| all().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pool_of, ring_of, set_healthy};

    fn request(tried: &Tried) -> PickRequest<'_> {
        PickRequest { client_hash: 7, country: None, sticky: None, tried, now_ms: 1_000 }
    }

    const EVERY_ALGORITHM: [Algorithm; 5] = [
        Algorithm::RoundRobin,
        Algorithm::WeightedRoundRobin,
        Algorithm::LeastConn,
        Algorithm::IpHash,
        Algorithm::RandomTwo,
    ];

    fn each_algorithm(backends: usize, check: impl Fn(&mut Pool)) {
        for algorithm in EVERY_ALGORITHM {
            let mut pool = pool_of(algorithm, &vec![1; backends]);
            if algorithm == Algorithm::IpHash {
                pool.ring = ring_of(backends);
            }
            check(&mut pool);
        }
    }

    #[test]
    fn nobody_is_picked_when_checks_say_that_all_are_down() {
        each_algorithm(3, |pool| {
            (0..3).for_each(|index| set_healthy(pool, index, false));
            assert_eq!(pick(pool, &request(&Tried::default()), &mut Rng::with_seed(1)), None);
        });
    }

    #[test]
    fn draining_backends_get_nothing_even_when_they_are_the_last() {
        each_algorithm(2, |pool| {
            pool.backends[0].state.draining.store(true, Relaxed);
            let mut rng = Rng::with_seed(1);
            assert_eq!(pick(pool, &request(&Tried::default()), &mut rng), Some(1));
            pool.backends[1].state.draining.store(true, Relaxed);
            assert_eq!(pick(pool, &request(&Tried::default()), &mut rng), None);
        });
    }

    #[test]
    fn ejected_backends_serve_when_nobody_else_can() {
        each_algorithm(3, |pool| {
            pool.ejection = Some(crate::testing::EJECTION);
            set_healthy(pool, 0, false);
            pool.backends[1].state.ejected_until_ms.store(5_000, Relaxed);
            let mut rng = Rng::with_seed(1);
            assert_eq!(pick(pool, &request(&Tried::default()), &mut rng), Some(2));
            pool.backends[2].state.ejected_until_ms.store(5_000, Relaxed);
            assert!(matches!(pick(pool, &request(&Tried::default()), &mut rng), Some(1 | 2)));
        });
    }

    #[test]
    fn a_retry_goes_elsewhere_while_there_is_elsewhere() {
        each_algorithm(3, |pool| {
            let mut rng = Rng::with_seed(1);
            let mut tried = Tried::default();
            for _ in 0..3 {
                let index = pick(pool, &request(&tried), &mut rng).unwrap();
                assert!(!tried.contains(index));
                tried.insert(index);
            }
            assert!(pick(pool, &request(&tried), &mut rng).is_some());
        });
    }

    #[test]
    fn a_returning_backend_gets_a_growing_share() {
        let mut pool = pool_of(Algorithm::RoundRobin, &[1, 1]);
        pool.ejection = Some(crate::testing::EJECTION);
        pool.backends[0].state.ejected_until_ms.store(10_000, Relaxed);
        let base = crate::testing::EJECTION.base.as_millis() as u64;
        let mut rng = Rng::with_seed(1);
        let mut share_at = |now_ms| {
            let tried = Tried::default();
            let request = PickRequest { now_ms, ..request(&tried) };
            (0..2_000).filter(|_| pick(&pool, &request, &mut rng) == Some(0)).count()
        };
        assert_eq!(share_at(9_999), 0);
        let (early, late) = (share_at(10_000), share_at(10_000 + base * 3 / 4));
        assert!((50..200).contains(&early), "{early}");
        assert!((600..900).contains(&late), "{late}");
        assert!((995..=1_005).contains(&share_at(10_000 + base)));
    }

    #[test]
    fn a_sticky_client_stays_until_its_backend_is_out_or_tried() {
        each_algorithm(3, |pool| {
            let mut rng = Rng::with_seed(1);
            let mut tried = Tried::default();
            for _ in 0..10 {
                let sticky = PickRequest { sticky: Some(2), ..request(&tried) };
                assert_eq!(pick(pool, &sticky, &mut rng), Some(2));
            }
            set_healthy(pool, 2, false);
            let sticky = PickRequest { sticky: Some(2), ..request(&tried) };
            assert!(matches!(pick(pool, &sticky, &mut rng), Some(0 | 1)));
            set_healthy(pool, 2, true);
            tried.insert(2);
            let sticky = PickRequest { sticky: Some(2), ..request(&tried) };
            assert!(matches!(pick(pool, &sticky, &mut rng), Some(0 | 1)));
        });
    }

    #[test]
    fn a_sticky_index_that_does_not_exist_is_ignored() {
        each_algorithm(2, |pool| {
            let tried = Tried::default();
            let sticky = PickRequest { sticky: Some(99), ..request(&tried) };
            assert!(pick(pool, &sticky, &mut Rng::with_seed(1)).is_some());
        });
    }
}
