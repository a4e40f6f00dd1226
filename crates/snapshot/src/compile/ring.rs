//! The consistent-hash ring of a pool (Karger et al. 1997; the points per backend follow libketama's 160).
//!
//! A point is the hash of the backend's id and a running number, so a backend keeps its points whatever happens to
//! the others: one that is lost, or removed, moves its own clients only.

use crate::Backend;

/// Points of a backend per unit of weight, weights divided by their greatest common divisor.
const POINTS_PER_WEIGHT: u64 = 160;

/// Most points of one ring; over it every backend gets fewer, in proportion.
pub const MAX_RING_POINTS: u64 = 65_536;

/// The sorted points of `backends`: hash and index.
pub(super) fn ring(backends: &[Backend]) -> Vec<(u64, u16)> {
    let divisor = backends.iter().fold(0, |divisor, backend| gcd(divisor, u64::from(backend.weight))).max(1);
    let share = |backend: &Backend| u64::from(backend.weight) / divisor * POINTS_PER_WEIGHT;
    let total: u64 = backends.iter().map(share).sum();
    let mut points = Vec::with_capacity(total.min(MAX_RING_POINTS) as usize);
    for (index, backend) in backends.iter().enumerate() {
        let count =
            if total > MAX_RING_POINTS { share(backend) * MAX_RING_POINTS / total } else { share(backend) };
        points.extend(
            (0..count.max(1)).map(|number| (stable_hash(backend.id.as_bytes(), number), index as u16)),
        );
    }
    points.sort_unstable();
    points
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The hash behind rings and what is looked up in them: FNV-1a over the bytes, then the number through splitmix64's
/// finaliser. Both are stable for good, unlike the standard library's hashes, so that all nodes agree and an upgrade
/// moves nobody.
pub fn stable_hash(bytes: &[u8], number: u64) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut mixed = hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
