//! How large and how quick sets of addresses are.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use veloflux_model::addresses::AddressSet;

/// What is stated of a million networks: memory, and that a lookup is quicker than a search among all of them. The
/// medians are in the log; how they compare with 200 ns is for a release build to say.
#[test]
fn a_million_networks_are_searched_quickly() {
    const ENTRIES: usize = 1_000_000;
    // So few that their own memory counts for little, so many that what is found for them does not stay in the cache.
    const ASKED: usize = 100_000;
    let mut state = 1_u64;
    // Xorshift (Marsaglia, 2003).
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut any_v4 = |_| IpAddr::from(Ipv4Addr::from_bits(random() as u32));
    compare(
        "IPv4 at random",
        (0..ENTRIES).map(&mut any_v4).collect(),
        &(0..ASKED).map(any_v4).collect::<Vec<_>>(),
    );
    // Every second address of 10.0.0.0/8, and one far away.
    let crowd = |nth: usize| IpAddr::from(Ipv4Addr::from_bits((10 << 24) + 2 * (nth as u32 % (1 << 23))));
    let far = ["203.0.113.1".parse().unwrap()];
    let asked: Vec<_> = (0..ASKED).map(|_| crowd(random() as usize % ENTRIES)).collect();
    compare("IPv4 crowded", (1..ENTRIES).map(crowd).chain(far).collect(), &asked);
    let mut any_v6 = |_| IpAddr::from(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(random()) << 48));
    compare(
        "IPv6 at random",
        (0..ENTRIES).map(&mut any_v6).collect(),
        &(0..ASKED).map(any_v6).collect::<Vec<_>>(),
    );
    // Within one /64, and one far away.
    let mut crowd = |_| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(random())));
    let listed = (1..ENTRIES).map(&mut crowd).chain(["fd00::".parse().unwrap()]).collect();
    compare("IPv6 crowded", listed, &(0..ASKED).map(crowd).collect::<Vec<_>>());
}

const ROUNDS: usize = 5;

/// Looks the addresses `asked` for up among those `listed`, by the set and by a plain search.
fn compare(name: &str, listed: Vec<IpAddr>, asked: &[IpAddr]) {
    let text = listed.iter().fold(String::new(), |text, address| text + &address.to_string() + "\n");
    let begun = Instant::now();
    let set = AddressSet::from_list(text.as_bytes()).unwrap();
    let read_ms = begun.elapsed().as_millis();
    assert!(set.bytes() <= if listed[0].is_ipv4() { 9 } else { 84 } * listed.len());
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let mut plain: Vec<u128> = listed.into_iter().map(number).collect();
    plain.sort_unstable();
    // The best of some rounds: whatever else runs on the machine only adds to a round.
    let best = |contains: &dyn Fn(IpAddr) -> bool| {
        (0..ROUNDS).map(|_| time_ns(asked, contains)).min_by(f64::total_cmp).unwrap_or_default()
    };
    let ours = best(&|address| set.contains(address));
    let plain = best(&|address| plain.binary_search(&number(address)).is_ok());
    println!(
        "{name}: {ours:.0} ns, by a plain search {plain:.0} ns; {} KiB, read in {read_ms} ms",
        set.bytes() >> 10
    );
    // Tests are not optimized, so this tells only whether a lookup looks at few entries; `make bench` has the figure.
    assert!(ours < 5.0 * plain, "{name}: {ours} ns, by a plain search {plain} ns");
}

/// CPU time of one of these lookups, in nanoseconds. What is asked next depends on the answer, so that none runs ahead.
fn time_ns(asked: &[IpAddr], contains: impl Fn(IpAddr) -> bool) -> f64 {
    const LOOKUPS: usize = 100_000;
    let begun = cpu_ns();
    let mut place = 0;
    for _ in 0..LOOKUPS {
        place = (place + 7 + usize::from(contains(asked[place]))) % asked.len();
    }
    std::hint::black_box(place);
    (cpu_ns() - begun) / LOOKUPS as f64
}

/// CPU time of this thread: others are at work on the machine while tests run.
fn cpu_ns() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
