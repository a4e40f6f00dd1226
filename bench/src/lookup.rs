//! What one lookup of an address costs, in this process: in sets of a million networks, and in the databases of countries
//! and autonomous systems.

use veloflux_bench_common::median;
use veloflux_model::addresses::AddressSet;

use crate::lookups::{Shape, shapes, time_ns};
use crate::world::{World, lines};

/// The row of sets of addresses.
pub(crate) const ADDRESSES_ROW: &str = "addresses";
/// The row of databases.
pub(crate) const COUNTRIES_ROW: &str = "countries";

/// Rounds of each lookup; one takes about 20 ms.
const ROUNDS: usize = 51;

/// Kinds of sets, and the CPU time of a lookup in each, in nanoseconds.
pub(crate) fn addresses() -> Result<Vec<(&'static str, f64)>, String> {
    let measured = shapes().into_iter().map(|Shape { name, listed, asked }| {
        let set = AddressSet::from_list(lines(&listed).as_bytes());
        let set = set.map_err(|error| format!("{name}: {error}"))?;
        Ok((name, rounds(|| time_ns(&asked, |address| set.contains(address)))))
    });
    measured.collect()
}

/// The CPU time of finding out country and autonomous system of a client, in nanoseconds.
pub(crate) fn countries(world: &World) -> f64 {
    rounds(|| time_ns(&world.clients, |address| world.geo.origin(address).asn.is_some()))
}

fn rounds(time_ns: impl Fn() -> f64) -> f64 {
    let rounds: Vec<_> = std::iter::repeat_with(time_ns).take(ROUNDS).collect();
    median(&rounds)
}
