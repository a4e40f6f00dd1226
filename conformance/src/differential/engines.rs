//! Both engines with the same rules, asked about the same requests.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use veloflux_reference::{self as reference, Answer, Engine, EngineError};
use veloflux_waf::base_config;

use super::request::Request;
use super::triage::{FAILED, Found};
use crate::crs::engine::{Firewall, LEVELS};
use crate::crs::reflect::Answer as Response;
use crate::crs::rules::RuleFolder;
use crate::wire;

/// Both engines' settings beyond the release's and its suite's.
const SETTINGS: &str = include_str!("settings.conf");

/// Why there is no reference library to compare with, if there is none.
pub(super) fn missing() -> Option<String> {
    reference::modsecurity_environment().err().map(|error| error.to_string())
}

/// The rules: compiled for us, written down for the reference library.
pub(super) struct Shared {
    firewall: Firewall,
    folder: TempDir,
}

impl Shared {
    pub(super) fn prepare(release: &Path) -> Result<Self, String> {
        let error = |error: std::io::Error| format!("{}: {error}", release.display());
        let rules = RuleFolder::read(release).map_err(error)?.with_suite_settings().with_settings(SETTINGS);
        let firewall = Firewall::compile(&rules)?;
        let folder = tempfile::tempdir().map_err(error)?;
        rules.write(folder.path()).map_err(error)?;
        let levels = reference::paranoia(LEVELS.paranoia);
        let text = reference::configuration(folder.path(), &base_config().text, &levels).map_err(error)?;
        std::fs::write(folder.path().join("main.conf"), text).map_err(error)?;
        Ok(Self { firewall, folder })
    }

    fn reference(&self) -> Result<Engine, String> {
        reference::modsecurity(&[&self.folder.path().join("main.conf")]).map_err(|error| error.to_string())
    }
}

/// One of each engine.
pub(super) struct Pair<'a> {
    shared: &'a Shared,
    reference: Engine,
}

impl<'a> Pair<'a> {
    pub(super) fn start(shared: &'a Shared) -> Result<Self, String> {
        Ok(Self { shared, reference: shared.reference()? })
    }

    /// What the engines find in `request`.
    pub(super) fn judge(&mut self, request: &Request) -> Result<Found, String> {
        Ok(Found::new(&self.ours(request), &self.theirs(request)?))
    }

    /// The same of many requests, in their order.
    pub(super) fn batch(&mut self, requests: &[Request]) -> Result<Vec<Found>, String> {
        let told: Vec<_> = requests.iter().map(Request::told).collect();
        match self.reference.judge(&told) {
            Ok(answers) => {
                let both = requests.iter().zip(answers);
                Ok(both.map(|(request, answer)| Found::new(&self.ours(request), &matched(answer))).collect())
            }
            // One of them ended the process: each alone says which.
            Err(EngineError::Ended | EngineError::Process(_)) => {
                self.reference = self.shared.reference()?;
                requests.iter().map(|request| self.judge(request)).collect()
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn ours(&self, request: &Request) -> BTreeSet<u64> {
        let protocol = request.protocol();
        let seen = wire::Request {
            method: &request.method,
            target: &request.target,
            protocol: protocol.as_bytes(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.as_slice(), value.as_slice()))
                .collect(),
            body: request.body.clone(),
        };
        let response = Response { status: 200, headers: Vec::new(), body: Vec::new() };
        let (_, record) = self.shared.firewall.transact(&seen, &response);
        let logged = record.matches.iter().filter(|found| found.logged).map(|found| u64::from(found.rule_id));
        logged.chain((!record.internal_errors.is_empty()).then_some(FAILED)).collect()
    }

    fn theirs(&mut self, request: &Request) -> Result<BTreeSet<u64>, String> {
        match self.reference.judge(&[request.told()]) {
            Ok(answers) => Ok(answers.into_iter().flat_map(matched).collect()),
            Err(EngineError::Ended | EngineError::Process(_)) => {
                self.reference = self.shared.reference()?;
                Ok(BTreeSet::from([FAILED]))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn matched(answer: Answer) -> BTreeSet<u64> {
    match answer {
        Answer::Judged(judged) => judged.matched.into_iter().collect(),
        Answer::Failed { .. } => BTreeSet::from([FAILED]),
    }
}
