//! A tenant's differences from the shared rule set.

use crate::error::OverlayError;
use crate::ruleset::Ruleset;

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
    mode: Mode,
    levels: Levels,
}

impl Overlay {
    pub(crate) fn new(_ruleset: &Ruleset, settings: &OverlaySettings) -> Result<Self, OverlayError> {
        Ok(Self { mode: settings.mode, levels: settings.levels })
    }

    /// Whether a match blocks.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Level and thresholds.
    pub fn levels(&self) -> Levels {
        self.levels
    }
}
