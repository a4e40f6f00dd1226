//! Counts the cases of a suite against its table of reasons.

use crate::reasons::{Reasons, Row, Verdict};
use crate::{Miss, SuiteResult};

/// An expectation that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What the case wants.
    pub expected: String,
    /// What there was.
    pub got: String,
}

impl Difference {
    /// `got` in place of `expected`.
    pub fn new(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { expected: expected.into(), got: got.into() }
    }
}

/// A suite while it is counted.
#[derive(Debug)]
pub struct Tally {
    result: SuiteResult,
    reasons: Reasons,
    cases: Vec<String>,
}

impl Tally {
    /// Begins `suite`, whose reasons stand in `conformance/reasons/<table>.yaml`.
    pub fn new(suite: &str, table: &str) -> Result<Self, String> {
        let reasons = Reasons::load(table, suite).map_err(|error| error.to_string())?;
        Ok(Self::with(suite, reasons))
    }

    fn with(suite: &str, reasons: Reasons) -> Self {
        let result = SuiteResult { name: suite.to_owned(), ..SuiteResult::default() };
        Self { result, reasons, cases: Vec::new() }
    }

    /// Whether the table says not to run `case`.
    pub fn skips(&self, case: &str) -> bool {
        self.reasons.of(case).is_some_and(|row| row.verdict == Verdict::Skip)
    }

    /// Counts one case. `status` is what a server under test answered; `judge` is not asked about a case that the
    /// table skips.
    pub fn add(&mut self, case: &str, status: Option<u16>, judge: impl FnOnce() -> Result<(), Difference>) {
        self.cases.push(case.to_owned());
        let row = self.reasons.of(case);
        let verdict = row.map(|row| row.verdict);
        if verdict == Some(Verdict::Skip) {
            self.result.skipped += 1;
            return;
        }
        match judge() {
            Ok(()) => {
                self.result.passed += 1;
                self.result
                    .stale
                    .extend(row.map(|row| format!("{case}: passes as written ({})", row.reason)));
            }
            Err(_) if status.is_some_and(|status| verdict == Some(Verdict::Refused(status))) => {
                self.result.passed += 1;
            }
            Err(Difference { expected, got }) => {
                self.result.failed += 1;
                let reason = row.and_then(explanation);
                self.result.misses.push(Miss { case: case.to_owned(), expected, got, reason });
            }
        }
    }

    /// Passed, failed and skipped cases so far.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.result.passed, self.result.failed, self.result.skipped)
    }

    /// Adds a line for people about a part of the suite.
    pub fn note(&mut self, line: String) {
        self.result.per_file.push(line);
    }

    /// Ends the suite: rows that name none of its cases are stale.
    pub fn finish(mut self) -> SuiteResult {
        self.result.stale.extend(self.reasons.strangers(self.cases.iter().map(String::as_str)));
        self.result
    }
}

/// A row that allows a refusal explains nothing else.
fn explanation(row: &Row) -> Option<String> {
    (row.verdict == Verdict::Miss).then(|| row.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let table = "
- {cases: [1-1], suites: [s], verdict: skip, reason: a}
- {cases: [1-2], suites: [s], verdict: {refused: 400}, reason: b}
- {cases: [1-3, 1-9], suites: [s], verdict: miss, reason: c}
";
        Tally::with("s", Reasons::parse(table, "s").unwrap())
    }

    fn differs() -> Result<(), Difference> {
        Err(Difference::new("x", "y"))
    }

    #[test]
    fn the_table_decides_what_a_miss_is() {
        let mut tally = tally();
        for case in ["1-1", "1-2", "1-3", "1-4"] {
            tally.add(case, Some(400), differs);
        }
        assert_eq!(tally.counts(), (1, 2, 1));
        assert!(tally.skips("1-1") && !tally.skips("1-2"));
        let result = tally.finish();
        assert_eq!(result.misses[0].reason.as_deref(), Some("c"));
        assert_eq!(result.misses[1].reason, None);
        assert_eq!(result.stale, ["1-9: no such case"]);
    }

    #[test]
    fn a_refusal_row_allows_that_status_only() {
        for status in [Some(200), None] {
            let mut tally = tally();
            tally.add("1-2", status, differs);
            assert_eq!(tally.finish().misses[0].reason, None);
        }
    }

    #[test]
    fn a_row_for_a_case_that_passes_is_stale() {
        let mut tally = tally();
        tally.add("1-3", None, || Ok(()));
        assert_eq!(tally.counts(), (1, 0, 0));
        assert_eq!(
            tally.finish().stale.len(),
            4,
            "1-3 passes, and the other three rows name no case that ran"
        );
    }
}
