//! One row: starts every contender, then alternates rounds between them.

use crate::check;
use crate::contender::Contender;
use crate::load;
use crate::process::Server;
use crate::scenario::Scenario;
use crate::upstream::Upstream;
use crate::workdir::Workdir;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    seconds: u64,
}

impl Plan {
    /// A measurement.
    pub(crate) const FULL: Self = Self { rounds: 9, seconds: 2 };
    /// A look.
    pub(crate) const QUICK: Self = Self { rounds: 3, seconds: 1 };
    /// Load before the first round, in seconds: caches fill, upstream connections open.
    const WARM_UP_SECONDS: u64 = 1;

    /// The plan in words.
    pub(crate) fn describe(self) -> String {
        format!(
            "plan {} rounds of {} s per contender and row, alternating; medians, ratios round by round",
            self.rounds, self.seconds
        )
    }
}

/// One contender's row.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The contender's name.
    pub name: &'static str,
    /// CPU time of the proxy per request, in microseconds, one value per round.
    pub cpu_us: Vec<f64>,
    /// Requests per second, one value per round.
    pub rps: Vec<f64>,
}

/// What a row gave.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Contenders that did the work, in the order given.
    pub results: Vec<Outcome>,
    /// Contenders that did not, and why.
    pub faults: Vec<String>,
}

/// Measures one row.
pub(crate) fn row(
    scenario: &Scenario,
    contenders: &[Box<dyn Contender>],
    upstream: &Upstream,
    workdir: &Workdir,
    plan: &Plan,
) -> Measured {
    let mut measured = Measured::default();
    let mut running: Vec<(Server, Outcome)> = Vec::new();
    for contender in contenders {
        match prepare(contender.as_ref(), scenario, upstream, workdir) {
            Ok(server) => running
                .push((server, Outcome { name: contender.name(), cpu_us: Vec::new(), rps: Vec::new() })),
            Err(error) => measured.faults.push(fault(scenario, contender.name(), &error)),
        }
    }
    for _ in 0..plan.rounds {
        running.retain_mut(|(server, outcome)| match round(scenario, server, workdir, plan) {
            Ok((cpu_us, rps)) => {
                outcome.cpu_us.push(cpu_us);
                outcome.rps.push(rps);
                true
            }
            Err(error) => {
                measured.faults.push(fault(scenario, outcome.name, &error));
                false
            }
        });
    }
    measured.results = running.into_iter().map(|(_, outcome)| outcome).collect();
    measured
}

fn fault(scenario: &Scenario, contender: &str, error: &str) -> String {
    format!("{}/{contender}: {error}", scenario.name)
}

fn prepare(
    contender: &dyn Contender,
    scenario: &Scenario,
    upstream: &Upstream,
    workdir: &Workdir,
) -> Result<Server, String> {
    let server = contender.start(scenario, upstream.address(), workdir)?;
    let checked =
        check::works(scenario, contender.protections(), server.address.port(), &workdir.path("cert.pem"));
    checked.map_err(|error| format!("{error}\n{}", server.output()))?;
    load::run(scenario, server.address.port(), Plan::WARM_UP_SECONDS, workdir)?;
    Ok(server)
}

/// CPU microseconds per request, and requests per second.
fn round(scenario: &Scenario, server: &Server, workdir: &Workdir, plan: &Plan) -> Result<(f64, f64), String> {
    let before = server.cpu_ns()?;
    let load = load::run(scenario, server.address.port(), plan.seconds, workdir)?;
    let used_ns = server.cpu_ns()? - before;
    let requests = load.requests as f64;
    Ok((used_ns as f64 / 1e3 / requests, requests / load.seconds))
}
