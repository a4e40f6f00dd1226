//! Proximity: backends in the client's country, else in the country nearest to it (by the way between their middles);
//! among those equally near smooth weighted round robin.
//!
//! Only those that are usable count, so that clients go to the next country when the last backend of theirs is out. A
//! client whose country is not known is as near to all.

use veloflux_model::value::Country;
use veloflux_snapshot::Pool;

use super::weighted_round_robin;

pub(super) fn choose(
    pool: &Pool,
    country: Option<Country>,
    usable: impl Fn(usize) -> bool + Copy,
) -> Option<usize> {
    let row = country.and_then(|country| {
        let begin = country.index() * pool.backends.len();
        pool.distances.get(begin..begin + pool.backends.len())
    });
    let Some(row) = row else { return weighted_round_robin::choose(pool, usable) };
    let nearest = (0..row.len()).filter(|&index| usable(index)).map(|index| row[index]).min()?;
    weighted_round_robin::choose(pool, |index| usable(index) && row[index] == nearest)
        // All of them may have gone since the first look: then any usable one will do.
        .or_else(|| weighted_round_robin::choose(pool, usable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_of;
    use veloflux_snapshot::Algorithm;

    /// A pool with a backend in each of these countries.
    fn pool(backends: &[(&str, u32)]) -> Pool {
        let weights: Vec<u32> = backends.iter().map(|(_, weight)| *weight).collect();
        let mut pool = pool_of(Algorithm::GeoProximity, &weights);
        let countries = || backends.iter().map(|(code, _)| country(code).unwrap());
        pool.distances =
            Country::all().flat_map(|from| countries().map(move |to| from.distance_km(to))).collect();
        pool
    }

    fn country(code: &str) -> Option<Country> {
        code.parse().ok()
    }

    #[test]
    fn the_own_country_goes_before_the_nearest_before_all_others() {
        let pool = pool(&[("US", 1), ("DE", 1), ("AT", 1), ("JP", 1)]);
        for (client, expected) in [("AT", 2), ("CH", 2), ("DE", 1), ("DK", 1), ("CA", 0), ("KR", 3)] {
            assert_eq!(choose(&pool, country(client), |_| true), Some(expected), "{client}");
        }
        assert_eq!(choose(&pool, country("AT"), |index| index != 2), Some(1), "the next country steps in");
        assert_eq!(
            choose(&pool, country("AT"), |index| index == 3),
            Some(3),
            "anybody is better than nobody"
        );
        assert_eq!(choose(&pool, country("AT"), |_| false), None);
    }

    #[test]
    fn weights_count_within_a_country() {
        let pool = pool(&[("DE", 3), ("DE", 1), ("US", 100)]);
        let mut hits = [0; 3];
        for _ in 0..400 {
            hits[choose(&pool, country("DE"), |_| true).unwrap()] += 1;
        }
        assert_eq!(hits, [300, 100, 0]);
    }

    #[test]
    fn a_client_from_nowhere_goes_anywhere() {
        let pool = pool(&[("DE", 1), ("US", 1)]);
        let mut hits = [0; 2];
        for _ in 0..100 {
            hits[choose(&pool, None, |_| true).unwrap()] += 1;
        }
        assert_eq!(hits, [50, 50]);
    }
}
