//! Our engine beside libmodsecurity: the same rules, the same requests, the same matched rules.
//!
//! Requests are those of the suites, changed, and those of a grammar around the suites' values ([`generate`]); each has
//! a number under a seed and can be asked for again. Both engines run everything at paranoia level 4 in detection, so
//! that no refusal hides what comes after it, with one configuration: the base configuration, the release's example
//! set-up, the suite's settings and `settings.conf`. What is compared is the set of rules that matched and log. Our
//! side is the production path, filter included.
//!
//! Every disagreement needs a row in `conformance/reasons/differential.yaml` ([`triage`]); one without fails the run
//! and is shown shrunk ([`minimise`]).

mod encode;
mod engines;
mod generate;
mod inputs;
mod minimise;
mod mutate;
mod place;
mod request;
mod triage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Miss, SuiteResult, shared};
use engines::{Pair, Shared};
use generate::Generator;
use inputs::Inputs;
pub use request::Request;
use triage::{Differences, Found, SUMS, Side, Table};

/// The suite's name.
pub const NAME: &str = "differential";
/// What the suite runs; `veloflux-differential` runs more.
pub const SAMPLE: Options = Options { seed: 1, first: 0, requests: 1_000 };
/// Pairs of engines; the machines that this runs on have two cores.
const WORKERS: u64 = 2;
/// Requests that one worker takes at a time.
const BATCH: u64 = 32;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(20);
/// Unexplained disagreements that are shrunk and shown; more are counted.
const MAX_SHOWN: usize = 60;
/// Of those, disagreements on one rule.
const MAX_OF_A_KIND: u64 = 2;

/// Which requests.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What requests are made from.
    pub seed: u64,
    /// The first request's number.
    pub first: u64,
    /// How many.
    pub requests: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that both engines judged.
    pub requests: u64,
    /// Those on which they agree.
    pub equal: u64,
    /// Disagreements that rows explain.
    pub triaged: u64,
    /// Disagreements that no row explains, shrunk.
    pub unexplained: Vec<Unexplained>,
    /// Those of them that are not shown for being too many.
    pub hidden: u64,
    /// Rows whose example the engines agree on.
    pub stale: Vec<String>,
    /// Rules that differ without an explanation, and in how many requests, those not shown included.
    pub kinds: BTreeMap<String, u64>,
    /// Disagreements by row.
    pub rows: BTreeMap<String, u64>,
}

/// A disagreement without a row.
#[derive(Debug)]
pub struct Unexplained {
    /// The request's number.
    pub number: u64,
    /// Rules that only we matched, and that only they did; 0: an engine failed.
    pub rules: [Vec<u64>; 2],
    /// A small request on which the first of these rules differs.
    pub request: Request,
}

impl Report {
    /// The closing line.
    pub fn line(&self) -> String {
        format!(
            "differential requests {} equal {} triaged {} unexplained {}",
            self.requests,
            self.equal,
            self.triaged,
            self.unexplained.len() as u64 + self.hidden
        )
    }

    /// Counts a rule that differs; whether it has been seen less than a few times.
    fn count_kind(&mut self, (side, id): (Side, u64)) -> bool {
        let seen = self.kinds.entry(format!("{side:?} {id}").to_ascii_lowercase()).or_default();
        *seen += 1;
        *seen <= MAX_OF_A_KIND && !SUMS.contains(&id)
    }

    /// Whether every disagreement has a row and every row a disagreement.
    pub fn holds(&self) -> bool {
        self.unexplained.is_empty() && self.hidden == 0 && self.stale.is_empty()
    }
}

/// Runs the sample as a suite.
pub fn run(release: &Path) -> Result<SuiteResult, String> {
    if let Some(missing) = engines::missing() {
        return Ok(SuiteResult::absent(NAME, missing));
    }
    let report = compare(release, SAMPLE)?;
    let misses = report.unexplained.iter().map(|found| Miss {
        case: format!("request {}", found.number),
        expected: "the same rules".to_owned(),
        got: format!("only ours {:?}, only theirs {:?}\n{}", found.rules[0], found.rules[1], found.request),
        reason: None,
    });
    Ok(SuiteResult {
        name: NAME.to_owned(),
        passed: (report.equal + report.triaged) as usize,
        failed: report.unexplained.len() + report.hidden as usize,
        per_file: vec![report.line()],
        misses: misses.collect(),
        stale: report.stale,
        ..SuiteResult::default()
    })
}

/// Compares the engines on the requests of `options`, with the CRS release unpacked in `release`.
pub fn compare(release: &Path, options: Options) -> Result<Report, String> {
    let table = Table::load()?;
    let generator = Generator::new(Inputs::read(&shared::folder().join("data"), release)?, options.seed);
    let shared = Shared::prepare(release)?;
    let run = Run {
        table: &table,
        generator: &generator,
        options,
        next: AtomicU64::new(options.first),
        report: Mutex::new((Report::default(), Instant::now())),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| run.work(&shared))).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Result<(), String>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        // Every worker is waited for before the first error is told.
        workers.into_iter().map(join).collect::<Vec<_>>().into_iter().collect::<Result<Vec<()>, String>>()
    })?;
    let mut report = run.report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0;
    report.unexplained.sort_by_key(|found| found.number);
    report.stale = stale(&table, &mut Pair::start(&shared)?)?;
    Ok(report)
}

/// Rows whose example shows no disagreement that the row explains.
fn stale(table: &Table, engines: &mut Pair<'_>) -> Result<Vec<String>, String> {
    let mut stale = Vec::new();
    for (name, example) in table.examples() {
        let found = engines.judge(example)?;
        match table.explain(example, &found) {
            Ok(names) if names.contains(&name) => {}
            _ => stale.push(format!("{name}: its example gives {:?}", found.differences)),
        }
    }
    Ok(stale)
}

struct Run<'a> {
    table: &'a Table,
    generator: &'a Generator,
    options: Options,
    next: AtomicU64,
    report: Mutex<(Report, Instant)>,
}

impl Run<'_> {
    fn work(&self, shared: &Shared) -> Result<(), String> {
        let mut engines = Pair::start(shared)?;
        let end = self.options.first + self.options.requests;
        loop {
            let from = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if from >= end {
                return Ok(());
            }
            let numbers: Vec<u64> = (from..end.min(from + BATCH)).collect();
            let requests: Vec<Request> =
                numbers.iter().map(|number| self.generator.request(*number)).collect();
            let found = engines.batch(&requests)?;
            for ((number, request), found) in numbers.iter().zip(&requests).zip(&found) {
                self.count(&mut engines, *number, request, found);
            }
        }
    }

    fn count(&self, engines: &mut Pair<'_>, number: u64, request: &Request, found: &Found) {
        let explained = self.table.explain(request, found);
        let unexplained = self.with_report(|report| {
            report.requests += 1;
            match explained {
                Ok(_) if found.differences.is_empty() => report.equal += 1,
                Ok(names) => {
                    report.triaged += 1;
                    for name in names {
                        *report.rows.entry(name.to_owned()).or_default() += 1;
                    }
                }
                Err(rest) => {
                    let new = rest.iter().filter(|difference| report.count_kind(**difference)).count();
                    if new > 0 && report.unexplained.len() < MAX_SHOWN {
                        return Some(rest);
                    }
                    report.hidden += 1;
                }
            }
            None
        });
        let Some(rest) = unexplained else { return };
        let request = self.shrunk(engines, request, &rest);
        let alone = |side| rest.iter().filter(|(found, _)| *found == side).map(|(_, id)| *id).collect();
        let found = Unexplained { number, rules: [alone(Side::Ours), alone(Side::Theirs)], request };
        self.with_report(|report| report.unexplained.push(found));
    }

    /// A small request in which one of the same differences is still without an explanation.
    fn shrunk(&self, engines: &mut Pair<'_>, request: &Request, rest: &Differences) -> Request {
        // The lowest id first: what a parser says of a body explains what others see in it.
        let order = |(_, id): &&(Side, u64)| (SUMS.contains(id), *id);
        let Some(kept) = rest.iter().min_by_key(order).copied() else {
            return request.clone();
        };
        minimise::minimise(request, |candidate| match engines.judge(candidate) {
            Ok(found) => self.table.explain(candidate, &found).is_err_and(|rest| rest.contains(&kept)),
            Err(_) => false,
        })
    }

    fn with_report<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let mut locked = self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = change(&mut locked.0);
        if locked.1.elapsed() >= PROGRESS {
            locked.1 = Instant::now();
            eprintln!("{} (of {})", locked.0.line(), self.options.requests);
        }
        result
    }
}
