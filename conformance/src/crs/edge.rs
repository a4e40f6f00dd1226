//! Suite `crs-edge`: every case as raw bytes to the listener of a running edge, judged by its answer and its logs.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::case::{Case, Stage};
use super::expect::Observation;
use super::logline::LogLine;
use super::rules::RuleFolder;
use super::suite::{self, Seen};
use super::{request, workers};
use crate::SuiteResult;
use crate::client::{self, Outcome};
use crate::edge::{Edge, Logs, Setting};

/// The suite's name.
pub const NAME: &str = "crs-edge";
/// Connections at once: enough that the edge's two cores never wait for a client.
const THREADS: usize = 8;
/// How long an answer may take. Cases are small; what takes longer is a server that waits for more bytes.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What a client saw of one stage: the answer's status, and the id under which the edge logged it.
type Sent = Result<(Option<u16>, Option<String>), String>;

/// Runs the suite of the CRS release unpacked in `release`.
pub fn run(release: &Path) -> Result<SuiteResult, String> {
    let (cases, mut tally) = suite::begin(NAME, release)?;
    let rules = tempfile::tempdir().map_err(|error| error.to_string())?;
    RuleFolder::read(release)
        .and_then(|folder| folder.with_suite_settings().write(rules.path()))
        .map_err(|error| format!("{}: {error}", release.display()))?;

    let edge = Edge::start(&Setting { hosts: &hosts(&cases), rules: Some(rules.path()), tls: false })?;
    let answers = workers::map(NAME, THREADS, &cases, |case| {
        if tally.skips(&case.id) {
            return Vec::new();
        }
        case.stages.iter().map(|stage| send(stage, edge.address())).collect()
    });
    let log = Log::read(&edge.stop()?)?;
    for (case, answers) in cases.iter().zip(answers) {
        let seen: Seen = answers.into_iter().map(|answer| observe(answer, &log)).collect();
        suite::add(&mut tally, case, &seen);
    }
    Ok(tally.finish())
}

fn send(stage: &Stage, address: SocketAddr) -> Sent {
    let bytes = request::bytes(&stage.input).map_err(|error| error.to_string())?;
    match client::send(address, &bytes, ANSWER_LIMIT).map_err(|error| error.to_string())? {
        Outcome::Answered(answer) => Ok((Some(answer.status), answer.request_id)),
        Outcome::Closed => Ok((None, None)),
        Outcome::Silent => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    }
}

fn observe(answer: Sent, log: &Log) -> Result<Observation, String> {
    let (status, request_id) = answer?;
    let lines = request_id.and_then(|id| log.0.get(&id).cloned()).unwrap_or_default();
    Ok(Observation { status, log: lines })
}

/// Every host name that a case asks for and that a tenant can have.
fn hosts(cases: &[Case]) -> Vec<String> {
    let stages = cases.iter().flat_map(|case| &case.stages);
    let headers = stages.filter_map(|stage| stage.input.headers.as_ref()).flatten();
    let values =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("Host")).filter_map(|(_, value)| value.as_ref());
    let names: BTreeSet<String> = values.filter_map(|value| host(value)).collect();
    names.into_iter().collect()
}

/// The name in a `Host` header field, in the form in which a tenant states it.
fn host(value: &str) -> Option<String> {
    if let Some(literal) = value.strip_prefix('[') {
        let address: Ipv6Addr = literal.split(']').next()?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let name = value.split(':').next()?.to_ascii_lowercase();
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (is_plain && !name.is_empty()).then_some(name)
}

/// What the edge logged, by request id.
struct Log(HashMap<String, Vec<LogLine>>);

#[derive(Deserialize)]
struct Access {
    request_id: String,
    waf: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    rules: Vec<u64>,
}

#[derive(Deserialize)]
struct Event {
    request_id: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    id: u64,
    message: String,
    tags: Vec<String>,
    variable: String,
    value: String,
}

impl Log {
    /// Reads both logs: events tell of every match of a request that was or would have been refused, access entries
    /// name the rules that matched in all others.
    fn read(logs: &Logs) -> Result<Self, String> {
        let mut lines: HashMap<String, Vec<LogLine>> = HashMap::new();
        for line in logs.events.lines() {
            let event: Event =
                serde_json::from_str(line).map_err(|error| format!("event log: {error}: {line}"))?;
            lines.entry(event.request_id).or_default().extend(event.rules.into_iter().map(Rule::into_line));
        }
        for line in logs.access.lines() {
            let entry: Access =
                serde_json::from_str(line).map_err(|error| format!("access log: {error}: {line}"))?;
            let known = lines.entry(entry.request_id).or_default();
            for id in entry.waf.map(|waf| waf.rules).unwrap_or_default() {
                if known.iter().all(|line| line.id != id) {
                    known.push(LogLine { id, ..LogLine::default() });
                }
            }
        }
        Ok(Self(lines))
    }
}

impl Rule {
    /// The log data of a CRS rule names the variable and the value; the event holds both, the value masked.
    fn into_line(self) -> LogLine {
        let data = format!("found within {}: {}", self.variable, self.value);
        LogLine { id: self.id, message: self.message, data, variable: self.variable, tags: self.tags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_that_a_tenant_can_have() {
        let values = ["localhost", "Deadbeef.de:8080", "[fe80::f1:01:fe01:1]:80", "localhost%00", ""];
        let hosts: Vec<_> = values.into_iter().map(host).collect();
        assert_eq!(hosts[0].as_deref(), Some("localhost"));
        assert_eq!(hosts[1].as_deref(), Some("deadbeef.de"));
        assert_eq!(hosts[2].as_deref(), Some("[fe80::f1:1:fe01:1]"));
        assert_eq!(hosts[3..], [None, None]);
    }

    #[test]
    fn both_logs_tell_which_rules_matched() {
        let rule =
            r#"{"id": 7, "message": "m", "tags": [], "variable": "ARGS:q", "value": "<s***", "phase": 2}"#;
        let log = Log::read(&Logs {
            access: r#"{"request_id": "a", "waf": {"rules": [7, 8]}}"#.to_owned()
                + "\n{\"request_id\": \"b\"}\n",
            events: format!(r#"{{"request_id": "a", "rules": [{rule}]}}"#),
        })
        .unwrap();
        let lines = &log.0["a"];
        assert_eq!(lines.iter().map(|line| line.id).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(lines[0].data, "found within ARGS:q: <s***");
        assert!(log.0["b"].is_empty());
    }
}
