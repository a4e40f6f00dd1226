//! Power of two choices (Mitzenmacher, 2001): of two usable backends drawn at random, the cheaper.
//!
//! Cost is Peak-EWMA latency times requests in flight (this one counted), divided by weight, as in Finagle and
//! Linkerd. A backend that has not answered yet costs nothing until it has a request in flight, and then more
//! than any that has answered: it is tried with one request, not with all of them.

use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use veloflux_snapshot::{Backend, Pool};

use super::{latency_us, nth_usable};

pub(super) fn choose(
    pool: &Pool,
    now_ms: u64,
    rng: &mut Rng,
    usable: impl Fn(usize) -> bool + Copy,
) -> Option<usize> {
    let first = nth_usable(pool, rng.u32(..), usable)?;
    let Some(second) = nth_usable(pool, rng.u32(..), |index| index != first && usable(index)) else {
        return Some(first);
    };
    let [a, b] = [first, second].map(|index| &pool.backends[index]);
    // Crosswise multiplication compares cost / weight without dividing.
    let second_is_cheaper = cost(b, now_ms) * u128::from(a.weight) < cost(a, now_ms) * u128::from(b.weight);
    Some(if second_is_cheaper { second } else { first })
}

/// Latency assumed of a backend that has a request but has never answered: one hour, in microseconds.
const UNKNOWN_LATENCY_US: u64 = 3_600_000_000;

fn cost(backend: &Backend, now_ms: u64) -> u128 {
    let in_flight = backend.state.in_flight.load(Relaxed);
    let latency = match latency_us(&backend.state, now_ms) {
        Some(latency) => latency.max(1),
        None if in_flight > 0 => UNKNOWN_LATENCY_US,
        None => 0,
    };
    u128::from(latency) * (u128::from(in_flight) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use veloflux_snapshot::Algorithm;

    fn shares(pool: &Pool) -> Vec<usize> {
        let mut rng = Rng::with_seed(42);
        let mut hits = vec![0; pool.backends.len()];
        for _ in 0..3_000 {
            hits[choose(pool, 0, &mut rng, |_| true).unwrap()] += 1;
        }
        hits
    }

    fn set(pool: &Pool, index: usize, latency: u64, in_flight: u32) {
        pool.backends[index].state.latency_ewma_us.store(latency, Relaxed);
        pool.backends[index].state.in_flight.store(in_flight, Relaxed);
    }

    #[test]
    fn the_slowest_of_three_is_never_taken() {
        let pool = pool_of(Algorithm::RandomTwo, &[1, 1, 1]);
        set(&pool, 0, 1_000, 0);
        set(&pool, 1, 2_000, 0);
        set(&pool, 2, 9_000, 0);
        let hits = shares(&pool);
        assert_eq!(hits[2], 0);
        assert!((1_900..2_100).contains(&hits[0]), "{hits:?}");
    }

    #[test]
    fn in_flight_requests_outweigh_latency() {
        let pool = pool_of(Algorithm::RandomTwo, &[1, 1]);
        set(&pool, 0, 1_000, 9);
        set(&pool, 1, 2_000, 0);
        assert_eq!(shares(&pool), [0, 3_000]);
    }

    #[test]
    fn equal_backends_share_evenly() {
        let pool = pool_of(Algorithm::RandomTwo, &[1, 1, 1]);
        (0..3).for_each(|index| set(&pool, index, 1_000, 0));
        assert!(shares(&pool).iter().all(|hits| (900..1_100).contains(hits)));
    }

    #[test]
    fn an_unknown_backend_is_tried_with_one_request() {
        let pool = pool_of(Algorithm::RandomTwo, &[1, 1]);
        set(&pool, 0, 1_000, 3);
        assert_eq!(shares(&pool), [0, 3_000]);
        set(&pool, 1, 0, 1);
        assert_eq!(shares(&pool), [3_000, 0]);
    }

    #[test]
    fn a_lone_backend_is_taken() {
        let pool = pool_of(Algorithm::RandomTwo, &[1, 1]);
        assert_eq!(choose(&pool, 0, &mut Rng::with_seed(1), |index| index == 1), Some(1));
        assert_eq!(choose(&pool, 0, &mut Rng::with_seed(1), |_| false), None);
    }
}
