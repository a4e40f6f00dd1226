//! Whether what was seen is what a case expects.

use std::collections::BTreeSet;

use regex::Regex;

use super::case::Output;
use super::logline::LogLine;
use crate::tally::Difference;

/// What came of one request.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The status of the answer; `None` where the connection ended without one.
    pub status: Option<u16>,
    /// What the log says, one line per match that is logged.
    pub log: Vec<LogLine>,
}

/// Compares; an error in the case itself (a bad pattern) is a difference too.
pub fn judge(expected: &Output, seen: &Observation) -> Result<(), Difference> {
    if expected.expect_error {
        // A broken connection leaves no log worth reading, so nothing else is asked.
        return match seen.status {
            None => Ok(()),
            Some(status) => Err(Difference::new("no answer", format!("status {status}"))),
        };
    }
    judge_status(expected.status, seen.status)?;
    judge_log(expected, &seen.log)
}

fn judge_status(expected: Option<u16>, seen: Option<u16>) -> Result<(), Difference> {
    match (expected, seen) {
        (_, None) => Err(Difference::new("an answer", "none")),
        (Some(expected), Some(seen)) if expected != seen => {
            Err(Difference::new(format!("status {expected}"), format!("status {seen}")))
        }
        _ => Ok(()),
    }
}

fn judge_log(expected: &Output, seen: &[LogLine]) -> Result<(), Difference> {
    let log = &expected.log;
    let ids: BTreeSet<u64> = seen.iter().map(|line| line.id).collect();
    let missing: Vec<_> = log.expect_ids.iter().filter(|id| !ids.contains(id)).collect();
    if !missing.is_empty() {
        return Err(Difference::new(format!("rules {missing:?}"), format!("rules {ids:?}")));
    }
    let unwanted: Vec<_> = log.no_expect_ids.iter().filter(|id| ids.contains(id)).collect();
    if !unwanted.is_empty() {
        return Err(Difference::new(format!("none of rules {unwanted:?}"), format!("rules {ids:?}")));
    }
    if let Some(pattern) = &log.match_regex
        && find(pattern, seen)?.is_none()
    {
        let lines: Vec<_> = seen.iter().map(LogLine::text).collect();
        return Err(Difference::new(format!("a log line like {pattern}"), lines.join(" | ")));
    }
    if let Some(pattern) = &log.no_match_regex
        && let Some(line) = find(pattern, seen)?
    {
        return Err(Difference::new(format!("no log line like {pattern}"), line));
    }
    Ok(())
}

fn find(pattern: &str, lines: &[LogLine]) -> Result<Option<String>, Difference> {
    let pattern =
        Regex::new(pattern).map_err(|error| Difference::new("a usable pattern", error.to_string()))?;
    Ok(lines.iter().map(LogLine::text).find(|line| pattern.is_match(line)))
}

#[cfg(test)]
mod tests {
    use super::super::case::LogExpectation;
    use super::*;

    fn seen(status: u16, ids: &[u64]) -> Observation {
        let log = ids.iter().map(|id| LogLine {
            id: *id,
            message: "Injection".into(),
            data: "Matched Data: x found within ARGS:q: x".into(),
            variable: "ARGS:q".into(),
            tags: vec!["attack-sqli".into()],
        });
        Observation { status: Some(status), log: log.collect() }
    }

    fn log(log: LogExpectation) -> Output {
        Output { log, ..Output::default() }
    }

    #[test]
    fn rules_must_be_there_or_not() {
        let wanted = log(LogExpectation { expect_ids: vec![1, 2], ..LogExpectation::default() });
        assert!(judge(&wanted, &seen(200, &[1, 2, 3])).is_ok());
        assert_eq!(judge(&wanted, &seen(200, &[2, 3])).unwrap_err().expected, "rules [1]");
        let unwanted = log(LogExpectation { no_expect_ids: vec![1], ..LogExpectation::default() });
        assert!(judge(&unwanted, &seen(200, &[2])).is_ok());
        assert!(judge(&unwanted, &seen(200, &[1])).is_err());
    }

    #[test]
    fn patterns_look_at_whole_lines() {
        let pattern = |text: &str| Some(text.to_owned());
        let wanted = log(LogExpectation {
            match_regex: pattern(r#"\[id "7"\].*\[msg "Injection"\].*found within ARGS:q"#),
            ..LogExpectation::default()
        });
        assert!(judge(&wanted, &seen(200, &[7])).is_ok());
        assert!(judge(&wanted, &seen(200, &[8])).is_err());
        let unwanted =
            log(LogExpectation { no_match_regex: pattern(r#"\[id "\d+"\]"#), ..LogExpectation::default() });
        assert!(judge(&unwanted, &seen(200, &[])).is_ok());
        assert!(judge(&unwanted, &seen(200, &[7])).is_err());
    }

    #[test]
    fn a_status_and_an_answer_are_asked_for() {
        let wanted = Output { status: Some(400), ..Output::default() };
        assert!(judge(&wanted, &seen(400, &[])).is_ok());
        assert!(judge(&wanted, &seen(200, &[])).is_err());
        assert!(judge(&Output::default(), &Observation::default()).is_err());
    }

    #[test]
    fn an_expected_error_is_a_connection_without_an_answer() {
        let wanted = Output { expect_error: true, ..Output::default() };
        assert!(judge(&wanted, &Observation::default()).is_ok());
        assert!(judge(&wanted, &seen(400, &[])).is_err());
    }
}
