//! Round robin: each usable backend in turn, whatever its weight.

use std::sync::atomic::Ordering::Relaxed;

use veloflux_snapshot::Pool;

use super::nth_usable;

pub(super) fn choose(pool: &Pool, usable: impl Fn(usize) -> bool) -> Option<usize> {
    nth_usable(pool, pool.state.next.fetch_add(1, Relaxed), usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use veloflux_snapshot::Algorithm;

    #[test]
    fn takes_turns() {
        let pool = pool_of(Algorithm::RoundRobin, &[1, 1, 1]);
        let turns: Vec<_> = (0..6).filter_map(|_| choose(&pool, |_| true)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn spreads_a_lost_backends_share_evenly() {
        let pool = pool_of(Algorithm::RoundRobin, &[1; 4]);
        let mut hits = [0; 4];
        for _ in 0..300 {
            hits[choose(&pool, |index| index != 1).unwrap()] += 1;
        }
        assert_eq!(hits, [100, 0, 100, 100]);
    }

    #[test]
    fn survives_the_counters_wrap() {
        let pool = pool_of(Algorithm::RoundRobin, &[1, 1]);
        pool.state.next.store(u32::MAX, Relaxed);
        assert_eq!([choose(&pool, |_| true), choose(&pool, |_| true)], [Some(1), Some(0)]);
    }
}
