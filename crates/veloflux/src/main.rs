//! `veloflux`: an edge that many tenants share. See `veloflux help`.
//!
//! Exit codes: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage.

mod certificates;
mod check;
mod cli;
mod crs;
mod demo;
mod demo_upstream;
mod dev_ca;
mod failure;
mod load;
mod logging;
mod origins;
mod serve;
mod waf;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Check(args) => check::run(&args),
        cli::Command::Schema(args) => {
            check::schema(&args);
            Ok(())
        }
        cli::Command::Certificates(args) => certificates::run(&args),
        cli::Command::Crs(args) => crs::run(&args),
        cli::Command::Serve(args) => serve::run(&args),
        cli::Command::DemoUpstream(args) => demo_upstream::run(&args),
        cli::Command::DevCa(args) => dev_ca::run(&args),
        cli::Command::Demo(args) => demo::run(&args),
        cli::Command::Waf(args) => waf::run(&args.command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
