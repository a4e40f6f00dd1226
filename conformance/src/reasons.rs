//! Checked-in tables of the cases that do not pass as written, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What the table says of one case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The cases, as their suite names them.
    cases: Vec<String>,
    /// The suites that the row speaks of.
    suites: Vec<String>,
    /// How the case is treated.
    pub verdict: Verdict,
    /// Why; for people.
    pub reason: String,
}

/// How a case with a reason is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not run.
    Skip,
    /// Known to fail: still run and counted as failed, but not a surprise.
    Miss,
    /// Passes if the edge itself refuses the request with this status.
    Refused(u16),
}

/// A table that cannot be used.
#[derive(Debug)]
pub struct TableError {
    file: PathBuf,
    message: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

impl std::error::Error for TableError {}

/// The rows that speak of one suite.
#[derive(Debug, Default)]
pub struct Reasons {
    rows: BTreeMap<String, Row>,
}

impl Reasons {
    /// Reads `conformance/reasons/<table>.yaml`, keeping the rows of `suite`.
    pub fn load(table: &str, suite: &str) -> Result<Self, TableError> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("reasons").join(format!("{table}.yaml"));
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        let table = text.and_then(|text| Self::parse(&text, suite));
        table.map_err(|message| TableError { file, message })
    }

    pub(crate) fn parse(text: &str, suite: &str) -> Result<Self, String> {
        let all: Vec<Row> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut rows = BTreeMap::new();
        for row in all.into_iter().filter(|row| row.suites.iter().any(|name| name == suite)) {
            if row.reason.trim().is_empty() {
                return Err(format!("{:?}: a row needs a reason", row.cases));
            }
            for case in &row.cases {
                if rows.insert(case.clone(), row.clone()).is_some() {
                    return Err(format!("{case}: two rows for {suite}"));
                }
            }
        }
        Ok(Self { rows })
    }

    /// What the table says of `case`.
    pub fn of(&self, case: &str) -> Option<&Row> {
        self.rows.get(case)
    }

    /// Rows that name none of `cases`.
    pub fn strangers<'a>(&self, cases: impl Iterator<Item = &'a str>) -> Vec<String> {
        let known: BTreeSet<&str> = cases.collect();
        let strangers = self.rows.keys().filter(|case| !known.contains(case.as_str()));
        strangers.map(|case| format!("{case}: no such case")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "
- {cases: [1-1], suites: [a, b], verdict: skip, reason: not ours}
- {cases: [1-2], suites: [a], verdict: {refused: 400}, reason: refused}
- {cases: [1-2], suites: [b], verdict: miss, reason: later}
";

    #[test]
    fn rows_are_kept_per_suite() {
        let reasons = Reasons::parse(TABLE, "a").unwrap();
        assert_eq!(reasons.of("1-1").unwrap().verdict, Verdict::Skip);
        assert_eq!(reasons.of("1-2").unwrap().verdict, Verdict::Refused(400));
        assert!(reasons.of("1-3").is_none());
        assert_eq!(reasons.strangers(["1-1"].into_iter()), ["1-2: no such case"]);
    }

    #[test]
    fn a_row_without_a_reason_and_a_doubled_row_are_refused() {
        assert!(Reasons::parse("- {cases: [1-1], suites: [a], verdict: skip, reason: ' '}", "a").is_err());
        let twice = "- {cases: [1-1], suites: [a], verdict: skip, reason: x}\n".repeat(2);
        assert!(Reasons::parse(&twice, "a").unwrap_err().contains("two rows"));
    }

    #[test]
    fn the_checked_in_tables_can_be_read() {
        for (table, suite) in [
            ("crs", "crs-engine"),
            ("crs", "crs-edge"),
            ("http11probe", "http11probe"),
            ("libinjection", "libinjection"),
            ("modsecurity-regression", "modsecurity-regression"),
        ] {
            if let Err(error) = Reasons::load(table, suite) {
                panic!("{error}");
            }
        }
    }
}
