//! Suite `http11probe`: single raw HTTP/1.1 requests, well-formed and not, and what a server may do about each.
//!
//! The data were published with bytes outside ASCII turned into `?` and everything behind 8,192 bytes cut off. Where
//! the case's description says what was there, [`repaired`] puts it back: [`LOST`] and [`CUT_OFF`].

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::SuiteResult;
use crate::client::{self, Outcome};
use crate::crs::workers;
use crate::edge::{Edge, Setting};
use crate::tally::{Difference, Tally};

/// The suite's name.
pub const NAME: &str = "http11probe";
/// Requests at once.
const THREADS: usize = 8;
/// How long an answer may take before the server counts as waiting for more.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Where the published requests are cut off, in bytes.
const CUT: usize = 8192;

/// Cases whose `??` stands for these bytes.
const LOST: &[(&str, &[u8])] = &[
    ("MAL-NON-ASCII-HEADER-NAME", "ë".as_bytes()),
    ("MAL-NON-ASCII-URL", "é".as_bytes()),
    ("MAL-URL-OVERLONG-UTF8", b"\xC0\xAF"),
];

/// Cases that go on, up to a length in bytes, with repetitions of a text, and then end.
const CUT_OFF: &[(&str, &str, usize, &str)] = &[
    ("MAL-LONG-URL", "A", 100 << 10, " HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"),
    ("MAL-LONG-HEADER-VALUE", "B", 100 << 10, "\r\n\r\n"),
    ("MAL-LONG-HEADER-NAME", "A", 100 << 10, ": value\r\n\r\n"),
    ("MAL-LONG-METHOD", "A", 100 << 10, " / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"),
    ("MAL-MANY-HEADERS", " value\r\nX-H-1:", 160 << 10, " value\r\n\r\n"),
    ("MAL-CHUNK-EXT-64K", "a", 64 << 10, "\r\nhello\r\n0\r\n\r\n"),
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: String,
    expected: String,
    raw_request: String,
}

/// Runs the suite whose data lie in `folder`.
pub fn run(folder: &Path) -> Result<SuiteResult, String> {
    let text =
        std::fs::read_to_string(folder.join("cases.json")).map_err(|error| format!("cases.json: {error}"))?;
    let cases: Vec<Case> = serde_json::from_str(&text).map_err(|error| format!("cases.json: {error}"))?;
    let mut tally = Tally::new(NAME, NAME)?;
    let edge = Edge::start(&Setting {
        hosts: &["localhost".into(), "example.com".into()],
        rules: None,
        tls: false,
    })?;
    let outcomes = workers::map(NAME, THREADS, &cases, |case| send(case, edge.address()));
    edge.stop()?;

    for (case, outcome) in cases.iter().zip(outcomes) {
        let (outcome, expectation) = (outcome?, Expectation::parse(&case.expected)?);
        let (status, got) = match &outcome {
            Outcome::Answered(answer) => (Some(answer.status), format!("status {}", answer.status)),
            Outcome::Closed => (None, "close".into()),
            Outcome::Silent => (None, "timeout".into()),
        };
        let differs = || Difference::new(case.expected.clone(), got);
        tally.add(&case.id, status, || if expectation.allows(&outcome) { Ok(()) } else { Err(differs()) });
    }
    Ok(tally.finish())
}

fn send(case: &Case, address: SocketAddr) -> Result<Outcome, String> {
    client::send(address, &repaired(case), ANSWER_LIMIT).map_err(|error| error.to_string())
}

/// The request as it was meant.
fn repaired(case: &Case) -> Vec<u8> {
    let mut bytes = case.raw_request.clone().into_bytes();
    if let Some((_, lost)) = LOST.iter().find(|(id, _)| *id == case.id)
        && let Some(start) = bytes.windows(2).position(|pair| pair == b"??")
    {
        bytes.splice(start..start + 2, lost.iter().copied());
    }
    if let Some((_, unit, whole, end)) = CUT_OFF.iter().find(|(id, ..)| *id == case.id)
        && bytes.len() == CUT
    {
        while bytes.len() < *whole {
            bytes.extend_from_slice(unit.as_bytes());
        }
        bytes.extend_from_slice(end.as_bytes());
    }
    bytes
}

/// What a server may do, as the data write it: `400/431 or close`.
#[derive(Debug, PartialEq, Eq)]
struct Expectation(Vec<Allowed>);

#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    Status(u16),
    NotStatus(u16),
    Success,
    SuccessThenClose,
    Close,
    Timeout,
}

impl Expectation {
    /// What stands behind a comma is tolerated with a warning, which is no pass here.
    fn parse(text: &str) -> Result<Self, String> {
        let pass = text.split(',').next().unwrap_or_default().replace("(pass)", "");
        let parts = pass.split(" or ").flat_map(|part| part.split('/')).map(str::trim);
        let allowed = parts.map(|part| match part {
            "2xx" => Some(Allowed::Success),
            "2xx + close" => Some(Allowed::SuccessThenClose),
            "close" => Some(Allowed::Close),
            "timeout" => Some(Allowed::Timeout),
            _ => match part.strip_prefix('!') {
                Some(status) => status.parse().ok().map(Allowed::NotStatus),
                None => part.parse().ok().map(Allowed::Status),
            },
        });
        let allowed: Option<Vec<_>> = allowed.collect();
        allowed.map(Self).ok_or_else(|| format!("unknown expectation {text:?}"))
    }

    fn allows(&self, outcome: &Outcome) -> bool {
        self.0.iter().any(|allowed| match (allowed, outcome) {
            (Allowed::Status(status), Outcome::Answered(answer)) => answer.status == *status,
            (Allowed::NotStatus(status), Outcome::Answered(answer)) => answer.status != *status,
            (Allowed::Success, Outcome::Answered(answer)) => (200..300).contains(&answer.status),
            (Allowed::SuccessThenClose, Outcome::Answered(answer)) => {
                (200..300).contains(&answer.status) && answer.closes
            }
            (Allowed::Close, Outcome::Closed) | (Allowed::Timeout, Outcome::Silent) => true,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Answer;

    fn answered(status: u16, closes: bool) -> Outcome {
        Outcome::Answered(Answer { status, closes, request_id: None, body: Vec::new() })
    }

    fn allows(text: &str, outcome: &Outcome) -> bool {
        Expectation::parse(text).unwrap().allows(outcome)
    }

    #[test]
    fn expectations_are_read() {
        assert!(allows("400 or close", &answered(400, true)) && allows("400 or close", &Outcome::Closed));
        assert!(!allows("400 or close", &answered(200, true)) && !allows("400 or close", &Outcome::Silent));
        assert!(
            allows("400/505/close/timeout", &Outcome::Silent)
                && allows("400/505/close/timeout", &answered(505, false))
        );
        assert!(
            allows("400 or 2xx/404", &answered(404, false)) && allows("2xx or 400", &answered(204, false))
        );
        assert!(allows("!101", &answered(400, false)) && !allows("!101", &answered(101, false)));
        assert!(allows("2xx + close", &answered(200, true)) && !allows("2xx + close", &answered(200, false)));
        assert!(!allows("400 or close (pass), 2xx (warn)", &answered(200, false)));
        assert!(Expectation::parse("teapot").is_err());
    }

    #[test]
    fn what_publication_lost_is_put_back() {
        let case = |id: &str, request: &str| Case {
            id: id.into(),
            expected: String::new(),
            raw_request: request.into(),
        };
        assert_eq!(repaired(&case("MAL-URL-OVERLONG-UTF8", "GET /?? H")), b"GET /\xC0\xAF H");
        assert_eq!(repaired(&case("COMP-BASELINE", "GET /?? H")), b"GET /?? H");
        let cut = repaired(&case("MAL-LONG-URL", &format!("GET /{}", "A".repeat(CUT - 5))));
        assert!(cut.len() > 100 << 10 && cut.ends_with(b"AA HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"));
        assert_eq!(repaired(&case("MAL-LONG-URL", "GET /short")), b"GET /short");
    }
}
