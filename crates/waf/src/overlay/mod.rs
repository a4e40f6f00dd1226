//! A tenant's differences from the shared rule set.
//!
//! An overlay refers to the rule set and holds small tables over it: making one never compiles the rule set again. What
//! a tenant writes is held to what the operator leaves to it ([`Tunable`]); a tenant's own rules are held to the allow
//! list in `compile::tenant`, whose header has the threat model.

mod condition;
mod selector;

use std::sync::Arc;

use crate::bits::RuleBits;
use crate::compile::{compile_own, exception_target};
use crate::engine::{Course, WorkBudget};
use crate::error::{OverlayError, OverlayErrors, Part};
use crate::limits;
use crate::program::{Exception, Select};
use crate::ruleset::{Ruleset, Source};

pub use condition::{Condition, PathCondition};
pub(crate) use selector::Scope;
pub use selector::{RuleSelector, Tunable, Tuning};

/// What a tenant (or a route) wants of a rule set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlaySettings {
    /// Whether a match blocks.
    pub mode: Mode,
    /// Which rules run, and from which score on a request is blocked.
    pub levels: Levels,
    /// Rules and targets that do not apply.
    pub exclusions: Vec<Exclusion>,
    /// Rules that act otherwise than `mode` says; where several name one rule, the last counts.
    pub rule_modes: Vec<(RuleSelector, RuleMode)>,
    /// Rules of the tenant's own, in SecLang.
    pub rules: Vec<Source>,
}

/// Rules, or a target of them, that do not apply to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The rules.
    pub rules: RuleSelector,
    /// What they do not look at (`ARGS:password`, `REQUEST_COOKIES:/^_ga/`), as in `SecRuleUpdateTargetById` without the
    /// `!`; `None`: they do not run.
    pub target: Option<String>,
    /// For which requests.
    pub when: Condition,
}

/// What one rule's match does, where that is not what the overlay's mode says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMode {
    /// Refuses the request, whatever the score, and although the overlay only detects.
    Block,
    /// Is recorded, and leaves no other trace: no score, no variable, no refusal.
    Detect,
    /// Does not happen: the rule does not run.
    Off,
}

/// Whether a match blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Refuse what the rules refuse.
    Block,
    /// Record what would have been refused.
    Detect,
}

/// A tenant's level and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Paranoia level, 1-4 (CRS `blocking_paranoia_level`; detection runs at the same level).
    pub paranoia: u8,
    /// CRS `inbound_anomaly_score_threshold`.
    pub inbound_threshold: u32,
    /// CRS `outbound_anomaly_score_threshold`.
    pub outbound_threshold: u32,
}

/// One tenant's (or route's) differences from the rule set, compiled against it: a few kilobytes.
///
/// Made by [`Ruleset::overlay`] or [`Ruleset::tenant_overlay`]; it belongs to that rule set and no other.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The rule set that it belongs to.
    ruleset: u64,
    mode: Mode,
    levels: Levels,
    work_budget: WorkBudget,
    /// Rules that do not run.
    pub(crate) removed: RuleBits,
    /// Targets that rules do not look at.
    pub(crate) exceptions: Vec<Exception>,
    /// What applies to some requests only.
    pub(crate) conditional: Vec<Conditional>,
    /// Rules that do not act as `mode` says.
    pub(crate) moded: Option<Box<Moded>>,
    /// TX variables that are set before phase 1 and that no rule can change.
    pub(crate) seeds: Box<[(u32, i64)]>,
    /// What is decided before there is a request; shared with overlays for which it is the same.
    pub(crate) course: Option<Arc<Course>>,
    /// The tenant's own rules: a rule set of its own, with an overlay that changes nothing of it.
    pub(crate) own: Option<Arc<(Ruleset, Overlay)>>,
}

/// Exclusions for the requests that satisfy one condition.
#[derive(Debug, Clone)]
pub(crate) struct Conditional {
    pub(crate) when: Condition,
    pub(crate) removed: Option<RuleBits>,
    pub(crate) exceptions: Vec<Exception>,
}

/// Rules with a mode of their own.
#[derive(Debug, Clone)]
pub(crate) struct Moded {
    pub(crate) block: RuleBits,
    pub(crate) detect: RuleBits,
}

impl OverlaySettings {
    /// Mode and levels, and nothing besides.
    pub fn new(mode: Mode, levels: Levels) -> Self {
        Self { mode, levels, exclusions: Vec::new(), rule_modes: Vec::new(), rules: Vec::new() }
    }
}

impl Overlay {
    /// Compiles `settings` within `scope`; tells of every mistake.
    pub(crate) fn new(scope: Scope<'_>, settings: &OverlaySettings) -> Result<Self, OverlayErrors> {
        let ruleset = scope.ruleset;
        let mut overlay = Self::plain(ruleset, settings.mode, settings.levels);
        let mut errors = OverlayErrors::default();
        errors.note(Part::Settings, check(scope, settings));
        if errors.is_empty() {
            for (index, exclusion) in settings.exclusions.iter().enumerate() {
                errors.note(Part::Exclusion(index), overlay.exclude(scope, exclusion));
                if overlay.patterns() > limits::EXCLUSION_PATTERNS {
                    errors.note(Part::Exclusion(index), Err(OverlayError::TooManyPatterns));
                    break;
                }
            }
            overlay.exceptions.shrink_to_fit();
            for (index, (rules, mode)) in settings.rule_modes.iter().enumerate() {
                errors.note(Part::RuleMode(index), overlay.set_mode(scope, rules, *mode));
            }
            if !settings.rules.is_empty() {
                let own = compile_own(&settings.rules, scope).map_err(OverlayError::Rules);
                let own = own.map(|own| {
                    let plain = Self::plain(&own, settings.mode, settings.levels);
                    overlay.own = Some(Arc::new((own, plain)));
                });
                errors.note(Part::Rules, own);
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        overlay.course = ruleset.course(&overlay);
        Ok(overlay)
    }

    fn plain(ruleset: &Ruleset, mode: Mode, levels: Levels) -> Self {
        Self {
            ruleset: ruleset.identity,
            mode,
            levels,
            work_budget: WorkBudget::default(),
            removed: RuleBits::empty(ruleset.program.rules.len()),
            exceptions: Vec::new(),
            conditional: Vec::new(),
            moded: None,
            seeds: seeds(ruleset, levels),
            course: None,
            own: None,
        }
    }

    fn exclude(&mut self, scope: Scope<'_>, exclusion: &Exclusion) -> Result<(), OverlayError> {
        let rules = scope.select(&exclusion.rules)?;
        let exception = match &exclusion.target {
            Some(target) => Some(exception(rules.clone(), target)?),
            None => None,
        };
        if exclusion.when.is_empty() {
            match exception {
                Some(exception) => self.exceptions.push(exception),
                None => self.removed.extend(&rules),
            }
            return Ok(());
        }
        let known = self.conditional.iter().position(|other| other.when == exclusion.when);
        let index = known.unwrap_or_else(|| {
            let when = exclusion.when.clone();
            self.conditional.push(Conditional { when, removed: None, exceptions: Vec::new() });
            self.conditional.len() - 1
        });
        let conditional = &mut self.conditional[index];
        match (exception, &mut conditional.removed) {
            (Some(exception), _) => conditional.exceptions.push(exception),
            (None, Some(removed)) => removed.extend(&rules),
            (None, removed @ None) => *removed = Some(rules),
        }
        Ok(())
    }

    fn set_mode(
        &mut self,
        scope: Scope<'_>,
        selector: &RuleSelector,
        mode: RuleMode,
    ) -> Result<(), OverlayError> {
        let rules = match mode {
            // Stricter than what is there: no rule is pinned against it.
            RuleMode::Block => Scope { tunable: None, ..scope }.select(selector)?,
            RuleMode::Detect | RuleMode::Off => scope.select(selector)?,
        };
        let empty = || RuleBits::empty(scope.ruleset.program.rules.len());
        let moded = self.moded.get_or_insert_with(|| Box::new(Moded { block: empty(), detect: empty() }));
        moded.block.subtract(&rules);
        moded.detect.subtract(&rules);
        match mode {
            RuleMode::Block => moded.block.extend(&rules),
            RuleMode::Detect => moded.detect.extend(&rules),
            RuleMode::Off => self.removed.extend(&rules),
        }
        Ok(())
    }

    /// How many targets are patterns, of which each holds an automaton.
    fn patterns(&self) -> usize {
        let conditional = self.conditional.iter().flat_map(|conditional| &conditional.exceptions);
        let all = self.exceptions.iter().chain(conditional);
        all.filter(|exception| matches!(exception.select, Select::Pattern(_))).count()
    }

    /// The same with another budget for what judging a transaction may cost.
    #[must_use]
    pub fn with_work_budget(mut self, budget: WorkBudget) -> Self {
        self.work_budget = budget;
        self
    }

    pub(crate) fn belongs_to(&self, ruleset: &Ruleset) -> bool {
        self.ruleset == ruleset.identity
    }

    /// The mode of rule `index`, where it has one of its own.
    pub(crate) fn mode_of(&self, index: usize) -> Option<RuleMode> {
        let Moded { block, detect } = self.moded.as_deref()?;
        if block.contains(index) {
            Some(RuleMode::Block)
        } else {
            detect.contains(index).then_some(RuleMode::Detect)
        }
    }

    /// Whether a match blocks.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What judging a transaction may cost.
    pub fn work_budget(&self) -> WorkBudget {
        self.work_budget
    }

    /// Level and thresholds.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// How many rules of the tenant's own there are; a chain is one.
    pub fn own_rule_count(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.0.rule_count())
    }
}

/// What is wrong with the settings as a whole.
fn check(scope: Scope<'_>, settings: &OverlaySettings) -> Result<(), OverlayError> {
    let Levels { paranoia, inbound_threshold, outbound_threshold } = settings.levels;
    if scope.tunable.is_some_and(|tunable| !tunable.belongs_to(scope.ruleset)) {
        return Err(OverlayError::OtherRuleset);
    }
    if !(1..=4).contains(&paranoia) {
        return Err(OverlayError::Paranoia(paranoia));
    }
    if inbound_threshold == 0 || outbound_threshold == 0 {
        return Err(OverlayError::ZeroThreshold);
    }
    let count = settings.exclusions.len() + settings.rule_modes.len();
    if count > limits::EXCLUSIONS {
        return Err(OverlayError::TooManyExclusions(count));
    }
    Ok(())
}

/// The variables in which CRS 4 and CRS 3 keep what a tenant chooses. Names that the rules never use have no slot.
fn seeds(ruleset: &Ruleset, levels: Levels) -> Box<[(u32, i64)]> {
    let paranoia = i64::from(levels.paranoia);
    let named: [(&[u8], i64); 6] = [
        (b"blocking_paranoia_level", paranoia),
        (b"detection_paranoia_level", paranoia),
        (b"paranoia_level", paranoia),
        (b"executing_paranoia_level", paranoia),
        (b"inbound_anomaly_score_threshold", i64::from(levels.inbound_threshold)),
        (b"outbound_anomaly_score_threshold", i64::from(levels.outbound_threshold)),
    ];
    named.iter().filter_map(|(name, value)| Some((ruleset.program.names.find(name)?, *value))).collect()
}

/// A target that `rules` do not look at.
pub(crate) fn exception(rules: RuleBits, target: &str) -> Result<Exception, OverlayError> {
    let (variable, select) =
        exception_target(target).map_err(|why| OverlayError::Target(target.to_owned(), why))?;
    Ok(Exception { rules, variable, select })
}
