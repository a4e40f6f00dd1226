//! `make bench`: CPU per request of VeloFlux beside nginx and haproxy, in one run on one machine.
//!
//! Every contender is one proxy thread pinned to core 0, in front of the same upstream; the load generator and the
//! upstream share core 1. Rounds of the contenders alternate, so that what disturbs the machine disturbs all alike,
//! and medians are compared. A figure stands only if the work was done: every answer 200 with the right length, no
//! errors, and, with the firewall on, an attack refused.
//!
//! The row `protections` is VeloFlux beside itself: plain, with each protection on, and with all of them. Requests come, as
//! a trusted proxy says, from all over the world. Each protection has to refuse what it is there to refuse, with all of them
//! on too, and the others have to serve it. The rows `addresses` and `countries` are the lookups alone.

mod check;
mod contender;
mod load;
mod lookup;
#[path = "../../crates/model/tests/support/lookups.rs"]
mod lookups;
mod machine;
mod measure;
#[allow(clippy::unwrap_used, reason = "what it reads is written in this crate")]
#[path = "../../crates/waf/tests/support/mmdb.rs"]
mod mmdb;
mod process;
mod protection;
mod report;
mod scenario;
mod upstream;
mod workdir;
mod world;

use std::process::ExitCode;

use clap::Parser;

use contender::contenders;
use lookup::{ADDRESSES_ROW, COUNTRIES_ROW};
use measure::Plan;
use scenario::{PROTECTIONS_ROW, scenarios};
use upstream::Upstream;
use workdir::Workdir;
use world::World;

/// Measures VeloFlux beside nginx and haproxy.
#[derive(Parser)]
struct Arguments {
    /// Rounds of one second instead of two: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name begins with this; may be given several times.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                println!("fault: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every wanted row; gives what went wrong on the way.
fn run(arguments: &Arguments) -> Result<Vec<String>, String> {
    let wanted =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| name.starts_with(only));
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    machine::require_two_cores()?;
    println!("{}", machine::facts());
    println!("{}", plan.describe());

    let workdir = Workdir::create()?;
    let world = [PROTECTIONS_ROW, COUNTRIES_ROW].into_iter().any(wanted);
    let world = world.then(|| World::create(&workdir)).transpose()?;
    if let Some(world) = &world {
        println!("{}", world.facts);
    }
    if wanted(ADDRESSES_ROW) {
        report::addresses(&lookup::addresses()?);
    }
    if let Some(world) = world.filter(|_| wanted(COUNTRIES_ROW)) {
        report::countries(lookup::countries(&world));
    }
    let upstream = Upstream::start(&workdir)?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for scenario in scenarios().into_iter().filter(|scenario| wanted(&scenario.name)) {
        let measured = measure::row(&scenario, &contenders(&scenario), &upstream, &workdir, &plan);
        report::figures(&scenario, &measured.results);
        faults.extend(measured.faults);
        rows.push((scenario, measured.results));
    }
    report::table(&rows);
    Ok(faults)
}
