//! Consistent hashing of the client address (Karger et al., 1997): the first point of the ring at or after the
//! client's hash whose backend is usable.
//!
//! Points of a lost backend are passed over, so only its own clients move, each to the next point on its way; all
//! return when it does.

use veloflux_snapshot::Pool;

pub(super) fn choose(pool: &Pool, client_hash: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
    // Without this a pool with nobody usable would cost a walk round the whole ring.
    if !(0..pool.backends.len()).any(&usable) {
        return None;
    }
    let start = pool.ring.partition_point(|&(point, _)| point < client_hash);
    let (before, after) = pool.ring.split_at(start);
    after.iter().chain(before).map(|&(_, index)| usize::from(index)).find(|&index| usable(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pool_of, ring_of};
    use proptest::prelude::*;
    use veloflux_snapshot::Algorithm;

    fn hashed_pool(backends: usize) -> Pool {
        let mut pool = pool_of(Algorithm::IpHash, &vec![1; backends]);
        pool.ring = ring_of(backends);
        pool
    }

    #[test]
    fn hashes_past_the_last_point_go_round_to_the_first() {
        let pool = hashed_pool(3);
        let first = usize::from(pool.ring[0].1);
        assert_eq!(choose(&pool, u64::MAX, |_| true), Some(first));
        assert_eq!(choose(&pool, 0, |_| true), Some(first));
    }

    proptest! {
        #[test]
        fn only_the_lost_backends_clients_move(
            backends in 2_usize..12,
            lost in any::<prop::sample::Index>(),
            clients in prop::collection::vec(any::<u64>(), 1..200),
        ) {
            let pool = hashed_pool(backends);
            let lost = lost.index(backends);
            for client in clients {
                let home = choose(&pool, client, |_| true).unwrap();
                let now = choose(&pool, client, |index| index != lost).unwrap();
                prop_assert_ne!(now, lost);
                if home != lost {
                    prop_assert_eq!(home, now);
                }
            }
        }
    }
}
