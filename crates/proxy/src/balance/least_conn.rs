//! Least connections: the backend that would have the fewest requests in flight per weight, this one counted.
//!
//! Counting the new request too makes weights matter on an idle pool (weight 10 goes before weight 1), and orders
//! equal weights just as the bare count would. Backends that are level take turns.

use std::sync::atomic::Ordering::Relaxed;

use veloflux_snapshot::{Backend, Pool};

use super::nth_usable;

pub(super) fn choose(pool: &Pool, usable: impl Fn(usize) -> bool) -> Option<usize> {
    let lowest = pool
        .backends
        .iter()
        .enumerate()
        .filter(|&(index, _)| usable(index))
        .map(|(_, backend)| Load::of(backend))
        .reduce(|best, load| if load.is_below(best) { load } else { best })?;
    let level = |index: usize| usable(index) && !lowest.is_below(Load::of(&pool.backends[index]));
    let turn = pool.state.next.fetch_add(1, Relaxed);
    // All of them may have risen since the first pass: then any usable one will do.
    nth_usable(pool, turn, level).or_else(|| nth_usable(pool, turn, &usable))
}

#[derive(Clone, Copy)]
struct Load {
    requests: u64,
    weight: u64,
}

impl Load {
    fn of(backend: &Backend) -> Self {
        let in_flight = backend.state.in_flight.load(Relaxed);
        Self { requests: u64::from(in_flight) + 1, weight: u64::from(backend.weight.max(1)) }
    }

    /// Compares `requests / weight` without dividing.
    fn is_below(self, other: Self) -> bool {
        self.requests * other.weight < other.requests * self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use veloflux_snapshot::Algorithm;

    #[test]
    fn takes_the_least_busy() {
        let pool = pool_of(Algorithm::LeastConn, &[1, 1, 1]);
        for (backend, in_flight) in pool.backends.iter().zip([4, 2, 3]) {
            backend.state.in_flight.store(in_flight, Relaxed);
        }
        assert_eq!(choose(&pool, |_| true), Some(1));
        assert_eq!(choose(&pool, |index| index != 1), Some(2));
    }

    #[test]
    fn takes_turns_among_equals() {
        let pool = pool_of(Algorithm::LeastConn, &[1, 1, 1]);
        pool.backends[1].state.in_flight.store(1, Relaxed);
        let turns: Vec<_> = (0..4).filter_map(|_| choose(&pool, |_| true)).collect();
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn holds_load_in_proportion_to_weight() {
        let pool = pool_of(Algorithm::LeastConn, &[3, 1]);
        for _ in 0..400 {
            let index = choose(&pool, |_| true).unwrap();
            pool.backends[index].state.in_flight.fetch_add(1, Relaxed);
        }
        let held: Vec<_> = pool.backends.iter().map(|b| b.state.in_flight.load(Relaxed)).collect();
        assert_eq!(held, [300, 100]);
    }
}
