//! Runs the suites that others wrote against VeloFlux, and says exactly where it falls short.
//!
//! Every suite gives a [`SuiteResult`]. A case that does not pass, or is not run, needs a row with the reason in a
//! checked-in table under `conformance/reasons`; a miss without one fails the run, and so does a row that no longer
//! applies. Where a suite's data is not on the machine, the suite is skipped by name.

pub mod backend;
pub mod client;
pub mod crs;
pub mod differential;
pub mod edge;
pub mod http11probe;
pub mod language;
pub mod libinjection;
pub mod modsecurity;
pub mod reasons;
pub mod shared;
pub mod stream;
pub mod tally;
pub mod tls_scan;
pub mod wire;

/// What came of one suite.
#[derive(Debug, Default)]
pub struct SuiteResult {
    /// The suite's name, as in `crs-engine`.
    pub name: String,
    /// Cases whose every expectation held.
    pub passed: usize,
    /// Cases with an expectation that did not hold, explained or not.
    pub failed: usize,
    /// Cases not run, each with a row in a reason table.
    pub skipped: usize,
    /// Lines for people, one per part of the suite.
    pub per_file: Vec<String>,
    /// Every failed case.
    pub misses: Vec<Miss>,
    /// Rows of the reason table that do not apply any more, or name no case.
    pub stale: Vec<String>,
    /// Why the suite did not run at all; the counts are then zero.
    pub absent: Option<String>,
}

/// A case that failed.
#[derive(Debug, Clone)]
pub struct Miss {
    /// The case, as its suite names it.
    pub case: String,
    /// What the suite wants to see.
    pub expected: String,
    /// What was seen.
    pub got: String,
    /// The reason from the table; `None` fails the run.
    pub reason: Option<String>,
}

impl SuiteResult {
    /// A suite that did not run because of `reason`.
    pub fn absent(name: &str, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), absent: Some(reason.into()), ..Self::default() }
    }

    /// The suite's closing line.
    pub fn line(&self) -> String {
        match &self.absent {
            Some(reason) => format!("suite {} skipped: {reason}", self.name),
            None => format!(
                "suite {} passed {} failed {} skipped {}",
                self.name, self.passed, self.failed, self.skipped
            ),
        }
    }

    /// Passed cases in percent of those that ran; 100 where none did.
    pub fn percent(&self) -> f64 {
        let ran = self.passed + self.failed;
        if ran == 0 { 100.0 } else { self.passed as f64 * 100.0 / ran as f64 }
    }

    /// What is wrong with the run, given the least percentage that must pass. Empty: nothing.
    pub fn faults(&self, least_percent: f64) -> Vec<String> {
        let mut faults = Vec::new();
        let unexplained = self.misses.iter().filter(|miss| miss.reason.is_none()).count();
        if unexplained > 0 {
            faults.push(format!("{}: {unexplained} misses without a reason", self.name));
        }
        if self.percent() < least_percent {
            faults.push(format!(
                "{}: {:.2} % passed, {least_percent} % is the bar",
                self.name,
                self.percent()
            ));
        }
        faults.extend(self.stale.iter().map(|row| format!("{}: stale reason: {row}", self.name)));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss(reason: Option<&str>) -> Miss {
        Miss { case: "1-1".into(), expected: "a".into(), got: "b".into(), reason: reason.map(str::to_owned) }
    }

    #[test]
    fn an_unexplained_miss_is_a_fault_whatever_the_bar() {
        let result =
            SuiteResult { passed: 999, failed: 1, misses: vec![miss(None)], ..SuiteResult::default() };
        assert_eq!(result.faults(98.0).len(), 1);
    }

    #[test]
    fn explained_misses_count_against_the_bar() {
        let result = SuiteResult {
            passed: 96,
            failed: 4,
            misses: vec![miss(Some("theirs is wrong")); 4],
            ..SuiteResult::default()
        };
        assert!(result.faults(96.0).is_empty());
        assert_eq!(result.faults(98.0).len(), 1);
    }

    #[test]
    fn a_suite_without_data_says_so_by_name() {
        let result = SuiteResult::absent("crs-edge", "no data");
        assert_eq!(result.line(), "suite crs-edge skipped: no data");
        assert!(result.faults(100.0).is_empty());
    }
}
