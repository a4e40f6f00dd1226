//! Who is measured, and with which configuration.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;
use veloflux_bench_waf::corpus::Sample;
use veloflux_bench_waf::{Level, Ours};
use veloflux_reference::{Answer, Engine, EngineError, configuration, modsecurity, paranoia, zentinel};
use veloflux_waf::base_config;

use crate::rounds::Values;

/// Names in the figures.
pub(crate) const OURS: [(Level, &str); 2] = [(Level::One, "veloflux"), (Level::Four, "veloflux-pl4")];
pub(crate) const LIBMODSECURITY: &str = "libmodsecurity";
pub(crate) const ZENTINEL: &str = "zentinel-modsec";
/// The reference library with the base alone.
pub(crate) const WITHOUT_RULES: &str = "libmodsecurity-without-rules";

/// A word of the base configuration that zentinel-modsec does not know; the rule with it is left out for it.
const UNKNOWN_TO_ZENTINEL: &str = "MULTIPART_UNMATCHED_BOUNDARY";

/// One that is measured.
pub(crate) struct Measured {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Ours(Rc<Ours>, Level),
    Theirs(Engine),
}

impl Measured {
    /// Its name in the figures.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its name and version in its own words.
    pub(crate) fn version(&self) -> String {
        match &self.kind {
            Kind::Ours(_, level) => format!("VeloFlux {} at {}", env!("CARGO_PKG_VERSION"), level.name()),
            Kind::Theirs(engine) => engine.name().to_owned(),
        }
    }

    /// Whether it must refuse this one.
    pub(crate) fn must_refuse(&self, sample: &Sample) -> bool {
        sample.is_attack() && self.name != WITHOUT_RULES
    }

    /// Whether it is in the figures of `values`: who remembers nothing has nothing to forget.
    pub(crate) fn takes_part(&self, values: Values) -> bool {
        matches!(self.kind, Kind::Ours(..)) || values != Values::Cold
    }

    /// How often a round walks through the corpus: a walk of ours is over before a timer's grain is forgotten.
    pub(crate) fn walks(&self) -> u64 {
        match self.kind {
            Kind::Ours(..) => 5,
            Kind::Theirs(_) => 1,
        }
    }

    /// Has `samples` judged in a row.
    pub(crate) fn judge(&mut self, samples: &[Sample], values: Values) -> Result<Vec<Answer>, String> {
        match &mut self.kind {
            Kind::Ours(ours, level) => Ok(ours.judge(samples, *level, values == Values::Cold)),
            Kind::Theirs(engine) => {
                let requests: Vec<_> = samples.iter().map(|sample| sample.request.clone()).collect();
                engine.judge(&requests).map_err(|error| format!("{}: {error}", self.name))
            }
        }
    }
}

/// Loads the rules of the folder `release` into every engine, or into ours alone.
pub(crate) fn start(release: &Path, ours_only: bool) -> Result<Vec<Measured>, String> {
    let ours = Rc::new(Ours::compile(release)?);
    let mut engines: Vec<_> =
        OURS.map(|(level, name)| Measured { name, kind: Kind::Ours(Rc::clone(&ours), level) }).into();
    if ours_only {
        return Ok(engines);
    }
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let write = |name: &str, text: &str| -> Result<PathBuf, String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    };
    let with_rules = |base: &str| {
        configuration(release, base, &paranoia(1)).map_err(|error| format!("{}: {error}", release.display()))
    };
    let base = base_config().text;
    let mut add = |name: &'static str, engine: Result<Engine, EngineError>| -> Result<(), String> {
        let engine = engine.map_err(|error| format!("{name}: {error}"))?;
        engines.push(Measured { name, kind: Kind::Theirs(engine) });
        Ok(())
    };
    add(LIBMODSECURITY, modsecurity(&[&write("whole.conf", &with_rules(&base)?)?]))?;
    let theirs = with_rules(&without(&base, UNKNOWN_TO_ZENTINEL))?;
    add(ZENTINEL, zentinel(&write("zentinel.conf", &theirs)?))?;
    add(WITHOUT_RULES, modsecurity(&[&write("base.conf", &base)?]))?;
    Ok(engines)
}

/// `text` without the directive that begins with `SecRule` and this variable.
fn without(text: &str, variable: &str) -> String {
    let begin = format!("SecRule {variable} ");
    let mut kept = String::new();
    let mut dropping = false;
    for line in text.lines() {
        dropping |= line.starts_with(&begin);
        if dropping {
            // The last line of a directive is the one that does not say that it goes on.
            dropping = line.ends_with('\\');
        } else {
            // Writing to a string cannot fail.
            let _ = writeln!(kept, "{line}");
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_left_out_whole() {
        let text =
            "SecRule A \"@eq 1\" \\\n  \"id:1\"\nSecRule B \"@eq 1\" \\\n  \"id:2,\\\n  log\"\nSecRule C x\n";
        assert_eq!(without(text, "B"), "SecRule A \"@eq 1\" \\\n  \"id:1\"\nSecRule C x\n");
        assert_ne!(without(&base_config().text, UNKNOWN_TO_ZENTINEL), base_config().text);
    }
}
