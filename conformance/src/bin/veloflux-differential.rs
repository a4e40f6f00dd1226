//! `veloflux-differential`: our engine beside libmodsecurity on many requests; see `veloflux_conformance::differential`.

use std::process::ExitCode;

use veloflux_conformance::{differential, shared};

const USAGE: &str = "usage: veloflux-differential [--seed N] [--requests N] [--only NUMBER]

  --seed N        what requests are made from; a number of the clock's unless given
  --requests N    how many, 50000 unless given
  --only NUMBER   one request of that seed

Ends with one line: differential requests N equal N triaged N unexplained N";

/// Requests of a run, unless asked for otherwise.
const REQUESTS: u64 = 50_000;

fn main() -> ExitCode {
    let outcome = options(std::env::args().skip(1)).and_then(|options| {
        println!("differential: seed {}", options.seed);
        let release = shared::data("crs-4.28.0")?;
        differential::compare(&release, options).map(|report| (report, options))
    });
    let (report, options) = match outcome {
        Ok(done) => done,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    for found in &report.unexplained {
        let [ours, theirs] = &found.rules;
        println!("\nrequest {}: only ours {ours:?}, only theirs {theirs:?}", found.number);
        println!("(again: --seed {} --only {}; shrunk:)\n{}", options.seed, found.number, found.request);
    }
    for (kind, count) in &report.kinds {
        println!("unexplained: {count} only {kind}");
    }
    for row in &report.stale {
        println!("stale: {row}");
    }
    for (row, count) in &report.rows {
        println!("triaged: {count} {row}");
    }
    println!("{}", report.line());
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<differential::Options, String> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = clock.map_or(0, |now| now.as_secs());
    let mut options = differential::Options { seed, first: 0, requests: REQUESTS };
    while let Some(name) = arguments.next() {
        let mut number = || -> Result<u64, String> {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            value.parse().map_err(|_| format!("{name} {value}: not a number"))
        };
        match name.as_str() {
            "--seed" => options.seed = number()?,
            "--requests" => options.requests = number()?,
            "--only" => (options.first, options.requests) = (number()?, 1),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}
