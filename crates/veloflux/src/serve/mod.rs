//! `veloflux serve`: the life of a serving process, from its files to its drain.

pub(crate) mod edge;
mod expiry;
mod open_files;
mod ordering;
mod reload;

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use veloflux_model::process::Process;
use veloflux_proxy::{DrainReport, Edge};

use crate::cli::Files;
use crate::failure::{Failure, Outcome};
use crate::load::ProcessFile;
use crate::logging;
use crate::origins;
use edge::Logs;
pub(crate) use reload::Reloads;

pub(crate) fn run(args: &Files) -> Outcome {
    let process = ProcessFile::read(&args.process)?;
    logging::start(&process.process.logs.process);
    let reloads = Reloads::first(&process, args.state.as_deref())?;
    run_until_told(&process, &reloads, |edge| {
        let snapshot = reloads.reader().current();
        let tenants = snapshot.tenants.len();
        tracing::info!(tenants, addresses = ?edge.addresses(), metrics = ?edge.metrics_address(), "serving");
        reload::tell_switches(None, &snapshot);
        Ok(())
    })
}

/// Starts an edge and serves until a signal ends it; `started` is called once it serves.
pub(crate) fn run_until_told(
    process: &ProcessFile,
    reloads: &Reloads,
    started: impl FnOnce(&Edge) -> Outcome,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(async {
        // Before anything serves: a signal that comes early must not be lost, nor end the process undrained.
        let mut signals =
            Signals::new().map_err(|error| Failure::new(format!("cannot take signals: {error}")))?;
        open_files::raise(process.process.limits.max_connections.get_usize());
        let (config, logs) = edge::config(process, reloads.managed())?;
        let edge = Edge::start(config, reloads.reader(), reloads.counters());
        let edge = edge.map_err(|error| Failure::new(error.to_string()))?;
        // Before that nobody would answer an authority's challenges.
        reloads.begin_ordering()?;
        started(&edge)?;
        serve(&mut signals, reloads, &logs).await;
        let drained = drain(edge, &mut signals.stop, &process.process).await;
        logs.flush();
        drained
    });
    // A load that still runs is not waited for: its result has no use.
    runtime.shutdown_background();
    ended
}

/// From one look at the age of geographic databases to the next.
const AGE_INTERVAL: Duration = Duration::from_hours(24);

/// Takes in changes until the process is told to stop; a load that runs then is not waited for.
async fn serve(signals: &mut Signals, reloads: &Reloads, logs: &Logs) {
    let Signals { hangup, reopen, stop } = signals;
    let changes = async {
        loop {
            tokio::select! {
                _ = hangup.recv() => reloads.reload("signal").await,
                () = reloads.changed() => reloads.reload("file change").await,
                () = reloads.issued() => reloads.publish_issued().await,
            }
        }
    };
    let rotations = async {
        loop {
            reopen.recv().await;
            logs.reopen();
        }
    };
    let ageing = async {
        loop {
            if let Some(geo) = &reloads.reader().current().geo {
                origins::warn_of_outdated(geo);
            }
            tokio::time::sleep(AGE_INTERVAL).await;
        }
    };
    let snapshots = reloads.reader();
    tokio::select! {
        () = stop.told() => {}
        () = ageing => {}
        () = changes => {}
        () = rotations => {}
        () = expiry::watch(&snapshots) => {}
    }
}

/// Lets requests in flight finish, up to the limit or a second signal.
async fn drain(edge: Edge, stop: &mut Stop, process: &Process) -> Outcome {
    let limit = process.limits.drain_timeout.duration();
    tracing::info!(
        limit_s = limit.as_secs_f64(),
        "draining: no new connections, requests in flight may finish"
    );
    let drained = tokio::task::spawn_blocking(move || edge.drain(limit));
    tokio::select! {
        report = drained => match report {
            Ok(report) => {
                tell(report, limit);
                Ok(())
            }
            Err(error) => Err(Failure::new(format!("the drain failed: {error}"))),
        },
        () = stop.told() => {
            tracing::warn!("ended at once by a second signal; requests in flight were cut");
            // Threads that still serve would be waited for on the way out of `main`.
            std::process::exit(1);
        }
    }
}

fn tell(report: DrainReport, limit: Duration) {
    let DrainReport { open, requests_cut, connections_cut } = report;
    if requests_cut == 0 {
        tracing::info!(connections = open, connections_cut, "drained: every request finished");
    } else {
        tracing::warn!(
            connections = open,
            requests_cut,
            connections_cut,
            limit_s = limit.as_secs_f64(),
            "drained: what had not finished in time was cut"
        );
    }
}

/// The signals that a serving process listens to.
struct Signals {
    hangup: Signal,
    reopen: Signal,
    stop: Stop,
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let stop =
            Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { hangup: signal(SignalKind::hangup())?, reopen: signal(SignalKind::user_defined1())?, stop })
    }
}

impl Stop {
    /// Waits for the next of them.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
