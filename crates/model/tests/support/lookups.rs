//! Sets of a million networks that are hard to search, and the time of a lookup in them: for tests of this crate and
//! for `make bench`.

#![allow(unreachable_pub, reason = "each crate that includes this has it as a module of its own")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks in each set, single addresses all of them, since these take the most memory.
pub(crate) const ENTRIES: usize = 1_000_000;
/// Addresses asked for: so few that their own memory counts for little, so many that what is found for them does not
/// stay in the nearest caches.
const ASKED: usize = 100_000;

/// A set, and what it is asked for.
pub(crate) struct Shape {
    /// As in `ipv4-random`.
    pub name: &'static str,
    /// What it lists.
    pub listed: Vec<IpAddr>,
    /// What is looked up.
    pub asked: Vec<IpAddr>,
}

/// Addresses that are spread over all of their family, and ones that crowd with a single one far away: the bits by which
/// most are told apart are then not the first.
pub(crate) fn shapes() -> [Shape; 4] {
    let mut state = 1_u64;
    // Xorshift (Marsaglia, 2003).
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let v4 = |bits: u64| IpAddr::from(Ipv4Addr::from_bits(bits as u32));
    let v6 = |bits| IpAddr::from(Ipv6Addr::from_bits(bits));
    let wide = |random: u64| v6(0x2001 << 112 | u128::from(random) << 48);
    // Every second address of 10.0.0.0/8.
    let every_second = |nth: u64| v4((10 << 24) + 2 * nth);
    // Within one /64.
    let narrow = |random: u64| v6(0x2001_0db8 << 96 | u128::from(random));
    let last = |address: IpAddr| std::iter::once(address);
    let mut take = |count, address: &dyn Fn(u64) -> IpAddr| -> Vec<IpAddr> {
        std::iter::repeat_with(&mut random).take(count).map(address).collect()
    };
    [
        Shape { name: "ipv4-random", listed: take(ENTRIES, &v4), asked: take(ASKED, &v4) },
        Shape {
            name: "ipv4-crowded",
            listed: (1..ENTRIES as u64).map(every_second).chain(last(v4(0xcb00_7101))).collect(),
            asked: take(ASKED, &|random| every_second(random % ENTRIES as u64)),
        },
        Shape { name: "ipv6-random", listed: take(ENTRIES, &wide), asked: take(ASKED, &wide) },
        Shape {
            name: "ipv6-crowded",
            listed: take(ENTRIES - 1, &narrow).into_iter().chain(last(v6(0xfd00 << 112))).collect(),
            asked: take(ASKED, &narrow),
        },
    ]
}

/// CPU time of a lookup of one of the addresses `asked`, in nanoseconds. What is asked next depends on the answer, so that
/// none runs ahead.
pub(crate) fn time_ns(asked: &[IpAddr], found: impl Fn(IpAddr) -> bool) -> f64 {
    const LOOKUPS: usize = 100_000;
    let begun = cpu_ns();
    let mut place = 0;
    for _ in 0..LOOKUPS {
        place = (place + 7 + usize::from(found(asked[place]))) % asked.len();
    }
    std::hint::black_box(place);
    (cpu_ns() - begun) / LOOKUPS as f64
}

/// CPU time of this thread: others are at work on the machine.
fn cpu_ns() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
