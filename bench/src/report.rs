//! What a run prints: one line per figure, then a table.

use veloflux_bench_common::{median, more, ratio};

use crate::contender::{ALL, OURS};
use crate::measure::Outcome;
use crate::scenario::Scenario;

/// A row without the firewall, TLS or logs: what issue trackers compare proxies by.
const BAR_ROWS: &str = "h1-plain-";
/// The most CPU that VeloFlux may use there, in parts of nginx's.
const BAR: f64 = 1.0;

/// The most CPU that all protections together may take beside the plain path, in microseconds per request.
const PROTECTIONS_BAR_US: f64 = 3.0;

/// The most CPU that a lookup in a set of a million networks may take, in nanoseconds.
const LOOKUP_BAR_NS: f64 = 200.0;

/// Prints the figures of one row.
pub(crate) fn figures(scenario: &Scenario, results: &[Outcome]) {
    let row = &scenario.name;
    for outcome in results {
        println!("figure {row}/{}/cpu-us-per-request {:.2}", outcome.name, median(&outcome.cpu_us));
        println!("rps {row}/{} {:.0}", outcome.name, median(&outcome.rps));
    }
    let Some(ours) = results.iter().find(|outcome| outcome.name == OURS) else { return };
    if scenario.protections {
        return protections(ours, results);
    }
    for theirs in results.iter().filter(|outcome| outcome.name != OURS) {
        let ratio = ratio(&ours.cpu_us, &theirs.cpu_us);
        println!("ratio proxy/{row}/{} {ratio:.2}", theirs.name);
        if row.starts_with(BAR_ROWS) && theirs.name == "nginx" {
            println!("bar proxy/{row}/nginx {BAR:.1} {}", verdict(ratio <= BAR));
        }
    }
}

/// Prints what each protection costs beside the plain path, and whether all of them together hold their bar.
fn protections(plain: &Outcome, results: &[Outcome]) {
    for with in results.iter().filter(|outcome| outcome.name != OURS) {
        let more_us = more(&with.cpu_us, &plain.cpu_us);
        println!("figure protections/{}_us {more_us:.2}", with.name);
        if with.name == ALL {
            println!(
                "bar protections/all_us {PROTECTIONS_BAR_US:.1} {}",
                verdict(more_us <= PROTECTIONS_BAR_US)
            );
        }
    }
}

/// Prints what a lookup takes in each kind of set, and whether the slowest holds the bar.
pub(crate) fn addresses(lookups: &[(&str, f64)]) {
    for (name, lookup_ns) in lookups {
        println!("figure addresses/lookup_ns/{name} {lookup_ns:.0}");
    }
    let slowest_ns = lookups.iter().map(|(_, lookup_ns)| *lookup_ns).fold(0.0, f64::max);
    println!("figure addresses/lookup_ns {slowest_ns:.0}");
    println!("bar addresses/lookup_ns {LOOKUP_BAR_NS:.0} {}", verdict(slowest_ns <= LOOKUP_BAR_NS));
}

/// Prints what a lookup takes in databases of countries and autonomous systems.
pub(crate) fn countries(lookup_ns: f64) {
    println!("figure countries/lookup_ns {lookup_ns:.0}");
}

fn verdict(held: bool) -> &'static str {
    if held { "held" } else { "broken" }
}

/// Prints medians, and in brackets the least and the greatest round, of every row.
pub(crate) fn table(rows: &[(Scenario, Vec<Outcome>)]) {
    println!();
    println!("| row | contender | CPU µs per request | requests/s | CPU, VeloFlux over it |");
    println!("|---|---|---|---|---|");
    for (scenario, results) in rows {
        let ours = results.iter().find(|outcome| outcome.name == OURS);
        for outcome in results {
            let cpu = median(&outcome.cpu_us);
            let ratio = ours
                .filter(|_| outcome.name != OURS)
                .map_or(String::new(), |ours| format!("{:.2}", ratio(&ours.cpu_us, &outcome.cpu_us)));
            println!(
                "| {} | {} | {cpu:.1} ({:.1}-{:.1}) | {:.0} | {ratio} |",
                scenario.name,
                outcome.name,
                outcome.cpu_us.iter().copied().fold(f64::INFINITY, f64::min),
                outcome.cpu_us.iter().copied().fold(0.0, f64::max),
                median(&outcome.rps),
            );
        }
    }
}
