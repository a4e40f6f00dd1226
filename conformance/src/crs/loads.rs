//! Suite `crs3-loads`: Debian's CRS 3.3 compiles whole. Every rule counts as a case.

use std::path::Path;

use veloflux_waf::{CompileError, Ruleset, crs};

use super::rules::RuleFolder;
use crate::{Miss, SuiteResult};

/// The suite's name.
pub const NAME: &str = "crs3-loads";
/// Where Debian puts the set-up that belongs to its rules.
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";

/// Compiles the release that Debian installed in `release`.
pub fn run(release: &Path) -> Result<SuiteResult, String> {
    let setup = std::fs::read(SETUP).map_err(|error| format!("{SETUP}: {error}"))?;
    let folder = RuleFolder::read(release).map_err(|error| format!("{}: {error}", release.display()))?;
    let files = folder.with_setup(setup).in_memory("crs");
    let sources = crs::sources(&files, "crs")?;
    let mut result = SuiteResult { name: NAME.into(), ..SuiteResult::default() };
    match Ruleset::compile(&sources, &files) {
        Ok(ruleset) => result.passed = ruleset.rule_count(),
        Err(errors) => {
            result.misses = errors.0.iter().map(miss).collect();
            result.failed = result.misses.len();
        }
    }
    Ok(result)
}

fn miss(error: &CompileError) -> Miss {
    let case = format!("{}:{}", error.file, error.line);
    Miss { case, expected: "a rule that compiles".into(), got: error.message.clone(), reason: None }
}
