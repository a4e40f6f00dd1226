//! Which rules of a rule set are meant, and which of them a tenant may tune.
//!
//! Rules are pinned unless they are tunable: what a rule set brings besides detection (initialisation, the rules that
//! add up and judge scores, an operator's own rules, the base configuration) cannot be tuned unless the operator says
//! so.

use crate::bits::RuleBits;
use crate::error::OverlayError;
use crate::ruleset::{RuleInfo, Ruleset};

/// Which rules are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSelector {
    /// Those with an id in `first..=last`.
    Ids {
        /// First id.
        first: u32,
        /// Last id, included.
        last: u32,
    },
    /// Those that carry this tag, whole.
    Tag(String),
    /// All; for a tenant, all that it may tune.
    All,
}

/// What an operator leaves to tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuning {
    /// Rules that tenants may tune. None named: the detection rules of the OWASP CRS.
    pub tunable: Vec<RuleSelector>,
    /// Rules among those that they may not tune after all.
    pub pinned: Vec<RuleSelector>,
}

/// The rules of one rule set that tenants may tune; made by [`Ruleset::tunable`].
#[derive(Debug, Clone)]
pub struct Tunable {
    ruleset: u64,
    rules: RuleBits,
}

/// Ids of the CRS's detection rules, version 3 and 4: what lies between and behind them sets up, adds up and judges
/// (901, 905, 949, 959, 980).
const DETECTION: [(u32, u32); 2] = [(910_000, 948_999), (950_000, 958_999)];

impl RuleSelector {
    fn covers(&self, rule: &RuleInfo) -> bool {
        match self {
            Self::Ids { first, last } => (*first..=*last).contains(&rule.id),
            Self::Tag(tag) => rule.tags.iter().any(|other| **other == **tag),
            Self::All => true,
        }
    }
}

impl Tunable {
    /// Unlike exclusions, a selector that names no rule is no mistake: one policy goes for several rule sets.
    pub(crate) fn new(ruleset: &Ruleset, tuning: &Tuning) -> Self {
        let is_named = |list: &[RuleSelector], rule: &RuleInfo| list.iter().any(|one| one.covers(rule));
        let detects =
            |rule: &RuleInfo| DETECTION.iter().any(|(first, last)| (*first..=*last).contains(&rule.id));
        let rules = matching(ruleset, |rule| {
            let is_tunable =
                if tuning.tunable.is_empty() { detects(rule) } else { is_named(&tuning.tunable, rule) };
            is_tunable && !is_named(&tuning.pinned, rule)
        });
        Self { ruleset: ruleset.identity, rules }
    }

    /// Whether it was made by this rule set.
    pub(crate) fn belongs_to(&self, ruleset: &Ruleset) -> bool {
        self.ruleset == ruleset.identity
    }
}

/// Who asks for a change: what he may change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) ruleset: &'a Ruleset,
    /// `None`: the operator, who may tune all rules.
    pub(crate) tunable: Option<&'a Tunable>,
}

impl Scope<'_> {
    /// The rules that `selector` means; an error if there is none, or one that is pinned.
    pub(crate) fn select(&self, selector: &RuleSelector) -> Result<RuleBits, OverlayError> {
        if let (RuleSelector::All, Some(tunable)) = (selector, self.tunable) {
            return Ok(tunable.rules.clone());
        }
        let unknown = || match selector {
            RuleSelector::Ids { first, last } => OverlayError::UnknownRule { first: *first, last: *last },
            RuleSelector::Tag(tag) => OverlayError::UnknownTag(tag.clone()),
            RuleSelector::All => OverlayError::NoRules,
        };
        self.matching(|rule| selector.covers(rule))?.ok_or_else(unknown)
    }

    /// The rules that are meant, `None` if there is none; an error if one is pinned.
    pub(crate) fn matching(
        &self,
        is_meant: impl Fn(&RuleInfo) -> bool,
    ) -> Result<Option<RuleBits>, OverlayError> {
        let bits = matching(self.ruleset, is_meant);
        let pinned = |index: usize| self.tunable.is_some_and(|tunable| !tunable.rules.contains(index));
        let mut meant = self.ruleset.rules().enumerate().filter(|(index, _)| bits.contains(*index));
        match meant.find(|(index, _)| pinned(*index)) {
            Some((_, rule)) => Err(OverlayError::Pinned(rule.id)),
            None => Ok((!bits.is_empty()).then_some(bits)),
        }
    }
}

fn matching(ruleset: &Ruleset, is_meant: impl Fn(&RuleInfo) -> bool) -> RuleBits {
    let mut bits = RuleBits::empty(ruleset.program.rules.len());
    for (index, _) in ruleset.rules().enumerate().filter(|(_, rule)| is_meant(rule)) {
        bits.insert(index);
    }
    bits
}
