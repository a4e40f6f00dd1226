//! `make instructions`: how many instructions judging a request takes, class by class, against a checked-in baseline.
//!
//! Times differ from run to run and from machine to machine; instructions hardly do. So a change that makes the engine
//! dearer is seen by `make test`, on a busy machine too. A count is that of one transaction (all phases, record, memory
//! given back), the mean over the requests of a class, in the release build, after warm-up; loading the rules is not in
//! it. `cold` rows are those of an engine that was made to forget all values before each request. Who makes a class dearer on purpose writes the baseline anew and says why in the commit.

mod baseline;
mod callgrind;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use veloflux_bench_waf::data;

use baseline::Baseline;

/// The release whose rules judge.
const RELEASE: &str = "crs-4.28.0";
/// The requests.
const TRAFFIC: &str = "waf-traffic";

/// Counts instructions per judged request and compares them with the checked-in baseline.
#[derive(Parser)]
struct Arguments {
    /// Write the baseline instead of comparing with it.
    #[arg(long)]
    write: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// What is counted; started by this program under callgrind.
    #[command(hide = true)]
    Judge,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Judge) => callgrind::judge(),
        None => run(arguments.write),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(write: bool) -> Result<ExitCode, String> {
    if let Some(reason) = unable() {
        println!("instructions skipped: {reason}");
        return Ok(if write { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    eprintln!("instructions: counting, about a minute");
    let counted = Baseline { rustc: baseline::rustc(), counts: callgrind::count()? };
    if write {
        counted.write()?;
        println!("instructions: {} written", baseline::FILE);
        return Ok(ExitCode::SUCCESS);
    }
    let known = Baseline::read()?;
    let changes = known.compare(&counted);
    for change in &changes {
        println!("instructions {change}");
    }
    let grown = changes.iter().filter(|change| change.is_growth()).count();
    let rows = counted.counts.len();
    println!("instructions {} of {rows} rows did not grow", rows - grown);
    if grown == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if known.rustc != counted.rustc {
        println!(
            "instructions: the baseline was counted with {}, this is {}; write it anew",
            known.rustc, counted.rustc
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("instructions: where that is wanted, `make instructions-baseline`, and the commit says why");
    Ok(ExitCode::FAILURE)
}

/// Why this machine cannot count what the baseline holds.
fn unable() -> Option<String> {
    [RELEASE, TRAFFIC].iter().find_map(|name| data(name).err()).or_else(callgrind::unable)
}
