//! Smooth weighted round robin, as nginx does it (`ngx_http_upstream_get_peer`).
//!
//! Each pick raises every usable backend's current weight by its weight, takes the highest, and lowers that one
//! by the sum of the weights. With weights 5, 1, 1 that gives a a b a c a a: in proportion and interleaved.
//!
//! Cores do this at the same time without a lock. Each addition and subtraction is atomic and every pick adds
//! exactly what it takes away, so the proportions hold in the long run; only the interleaving suffers. After a
//! change of weights the old current weights fade within as many picks as the old sum of weights.

use std::sync::atomic::Ordering::Relaxed;

use veloflux_snapshot::Pool;

pub(super) fn choose(pool: &Pool, usable: impl Fn(usize) -> bool) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, i64)> = None;
    for (index, backend) in pool.backends.iter().enumerate().filter(|&(index, _)| usable(index)) {
        let weight = i64::from(backend.weight);
        let current = backend.state.current_weight.fetch_add(weight, Relaxed) + weight;
        total += weight;
        if best.is_none_or(|(_, highest)| current > highest) {
            best = Some((index, current));
        }
    }
    let (index, _) = best?;
    pool.backends[index].state.current_weight.fetch_sub(total, Relaxed);
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use std::sync::atomic::AtomicU32;
    use veloflux_snapshot::Algorithm;

    #[test]
    fn interleaves_in_proportion() {
        let pool = pool_of(Algorithm::WeightedRoundRobin, &[5, 1, 1]);
        let turns: Vec<_> = (0..7).filter_map(|_| choose(&pool, |_| true)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_backend_that_returns_gets_its_share_and_no_more() {
        let pool = pool_of(Algorithm::WeightedRoundRobin, &[3, 1]);
        (0..100).for_each(|_| assert_eq!(choose(&pool, |index| index == 1), Some(1)));
        let firsts = (0..40).filter(|_| choose(&pool, |_| true) == Some(0)).count();
        assert_eq!(firsts, 30);
    }

    #[test]
    fn weights_hold_when_cores_race() {
        const PICKS: u32 = 50_000;
        let weights = [50, 30, 15, 5];
        let pool = pool_of(Algorithm::WeightedRoundRobin, &weights);
        let hits: [AtomicU32; 4] = Default::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..PICKS {
                        hits[choose(&pool, |_| true).unwrap()].fetch_add(1, Relaxed);
                    }
                });
            }
        });
        for (weight, hits) in weights.iter().zip(&hits) {
            let share = f64::from(hits.load(Relaxed)) / f64::from(4 * PICKS) * 100.0;
            assert!((share - f64::from(*weight)).abs() < 2.0, "weight {weight} got {share:.2} %");
        }
    }
}
