//! Suite `crs3-engine`: Debian's CRS 3.3 compiles whole, blocks the attacks of the traffic corpus and lets its benign
//! requests pass, at paranoia level 1 with the usual thresholds. Every rule and every request counts as a case.

use std::path::Path;

use veloflux_reference::Sample;
use veloflux_waf::{CompileErrors, Levels, Mode, OverlaySettings, Record, Ruleset, crs};

use super::engine::Firewall;
use super::reflect::Answer;
use super::rules::RuleFolder;
use crate::tally::{Difference, Tally};
use crate::wire::{self, Field};
use crate::{SuiteResult, shared};

/// The suite's name.
pub const NAME: &str = "crs3-engine";
/// Table of its reasons, shared with the other suites of the CRS.
const TABLE: &str = "crs";
/// Where Debian puts the set-up that belongs to its rules.
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
/// The traffic corpus, under the shared data.
const TRAFFIC: &str = "waf-traffic";
/// What the release runs at unless told otherwise.
const LEVELS: Levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };

/// Compiles the release that Debian installed in `release`, and sends the corpus through it.
pub fn run(release: &Path) -> Result<SuiteResult, String> {
    let mut tally = Tally::new(NAME, TABLE)?;
    let setup = std::fs::read(SETUP).map_err(|error| format!("{SETUP}: {error}"))?;
    let folder = RuleFolder::read(release).map_err(|error| format!("{}: {error}", release.display()))?;
    let files = folder.with_setup(setup).in_memory("crs");
    match Ruleset::compile(&crs::sources(&files, "crs")?, &files) {
        Ok(ruleset) => {
            for rule in ruleset.rules() {
                tally.add(&format!("rule-{}", rule.id), None, || Ok(()));
            }
            let settings = OverlaySettings::new(Mode::Block, LEVELS);
            let firewall = Firewall::new(ruleset, &settings)?;
            traffic(&firewall, &mut tally)?;
        }
        Err(errors) => mistakes(&errors, &mut tally),
    }
    Ok(tally.finish())
}

fn mistakes(errors: &CompileErrors, tally: &mut Tally) {
    for error in &errors.0 {
        let case = format!("{}:{}", error.file, error.line);
        tally.add(&case, None, || Err(Difference::new("a rule that compiles", error.message.clone())));
    }
}

fn traffic(firewall: &Firewall, tally: &mut Tally) -> Result<(), String> {
    let folder = shared::data(TRAFFIC)?;
    for (kind, is_refused) in [("benign", false), ("attack", true)] {
        let samples = veloflux_reference::traffic(&folder.join(kind).with_extension("jsonl"))?;
        for (sample, number) in samples.into_iter().zip(1..) {
            let name = sample.name.clone();
            let record = send(firewall, sample);
            tally.add(&format!("{kind}-{number}"), None, || judge(&name, &record, is_refused));
        }
    }
    Ok(())
}

fn send(firewall: &Firewall, sample: Sample) -> Record {
    let headers: Vec<Field<'_>> = sample.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let protocol = format!("HTTP/{}", sample.version);
    let request = wire::Request {
        method: &sample.method,
        target: &sample.target,
        protocol: protocol.as_bytes(),
        headers,
        body: sample.body,
    };
    let answer = Answer { status: 200, headers: Vec::new(), body: Vec::new() };
    firewall.transact(&request, &answer).1
}

fn judge(name: &str, record: &Record, is_refused: bool) -> Result<(), Difference> {
    if record.refused.is_some() == is_refused && record.internal_errors.is_empty() {
        return Ok(());
    }
    let expected = if is_refused { "a refusal" } else { "that it passes" };
    let ids: Vec<_> = record.matches.iter().map(|found| found.rule_id.to_string()).collect();
    let got = format!("score {}, rules {} {:?}", record.inbound_score, ids.join(" "), record.internal_errors);
    Err(Difference::new(format!("{name}: {expected}"), got))
}
