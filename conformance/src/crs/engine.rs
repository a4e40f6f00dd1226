//! Suite `crs-engine`: every case straight through the firewall engine, at paranoia level 4 in detection mode.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use veloflux_waf::{
    Connection, Levels, Mode, Overlay, OverlaySettings, Record, RequestHead, ResponseHead, Ruleset,
    Transaction, Verdict, crs,
};

use super::case::Stage;
use super::expect::Observation;
use super::logline::LogLine;
use super::reflect::{self, Answer};
use super::rules::RuleFolder;
use super::suite::{self, Seen};
use super::{request, workers};
use crate::SuiteResult;
use crate::wire::{self, Field};

/// The suite's name.
pub const NAME: &str = "crs-engine";
/// Workers; the machines that this runs on have two cores.
const THREADS: usize = 2;
/// What the suite's own environment runs at.
pub(crate) const LEVELS: Levels = Levels { paranoia: 4, inbound_threshold: 5, outbound_threshold: 4 };

/// Runs the suite of the CRS release unpacked in `release`.
pub fn run(release: &Path) -> Result<SuiteResult, String> {
    let (cases, mut tally) = suite::begin(NAME, release)?;
    let folder = RuleFolder::read(release).map_err(|error| format!("{}: {error}", release.display()))?;
    let firewall = Firewall::compile(&folder.with_suite_settings())?;
    let seen: Vec<Seen> = workers::map(NAME, THREADS, &cases, |case| {
        if tally.skips(&case.id) {
            return Seen::new();
        }
        case.stages.iter().map(|stage| firewall.see(stage)).collect()
    });
    for (case, seen) in cases.iter().zip(&seen) {
        suite::add(&mut tally, case, seen);
    }
    Ok(tally.finish())
}

/// The engine under a release's rules, at [`LEVELS`] in detection.
pub(crate) struct Firewall {
    ruleset: Ruleset,
    overlay: Overlay,
}

impl Firewall {
    pub(crate) fn compile(rules: &RuleFolder) -> Result<Self, String> {
        let files = rules.in_memory("crs");
        let sources = crs::sources(&files, "crs")?;
        let ruleset = Ruleset::compile(&sources, &files).map_err(|errors| errors.to_string())?;
        let settings = OverlaySettings::new(Mode::Detect, LEVELS);
        let overlay = ruleset.overlay(&settings).map_err(|error| error.to_string())?;
        Ok(Self { ruleset, overlay })
    }

    fn see(&self, stage: &Stage) -> Result<Observation, String> {
        let bytes = request::bytes(&stage.input).map_err(|error| error.to_string())?;
        let request = wire::request(&bytes).ok_or("bytes that no server could make a request of")?;
        let answer = reflect::answer(request.method, request.target, &request.body);
        let (status, record) = self.transact(&request, &answer);
        Ok(Observation { status: Some(status), log: log(&record) })
    }

    /// One transaction from head to log; gives the status that the client would see.
    pub(crate) fn transact(&self, request: &wire::Request<'_>, answer: &Answer) -> (u16, Record) {
        let connection = Connection {
            client: ([192, 0, 2, 7], 40_000).into(),
            server: ([198, 51, 100, 1], 443).into(),
            request_id: "crs-engine",
            now_unix_us: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64),
        };
        let head = RequestHead {
            method: request.method,
            target: request.target,
            protocol: request.protocol,
            headers: &request.headers,
        };
        let response_headers: Vec<Field<'_>> =
            answer.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let response =
            ResponseHead { status: answer.status, protocol: b"HTTP/1.1", headers: &response_headers };

        macro_rules! pass {
            ($verdict:expr) => {
                match $verdict {
                    Verdict::Pass(transaction) => transaction,
                    Verdict::Refuse(refused) => return (refused.status(), refused.finish()),
                }
            };
        }
        let transaction = Transaction::begin(&self.ruleset, &self.overlay, &connection);
        let transaction = pass!(transaction.request_head(&head));
        let body: &[u8] = if transaction.body_wanted() { &request.body } else { &[] };
        let transaction = pass!(transaction.request_body(body, true));
        let transaction = pass!(transaction.response_head(&response));
        let body: &[u8] = if transaction.body_wanted() { &answer.body } else { &[] };
        let transaction = pass!(transaction.response_body(body, true));
        (answer.status, transaction.finish())
    }
}

fn log(record: &Record) -> Vec<LogLine> {
    let logged = record.matches.iter().filter(|found| found.logged);
    let line = logged.map(|found| LogLine {
        id: found.rule_id.into(),
        message: found.message.clone(),
        data: found.data.clone(),
        variable: found.variable.clone(),
        tags: found.tags.iter().map(ToString::to_string).collect(),
    });
    line.collect()
}
