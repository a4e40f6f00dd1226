//! What a run prints: one line per figure, then a table.

use veloflux_bench_common::{median, ratio};

use crate::contender::OURS;
use crate::measure::Outcome;
use crate::scenario::Scenario;

/// A row without the firewall, TLS or logs: what issue trackers compare proxies by.
const BAR_ROWS: &str = "h1-plain-";
/// The most CPU that VeloFlux may use there, in parts of nginx's.
const BAR: f64 = 1.0;

/// Prints the figures of one row.
pub(crate) fn figures(scenario: &Scenario, results: &[Outcome]) {
    let row = &scenario.name;
    for outcome in results {
        println!("figure {row}/{}/cpu-us-per-request {:.2}", outcome.name, median(&outcome.cpu_us));
        println!("rps {row}/{} {:.0}", outcome.name, median(&outcome.rps));
    }
    let Some(ours) = results.iter().find(|outcome| outcome.name == OURS) else { return };
    for theirs in results.iter().filter(|outcome| outcome.name != OURS) {
        let ratio = ratio(&ours.cpu_us, &theirs.cpu_us);
        println!("ratio proxy/{row}/{} {ratio:.2}", theirs.name);
        if row.starts_with(BAR_ROWS) && theirs.name == "nginx" {
            let verdict = if ratio <= BAR { "held" } else { "broken" };
            println!("bar proxy/{row}/nginx {BAR:.1} {verdict}");
        }
    }
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
