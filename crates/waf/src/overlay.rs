//! A tenant's differences from the shared rule set.

use crate::bits::RuleBits;
use crate::compile::exception_target;
use crate::engine::WorkBudget;
use crate::error::OverlayError;
use crate::limits;
use crate::program::Exception;
use crate::ruleset::{RuleInfo, Ruleset};

/// What a tenant (or a route) wants of a rule set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlaySettings {
    /// Whether a match blocks.
    pub mode: Mode,
    /// Which rules run, and from which score on a request is blocked.
    pub levels: Levels,
    /// Rules and targets that do not apply.
    pub exclusions: Vec<Exclusion>,
}

/// A rule, or a target of one, that does not apply to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// No rule with an id in `first..=last`.
    RuleIds {
        /// First id.
        first: u32,
        /// Last id, included.
        last: u32,
    },
    /// No rule that carries this tag.
    RuleTag(String),
    /// Not this target (`ARGS:password`, `REQUEST_COOKIES:/^_ga/`) for rules with an id in `first..=last`.
    TargetOfIds {
        /// First id.
        first: u32,
        /// Last id, included.
        last: u32,
        /// The target, as in `SecRuleUpdateTargetById` without the `!`.
        target: String,
    },
    /// Not this target for rules that carry the tag.
    TargetOfTag {
        /// The tag, whole.
        tag: String,
        /// The target, as in `SecRuleUpdateTargetByTag` without the `!`.
        target: String,
    },
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
/// Made by [`Ruleset::overlay`](crate::Ruleset::overlay); it belongs to that rule set and no other.
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
    pub(crate) exceptions: Box<[Exception]>,
    /// TX variables that are set before phase 1 and that no rule can change.
    pub(crate) seeds: Box<[(u32, i64)]>,
}

impl Overlay {
    pub(crate) fn new(ruleset: &Ruleset, settings: &OverlaySettings) -> Result<Self, OverlayError> {
        let Levels { paranoia, inbound_threshold, outbound_threshold } = settings.levels;
        if !(1..=4).contains(&paranoia) {
            return Err(OverlayError::Paranoia(paranoia));
        }
        if inbound_threshold == 0 || outbound_threshold == 0 {
            return Err(OverlayError::ZeroThreshold);
        }
        if settings.exclusions.len() > limits::EXCLUSIONS {
            return Err(OverlayError::TooManyExclusions(settings.exclusions.len()));
        }
        let mut removed = RuleBits::empty(ruleset.program.rules.len());
        let mut exceptions = Vec::new();
        for exclusion in &settings.exclusions {
            match exclusion {
                Exclusion::RuleIds { first, last } => removed.extend(&by_ids(ruleset, *first, *last)?),
                Exclusion::RuleTag(tag) => removed.extend(&by_tag(ruleset, tag)?),
                Exclusion::TargetOfIds { first, last, target } => {
                    exceptions.push(exception(by_ids(ruleset, *first, *last)?, target)?);
                }
                Exclusion::TargetOfTag { tag, target } => {
                    exceptions.push(exception(by_tag(ruleset, tag)?, target)?);
                }
            }
        }
        Ok(Self {
            ruleset: ruleset.identity,
            mode: settings.mode,
            levels: settings.levels,
            work_budget: WorkBudget::default(),
            removed,
            exceptions: exceptions.into(),
            seeds: seeds(ruleset, settings.levels),
        })
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

fn by_ids(ruleset: &Ruleset, first: u32, last: u32) -> Result<RuleBits, OverlayError> {
    let bits = matching(ruleset, |rule| (first..=last).contains(&rule.id));
    if bits.is_empty() { Err(OverlayError::UnknownRule { first, last }) } else { Ok(bits) }
}

fn by_tag(ruleset: &Ruleset, tag: &str) -> Result<RuleBits, OverlayError> {
    let bits = matching(ruleset, |rule| rule.tags.iter().any(|other| **other == *tag));
    if bits.is_empty() { Err(OverlayError::UnknownTag(tag.to_owned())) } else { Ok(bits) }
}

fn matching(ruleset: &Ruleset, is_meant: impl Fn(&RuleInfo) -> bool) -> RuleBits {
    let mut bits = RuleBits::empty(ruleset.program.rules.len());
    for (index, _) in ruleset.rules().enumerate().filter(|(_, rule)| is_meant(rule)) {
        bits.insert(index);
    }
    bits
}

fn exception(rules: RuleBits, target: &str) -> Result<Exception, OverlayError> {
    let (variable, select) =
        exception_target(target).map_err(|why| OverlayError::Target(target.to_owned(), why))?;
    Ok(Exception { rules, variable, select })
}
