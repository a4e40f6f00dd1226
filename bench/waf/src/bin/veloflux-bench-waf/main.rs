//! `make bench-waf`: what judging a request costs, beside libmodsecurity and zentinel-modsec, in one run on one machine.
//!
//! What a sceptic would ask, and what is done about it:
//!
//! - *Same work?* One configuration for all (the base that VeloFlux has below every rule set, then the release's own
//!   files at paranoia level 1); zentinel-modsec gets less where it does not know a word. Every benign request must pass
//!   and every attack be refused, in every engine and every round, or the run fails. Which rules matched is compared
//!   with the reference library.
//! - *Only the matching?* A figure is a whole transaction: made, five phases, record, memory given back. The others'
//!   logs are off; ours makes its record in that time.
//! - *Is it the Python?* `without-rules` is the reference library behind the same driver with the base alone: binding,
//!   headers and body parsers, but no CRS.
//! - *A warm loop over one request?* A round walks the whole corpus, so that a request meets a processor that has just
//!   judged others; figures are medians of rounds, and rounds of the engines alternate and take turns at beginning.
//! - *Remembered values?* Our engine remembers, per thread, what it found of header fields, cookies and names. So every
//!   figure is there three times: for the corpus as it is, over and over; with values exchanged for every walk through
//!   it (`pl1-fresh`), so that nothing but what real clients repeat is repeated; and with everything forgotten before
//!   every request (`pl1-cold`). Bars hold for the first two.
//! - *CPU or waiting?* CPU time of the judging thread, never the clock on the wall.

mod bars;
mod engines;
mod report;
mod rounds;

use std::process::ExitCode;

use clap::Parser;
use veloflux_bench_waf::{corpus, data};

use rounds::Plan;

/// The release that is measured.
const RELEASE: &str = "crs-4.28.0";
/// The requests.
const TRAFFIC: &str = "waf-traffic";

/// Measures what judging a request costs, beside other engines.
#[derive(Parser)]
struct Arguments {
    /// Few rounds: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Only classes whose name begins with this; may be given several times.
    #[arg(long, value_name = "CLASS")]
    only: Vec<String>,
    /// Only our own engine.
    #[arg(long)]
    ours: bool,
    /// A missed bar is reported and does not fail the run; a wrong verdict still does.
    #[arg(long)]
    report: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-waf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures; whether everything holds that must.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let wanted =
        |class: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| class.starts_with(only));
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let mut samples = corpus::read(&data(TRAFFIC)?)?;
    samples.retain(|sample| wanted(&sample.class));
    if samples.is_empty() {
        return Err("no class has such a name".into());
    }
    println!("{}", veloflux_bench_common::facts());
    println!("{}", plan.describe());
    eprintln!("loading the rules");
    let mut engines = engines::start(&data(RELEASE)?, arguments.ours)?;
    for engine in &engines {
        println!("engine {} is {}", engine.name(), engine.version());
    }

    let measured = rounds::run(&mut engines, &samples, plan)?;
    let bars = bars::bars(&measured);
    report::print(&measured, &bars);
    let held = bars.iter().all(bars::Bar::held);
    Ok(measured.faults.is_empty() && (held || arguments.report))
}
