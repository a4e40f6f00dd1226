//! The compiled rule set: immutable, shared by every tenant and every core.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compile::Settings;
use crate::costs::{RuleCost, RuleCosts};
use crate::engine::{Course, Courses};
use crate::error::{CompileErrors, OverlayErrors};
use crate::files::Files;
use crate::overlay::{Overlay, OverlaySettings, Scope, Tunable, Tuning};
use crate::program::{Names, Program};
use crate::record::WorkDone;

/// One text of rules, read in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name: a path if it names other files, and what errors and records show.
    pub name: String,
    /// SecLang.
    pub text: String,
}

/// A compiled rule set.
pub struct Ruleset {
    /// Tells rule sets of this process apart, and so an overlay that belongs to another.
    pub(crate) identity: u64,
    pub(crate) program: Program,
    pub(crate) settings: Settings,
    pub(crate) scores: Scores,
    costs: RuleCosts,
    courses: Courses,
    signatures: Vec<String>,
    notes: Vec<Note>,
}

/// Slots of the variables in which rule sets add up scores; the first that is set holds the score.
#[derive(Debug)]
pub(crate) struct Scores {
    pub(crate) inbound: Vec<u32>,
    pub(crate) outbound: Vec<u32>,
}

impl Scores {
    /// Names in CRS 4 and in CRS 3.
    fn find(names: &Names) -> Self {
        let slots = |known: [&str; 2]| known.iter().filter_map(|name| names.find(name.as_bytes())).collect();
        Self {
            inbound: slots(["blocking_inbound_anomaly_score", "anomaly_score"]),
            outbound: slots(["blocking_outbound_anomaly_score", "outbound_anomaly_score"]),
        }
    }
}

/// What a listing shows of a rule.
#[derive(Debug, Clone)]
pub struct RuleInfo {
    /// Its id.
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

/// Something in the rules that is read and has no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file in which it stands.
    pub file: Arc<str>,
    /// The line of its directive, from 1.
    pub line: u32,
    /// What it is: a directive, an action, an operator.
    pub what: String,
    /// Why it has none.
    pub why: &'static str,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} has no effect: {}", self.file, self.line, self.what, self.why)
    }
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

/// A number that nothing else in this process has.
pub(crate) fn new_identity() -> u64 {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    GIVEN.fetch_add(1, Ordering::Relaxed)
}

impl Ruleset {
    /// Compiles `sources`, in order; `files` reads what they include. Tells of every mistake, not only the first.
    pub fn compile(sources: &[Source], files: &dyn Files) -> Result<Self, CompileErrors> {
        crate::compile::compile(sources, files)
    }

    pub(crate) fn new(
        program: Program,
        settings: Settings,
        signatures: Vec<String>,
        notes: Vec<Note>,
    ) -> Self {
        let identity = new_identity();
        let scores = Scores::find(&program.names);
        let costs = RuleCosts::new(program.rules.len());
        let courses = Courses::default();
        Self { identity, program, settings, scores, costs, courses, signatures, notes }
    }

    /// The same rules, of which each asks about every value that it looks at, even where the value cannot match. The
    /// verdicts are the same and cost more: for comparison, and so without a work budget.
    #[must_use]
    pub fn unfiltered(mut self) -> Self {
        self.program.filter = None;
        self
    }

    /// How many rules there are; a chain is one.
    pub fn rule_count(&self) -> usize {
        self.program.rules.len()
    }

    /// What the rules call themselves (`SecComponentSignature`), in order.
    pub fn component_signatures(&self) -> &[String] {
        &self.signatures
    }

    /// All rules in the order of their text.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.program.rules.iter().map(|rule| &rule.info)
    }

    /// Adds what a transaction cost to [`costs`](Self::costs). `thread` is a number of the calling thread's own, below
    /// 256: two threads that use one at the same time lose counts.
    pub fn count_work(&self, thread: usize, work: &WorkDone) {
        self.costs.add(thread, work);
    }

    /// What each rule has cost in the transactions that were counted, in the order of [`rules`](Self::rules).
    pub fn costs(&self) -> impl Iterator<Item = (&RuleInfo, RuleCost)> {
        self.rules().zip(self.costs.sums())
    }

    /// What in the rules has no effect here, and why; up to [`limits::NOTES`](crate::limits::NOTES).
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Compiles an operator's settings against these rules: all rules may be tuned. The rule set is not compiled again.
    pub fn overlay(&self, settings: &OverlaySettings) -> Result<Overlay, OverlayErrors> {
        Overlay::new(Scope { ruleset: self, tunable: None }, settings)
    }

    /// Compiles a tenant's settings against these rules, of which it may tune those in `tunable` only.
    pub fn tenant_overlay(
        &self,
        settings: &OverlaySettings,
        tunable: &Tunable,
    ) -> Result<Overlay, OverlayErrors> {
        Overlay::new(Scope { ruleset: self, tunable: Some(tunable) }, settings)
    }

    /// The course of transactions under `overlay`. Most overlays have one of a few.
    pub(crate) fn course(&self, overlay: &Overlay) -> Option<Arc<Course>> {
        Course::new(self, overlay).map(|course| self.courses.share(course))
    }

    /// The rules that tenants may tune according to `tuning`.
    pub fn tunable(&self, tuning: &Tuning) -> Tunable {
        Tunable::new(self, tuning)
    }
}

impl fmt::Debug for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ruleset").field("rules", &self.program.rules.len()).finish_non_exhaustive()
    }
}
