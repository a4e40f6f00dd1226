//! What the two CRS suites have in common: which cases there are, and how what was seen of one is counted.

use std::path::Path;

use super::case::{self, Case};
use super::expect::{Observation, judge};
use crate::tally::{Difference, Tally};

/// The table of reasons of both suites.
const TABLE: &str = "crs";
/// Where a release keeps its cases.
const CASES: &str = "tests/regression/tests";

/// What was seen of one case: one observation per stage, or why a stage could not be run.
pub type Seen = Vec<Result<Observation, String>>;

/// The cases of the CRS release unpacked in `release`, and the tally of `suite`.
pub fn begin(suite: &str, release: &Path) -> Result<(Vec<Case>, Tally), String> {
    let cases = case::load(&release.join(CASES)).map_err(|error| error.to_string())?;
    Ok((cases, Tally::new(suite, TABLE)?))
}

/// Counts one case.
pub fn add(tally: &mut Tally, case: &Case, seen: &Seen) {
    let status = seen.iter().flatten().find_map(|seen| seen.status);
    tally.add(&case.id, status, || compare(case, seen));
}

fn compare(case: &Case, seen: &Seen) -> Result<(), Difference> {
    for (stage, seen) in case.stages.iter().zip(seen) {
        match seen {
            Ok(seen) => judge(&stage.output, seen)?,
            Err(why) => return Err(Difference::new("a request", why)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::case::{Input, Output, Stage};
    use super::*;

    #[test]
    fn every_stage_must_hold() {
        let stage = |status| Stage {
            input: Input::default(),
            output: Output { status: Some(status), ..Output::default() },
        };
        let case = Case { id: "1-1".into(), stages: vec![stage(200), stage(404)] };
        let seen = |status| Ok(Observation { status: Some(status), log: Vec::new() });
        assert!(compare(&case, &vec![seen(200), seen(404)]).is_ok());
        assert_eq!(compare(&case, &vec![seen(200), seen(200)]).unwrap_err().expected, "status 404");
        assert_eq!(compare(&case, &vec![seen(200), Err("broken".into())]).unwrap_err().got, "broken");
    }
}
