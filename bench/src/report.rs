//! What a run prints: one line per figure, then a table.

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
        let ratio = ratio(ours, theirs);
        println!("ratio proxy/{row}/{} {ratio:.2}", theirs.name);
        if row.starts_with(BAR_ROWS) && theirs.name == "nginx" {
            let verdict = if ratio <= BAR { "held" } else { "broken" };
            println!("bar proxy/{row}/nginx {BAR:.1} {verdict}");
        }
    }
}

/// Our CPU per request over theirs: the median of the rounds' ratios. Rounds alternate, so the two halves of a ratio
/// were measured within seconds of each other, and a machine that grows slower in between moves both.
fn ratio(ours: &Outcome, theirs: &Outcome) -> f64 {
    let rounds: Vec<f64> = ours.cpu_us.iter().zip(&theirs.cpu_us).map(|(a, b)| a / b).collect();
    median(&rounds)
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
                .map_or(String::new(), |ours| format!("{:.2}", ratio(ours, outcome)));
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

/// The median; NaN where there is no value.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert!((median(&[3.0, 1.0, 900.0, 2.0, 0.5]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
