//! What a run prints: a table, one line per figure, the bars, and what went wrong.

use veloflux_bench_common::median;

use crate::bars::{Bar, Limit};
use crate::engines::{OURS, WITHOUT_RULES};
use crate::rounds::{Results, Values};

/// Prints all of it.
pub(crate) fn print(results: &Results, bars: &[Bar]) {
    for values in Values::ALL {
        table(results, values);
    }
    println!();
    figures(results);
    if results.same_matches + results.other_matches.len() > 0 {
        let requests = results.same_matches + results.other_matches.len();
        println!(
            "matches the same rules in ours and libmodsecurity in {} of {requests}",
            results.same_matches
        );
    }
    for other in &results.other_matches {
        println!("matches differ {other}");
    }
    for bar in bars {
        println!("ratio {} {:.2}", bar.name, bar.ratio);
    }
    let mut missed = 0;
    for bar in bars {
        let (word, bound) = match bar.limit {
            Some(Limit::AtLeast(bound)) => ("at least", bound),
            Some(Limit::AtMost(bound)) => ("at most", bound),
            None => continue,
        };
        let verdict = if bar.held() { "held" } else { "missed" };
        missed += usize::from(!bar.held());
        println!("bar {} {word} {bound} {verdict} ({:.2})", bar.name, bar.ratio);
    }
    for fault in &results.faults {
        println!("fault: {fault}");
    }
    let held = bars.iter().filter(|bar| bar.limit.is_some()).count() - missed;
    println!("bench-waf {held} bars held, {missed} missed, {} wrong verdicts", results.faults.len());
}

/// Medians, and in brackets the least and the greatest round; for the others, how many times ours.
fn table(results: &Results, values: Values) {
    let [(_, ours), _] = OURS;
    println!();
    println!(
        "{}: CPU µs per transaction, median (least-greatest round), times ours at level 1",
        match values {
            Values::Same => "The corpus as it is",
            Values::Fresh => "Fresh values in every walk through it",
            Values::Cold => "The corpus, all values forgotten before every request",
        }
    );
    let measured = |engine: &&&'static str| {
        results.classes.iter().any(|class| !results.times(values, engine, class).is_empty())
    };
    let engines: Vec<&'static str> = results.engines.iter().filter(measured).copied().collect();
    println!("| class | {} |", engines.join(" | "));
    println!("|---|{}", "---|".repeat(engines.len()));
    for class in &results.classes {
        let at_level_1 = median(results.times(values, ours, class));
        let cells: Vec<String> = engines
            .iter()
            .map(|engine| {
                let times = results.times(values, engine, class);
                let least = times.iter().copied().fold(f64::INFINITY, f64::min);
                let greatest = times.iter().copied().fold(0.0, f64::max);
                let middle = median(times);
                format!("{middle:.1} ({least:.1}-{greatest:.1}) {:.1}x", middle / at_level_1)
            })
            .collect();
        println!("| {class} | {} |", cells.join(" | "));
    }
}

fn figures(results: &Results) {
    for values in Values::ALL {
        let suffix = values.suffix();
        for class in &results.classes {
            for engine in &results.engines {
                let level = if *engine == OURS[1].1 { "pl4" } else { "pl1" };
                let level = if *engine == WITHOUT_RULES { "no-rules" } else { level };
                let times = results.times(values, engine, class);
                if !times.is_empty() {
                    println!("figure waf/{level}{suffix}/{class}/{engine}/cpu-us {:.1}", median(times));
                }
            }
        }
    }
}
