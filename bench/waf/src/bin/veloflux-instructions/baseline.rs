//! The checked-in counts, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file, under the repository.
pub(crate) const FILE: &str = "bench/waf/instructions.json";
/// How much a count may differ from the baseline, in hundredths of it.
const TOLERANCE_PERCENT: u64 = 5;

/// Instructions per transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// The compiler: another one makes other instructions of the same text.
    pub rustc: String,
    /// By row, as in `get-page/pl1`.
    pub counts: BTreeMap<String, u64>,
}

/// A row that is not as the baseline has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Dearer.
    Grew(String, u64, u64),
    /// Cheaper.
    Shrank(String, u64, u64),
    /// Counted, and not in the baseline.
    New(String, u64),
    /// In the baseline, and not counted.
    Gone(String),
}

/// The compiler's name and version, as it says them.
pub(crate) fn rustc() -> String {
    veloflux_bench_common::version("rustc", &["--version"])
}

impl Baseline {
    /// Reads the checked-in one.
    pub(crate) fn read() -> Result<Self, String> {
        let text = std::fs::read_to_string(path()).map_err(|error| format!("{FILE}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Makes this the checked-in one.
    pub(crate) fn write(&self) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        std::fs::write(path(), text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Rows of `counted` that are not as here.
    pub(crate) fn compare(&self, counted: &Self) -> Vec<Change> {
        let rows: BTreeSet<&String> = self.counts.keys().chain(counted.counts.keys()).collect();
        rows.into_iter()
            .filter_map(|row| match (self.counts.get(row), counted.counts.get(row)) {
                (Some(before), Some(now)) => {
                    if now * 100 > before * (100 + TOLERANCE_PERCENT) {
                        Some(Change::Grew(row.clone(), *before, *now))
                    } else if now * 100 < before * (100 - TOLERANCE_PERCENT) {
                        Some(Change::Shrank(row.clone(), *before, *now))
                    } else {
                        None
                    }
                }
                (None, Some(now)) => Some(Change::New(row.clone(), *now)),
                (Some(_), None) => Some(Change::Gone(row.clone())),
                (None, None) => None,
            })
            .collect()
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE)
}

impl Change {
    /// Whether it fails the run: dearer, or nothing to compare with.
    pub(crate) fn is_growth(&self) -> bool {
        matches!(self, Self::Grew(..) | Self::New(..))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |before: &u64, now: &u64| (*now as f64 / *before as f64 - 1.0) * 100.0;
        match self {
            Self::Grew(row, before, now) => {
                write!(f, "{row} grew by {:.1} %: {before} to {now}", percent(before, now))
            }
            Self::Shrank(row, before, now) => write!(
                f,
                "{row} shrank by {:.1} %: {before} to {now}; please keep it with `make instructions-baseline`",
                -percent(before, now)
            ),
            Self::New(row, now) => write!(f, "{row} is not in the baseline: {now}"),
            Self::Gone(row) => write!(f, "{row} is in the baseline and was not counted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(rows: &[(&str, u64)]) -> Baseline {
        let counts = rows.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
        Baseline { rustc: String::new(), counts }
    }

    #[test]
    fn only_more_than_the_tolerance_is_a_change() {
        let known = baseline(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000)]);
        let counted = baseline(&[("a", 1050), ("b", 1051), ("c", 949), ("d", 950)]);
        let changes = known.compare(&counted);
        assert_eq!(changes, [Change::Grew("b".into(), 1000, 1051), Change::Shrank("c".into(), 1000, 949)]);
        assert!(changes[0].is_growth() && !changes[1].is_growth());
    }

    #[test]
    fn a_row_without_a_baseline_is_not_let_through() {
        let changes = baseline(&[("old", 1)]).compare(&baseline(&[("new", 1)]));
        assert_eq!(changes, [Change::New("new".into(), 1), Change::Gone("old".into())]);
        assert!(changes[0].is_growth());
    }
}
