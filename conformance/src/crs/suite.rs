//! Turns observations of a whole run into a [`SuiteResult`]: expectations, then the reason table.

use super::case::Case;
use super::expect::{Difference, Observation, judge};
use crate::reasons::{Reasons, Row, Verdict};
use crate::{Miss, SuiteResult};

/// What was seen of one case: one observation per stage, or why a stage could not be run.
pub type Seen = Vec<Result<Observation, String>>;

/// Whether the table says not to run `case`.
pub fn is_skipped(case: &Case, reasons: &Reasons) -> bool {
    reasons.of(&case.id).is_some_and(|row| row.verdict == Verdict::Skip)
}

/// Adds one case to the result.
pub fn add(result: &mut SuiteResult, case: &Case, seen: &Seen, reasons: &Reasons) {
    let row = reasons.of(&case.id);
    if is_skipped(case, reasons) {
        result.skipped += 1;
        return;
    }
    match (compare(case, seen), row) {
        (Ok(()), None) => result.passed += 1,
        (Ok(()), Some(row)) => {
            result.passed += 1;
            result.stale.push(format!("{}: passes as written ({})", case.id, row.reason));
        }
        (Err(_), Some(row)) if is_refused(seen, row) => result.passed += 1,
        (Err(difference), row) => {
            result.failed += 1;
            // A row that allows a refusal explains nothing else.
            let reason = row.filter(|row| row.verdict == Verdict::Miss).map(|row| row.reason.clone());
            let Difference { expected, got } = difference;
            result.misses.push(Miss { case: case.id.clone(), expected, got, reason });
        }
    }
}

fn compare(case: &Case, seen: &Seen) -> Result<(), Difference> {
    for (stage, seen) in case.stages.iter().zip(seen) {
        match seen {
            Ok(seen) => judge(&stage.output, seen)?,
            Err(why) => return Err(Difference { expected: "a request".into(), got: why.clone() }),
        }
    }
    Ok(())
}

fn is_refused(seen: &Seen, row: &Row) -> bool {
    let Verdict::Refused(status) = row.verdict else { return false };
    seen.iter().flatten().any(|seen| seen.status == Some(status))
}

#[cfg(test)]
mod tests {
    use super::super::case::{Input, LogExpectation, Output, Stage};
    use super::*;

    fn case(id: &str) -> Case {
        let log = LogExpectation { expect_ids: vec![1], ..LogExpectation::default() };
        let output = Output { log, ..Output::default() };
        Case { id: id.into(), stages: vec![Stage { input: Input::default(), output }] }
    }

    fn seen(status: u16) -> Seen {
        vec![Ok(Observation { status: Some(status), log: Vec::new() })]
    }

    fn reasons() -> Reasons {
        let table = "
- {cases: [1-1], suites: [s], verdict: skip, reason: a}
- {cases: [1-2], suites: [s], verdict: {refused: 400}, reason: b}
- {cases: [1-3], suites: [s], verdict: miss, reason: c}
";
        Reasons::parse(table, "s").unwrap()
    }

    #[test]
    fn the_table_decides_what_a_miss_is() {
        let mut result = SuiteResult::default();
        for id in ["1-1", "1-2", "1-3", "1-4"] {
            add(&mut result, &case(id), &seen(400), &reasons());
        }
        assert_eq!((result.passed, result.failed, result.skipped), (1, 2, 1));
        assert_eq!(result.misses[0].reason.as_deref(), Some("c"));
        assert_eq!(result.misses[1].reason, None);
    }

    #[test]
    fn a_refusal_row_allows_that_status_only() {
        let mut result = SuiteResult::default();
        add(&mut result, &case("1-2"), &seen(200), &reasons());
        assert_eq!((result.failed, result.misses[0].reason.clone()), (1, None));
    }

    #[test]
    fn a_row_for_a_case_that_passes_is_stale() {
        let mut result = SuiteResult::default();
        let mut case = case("1-3");
        case.stages[0].output = Output::default();
        add(&mut result, &case, &seen(200), &reasons());
        assert_eq!((result.passed, result.stale.len()), (1, 1));
    }
}
