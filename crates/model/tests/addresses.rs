//! How large and how quick sets of addresses are.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "support/lookups.rs"]
mod lookups;

use std::net::IpAddr;
use std::time::Instant;

use lookups::{Shape, shapes, time_ns};
use veloflux_model::addresses::AddressSet;

/// What is stated of a million networks: memory, and that a lookup is quicker than a search among all of them. The
/// times are in the log; how they compare with 200 ns is for `make bench` to say.
#[test]
fn a_million_networks_are_searched_quickly() {
    shapes().into_iter().for_each(compare);
}

/// The least favourable crowds: so small that what each takes for itself counts the most.
#[test]
fn small_crowds_take_no_more_memory_than_is_stated() {
    const CROWDS: usize = 1_000;
    const NETWORKS: usize = 33;
    let line = |nth: usize| format!("2001:db8:{:x}::{:x}\n", nth / NETWORKS, 2 * (nth % NETWORKS));
    let text: String = (0..CROWDS * NETWORKS).map(line).collect();
    let set = AddressSet::from_list(text.as_bytes()).unwrap();
    assert_eq!(set.ranges(), CROWDS * NETWORKS);
    assert!(set.bytes() <= 60 * set.ranges(), "{}", set.bytes() / set.ranges());
}

const ROUNDS: usize = 5;

/// Looks up by the set and by a plain search.
fn compare(Shape { name, listed, asked }: Shape) {
    let text = listed.iter().fold(String::new(), |text, address| text + &address.to_string() + "\n");
    let begun = Instant::now();
    let set = AddressSet::from_list(text.as_bytes()).unwrap();
    let read_ms = begun.elapsed().as_millis();
    assert!(set.bytes() <= if listed[0].is_ipv4() { 9 } else { 40 } * listed.len());
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let mut plain: Vec<u128> = listed.into_iter().map(number).collect();
    plain.sort_unstable();
    // The best of some rounds: whatever else runs on the machine only adds to a round.
    let best = |contains: &dyn Fn(IpAddr) -> bool| {
        (0..ROUNDS).map(|_| time_ns(&asked, contains)).min_by(f64::total_cmp).unwrap_or_default()
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
