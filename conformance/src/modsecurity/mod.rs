//! `modsecurity-regression`: whole scenarios of ModSecurity's own regression suite, driven through the engine's public
//! API.
//!
//! A case is named by its file and its place in it, from 1: `action-allow-2`. A scenario expects a status, and
//! patterns in logs that this engine does not write. They are judged over a narration: what the record and its steps
//! say, told in the reference's words ([`narrate`]). The narration is made of what the engine did and of nothing else;
//! where it has no fact behind a sentence, the sentence is missing and the scenario fails. Four liberties are taken:
//! operators and their arguments are quoted from the rule's text; a rule that was removed at run time is told in both
//! of the reference's sentences (by id, by tag); a chain that ends the rules and is not finished, a mistake here that the
//! reference reads as a rule that never matches, is finished with a link that never matches; and of an expected parser error only that there is one, in the line
//! that the pattern names, is judged, since the words are our own.

mod drive;
mod judge;
mod narrate;
mod rule_text;
mod scenario;

use std::path::Path;

use crate::SuiteResult;
use crate::differential::Request;
use crate::tally::Tally;

/// The suite's name, and its table's.
pub const NAME: &str = "modsecurity-regression";

/// Runs the suite over the folder of modsecurity-regression.
pub fn run(data: &Path) -> Result<SuiteResult, String> {
    let mut tally = Tally::new(NAME, NAME)?;
    for (file, scenarios) in scenario::files(&data.join("regression"))? {
        for (place, scenario) in scenarios.iter().enumerate() {
            let case = format!("{file}-{}", place + 1);
            tally.add(&case, None, || {
                let seen = drive::run(scenario, &format!("{file}.json"), data);
                judge::judge(scenario, &seen)
            });
        }
    }
    let (passed, failed, _) = tally.counts();
    tally.note(format!("{passed} of {} scenarios hold", passed + failed));
    Ok(tally.finish())
}

/// The requests of all scenarios, one each.
pub fn requests(data: &Path) -> Result<Vec<Request>, String> {
    let mut requests = Vec::new();
    for (_, scenarios) in scenario::files(&data.join("regression"))? {
        requests.extend(scenarios.iter().map(|scenario| {
            let message = &scenario.request;
            let field =
                |(name, value): &(String, String)| (name.clone().into_bytes(), value.clone().into_bytes());
            Request {
                method: message.method.clone().unwrap_or_else(|| "GET".to_owned()).into_bytes(),
                target: message.uri.clone().unwrap_or_else(|| "/".to_owned()).into_bytes(),
                version: "1.1".to_owned(),
                headers: message.headers.0.iter().map(field).collect(),
                body: message.body(),
            }
        }));
    }
    Ok(requests)
}
