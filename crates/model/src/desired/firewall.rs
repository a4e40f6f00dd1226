//! Firewall policy: per tenant, refined per route, within what the operator's baseline leaves open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Baseline, PathPattern};
use crate::located::At;
use crate::value::{ByteSize, Count, Hostname, Method, Name, RuleRange, RuleTag, RuleTarget, Version};

/// How much of a body may be inspected: up to 64MiB.
pub type InspectedSize = ByteSize<0, 67_108_864>;

/// Firewall policy; what is left out is inherited (a route from its tenant, a tenant from the defaults).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// Whether matches refuse requests. Default: block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<At<FirewallMode>>,
    /// Version of the rule set. Default: the active one (`veloflux crs activate`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<At<Version>>,
    /// Paranoia level: how much is suspicious. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paranoia_level: Option<At<Count<1, 4>>>,
    /// Anomaly score from which a request is refused. Default: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_threshold: Option<At<Count<1, 100_000>>>,
    /// Anomaly score from which a response is refused. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_threshold: Option<At<Count<1, 100_000>>>,
    /// How much of a request body is kept in memory and inspected. Default: 128KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<At<InspectedSize>>,
    /// What happens to a longer request body. Default: reject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_limit: Option<At<OverLimit>>,
    /// How much of a response body is kept in memory and inspected. Default: 512KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_limit: Option<At<InspectedSize>>,
    /// How much work judging one request may be, in per cent of the engine's own measure; what takes more is refused.
    /// The process file's `limits.max_work_budget` is the most. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_budget: Option<At<Count<1, 1_000>>>,
    /// Rules, or targets of rules, that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// Rules that act otherwise than `mode` says; where several name one rule, the last counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule_modes: Vec<RuleModes>,
    /// Rules of the tenant's own, in SecLang; they run before those of the rule set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<OwnRules>,
}

/// Whether the firewall's matches refuse requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirewallMode {
    /// Refuse.
    Block,
    /// Let pass and record what would have been refused.
    Detect,
    /// Do not look.
    Off,
}

impl FirewallMode {
    /// Whether it protects as much as `other`.
    pub(super) fn is_as_strict_as(self, other: Self) -> bool {
        self.weakness() <= other.weakness()
    }

    fn weakness(self) -> u8 {
        match self {
            Self::Block => 0,
            Self::Detect => 1,
            Self::Off => 2,
        }
    }

    /// The word in the document.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Detect => "detect",
            Self::Off => "off",
        }
    }
}

/// What happens to a request body that is longer than what is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLimit {
    /// Refuse with 413.
    Reject,
    /// Inspect its beginning, let the rest pass unseen.
    InspectPrefix,
}

/// One exclusion: at most one of `rule`, `rules` and `tag` says which rules; with `target` they only stop looking
/// there. Only `target`: no rule that may be tuned looks there. With `methods`, `path` or `hosts` it applies to such
/// requests only, where the path cannot be read in several ways.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exclusion {
    /// The rule with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<At<Count<1, 4_294_967_295>>>,
    /// All rules with ids in this range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<At<RuleRange>>,
    /// All rules with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<At<RuleTag>>,
    /// The target that is left out, `ARGS:q` or `REQUEST_COOKIES:/^_ga/`. Left out: the rules are left out whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<At<RuleTarget>>,
    /// Methods of the requests. Left out: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// Their path. Left out: every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPattern>,
    /// Their hosts, among the tenant's domains. Left out: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<At<Hostname>>,
}

/// Rules with a mode of their own: exactly one of `rule`, `rules` and `tag` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleModes {
    /// The rule with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<At<Count<1, 4_294_967_295>>>,
    /// All rules with ids in this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<At<RuleRange>>,
    /// All rules with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<At<RuleTag>>,
    /// What a match of one of them does.
    pub mode: At<RuleMode>,
}

/// What a match of a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    /// Refuses the request by itself, whatever the score, and although the policy only detects.
    Block,
    /// Is recorded, and counts for nothing.
    Detect,
    /// Nothing: the rule does not run.
    Off,
}

/// A text of rules of the tenant's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnRules {
    /// Its name, in messages and records.
    pub name: At<Name>,
    /// SecLang: `SecRule`, `SecAction`, `SecMarker`, `SecDefaultAction`, with ids from 10000 to 99999.
    pub text: At<String>,
}

/// A policy with nothing left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicySettings {
    /// Whether matches refuse requests.
    pub mode: FirewallMode,
    /// Paranoia level, 1-4.
    pub paranoia_level: u8,
    /// Anomaly score from which a request is refused.
    pub inbound_threshold: u32,
    /// Anomaly score from which a response is refused.
    pub outbound_threshold: u32,
    /// Request-body bytes inspected.
    pub body_limit_bytes: usize,
    /// What happens to a longer request body.
    pub over_limit: OverLimit,
    /// Response-body bytes inspected.
    pub response_body_limit_bytes: usize,
    /// Work that judging may be, in per cent of the engine's measure.
    pub work_budget_percent: u32,
}

impl Firewall {
    /// Whether nothing is set, so that what is inherited is in force as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is in force where `self` is inherited and `own` refines it.
    #[must_use]
    pub fn refined_by(&self, own: &Self) -> Self {
        Self {
            mode: first(own.mode.as_ref(), self.mode.as_ref()),
            ruleset: first(own.ruleset.as_ref(), self.ruleset.as_ref()),
            paranoia_level: first(own.paranoia_level.as_ref(), self.paranoia_level.as_ref()),
            inbound_threshold: first(own.inbound_threshold.as_ref(), self.inbound_threshold.as_ref()),
            outbound_threshold: first(own.outbound_threshold.as_ref(), self.outbound_threshold.as_ref()),
            body_limit: first(own.body_limit.as_ref(), self.body_limit.as_ref()),
            over_limit: first(own.over_limit.as_ref(), self.over_limit.as_ref()),
            response_body_limit: first(own.response_body_limit.as_ref(), self.response_body_limit.as_ref()),
            work_budget: first(own.work_budget.as_ref(), self.work_budget.as_ref()),
            exclusions: self.exclusions.iter().chain(&own.exclusions).cloned().collect(),
            rule_modes: self.rule_modes.iter().chain(&own.rule_modes).cloned().collect(),
            rules: self.rules.iter().chain(&own.rules).cloned().collect(),
        }
    }

    /// The settings with what is left out filled in: the default or `baseline`, whichever is stricter. The default
    /// thresholds are those that the CRS recommends.
    pub fn settings(&self, baseline: &Baseline) -> PolicySettings {
        let threshold =
            |own: &Option<At<Count<1, 100_000>>>, default: u32, highest: Option<Count<1, 100_000>>| {
                let highest = highest.map_or(default, Count::get_u32);
                own.as_ref().map_or(default.min(highest), |own| own.get_u32())
            };
        let bytes = |own: &Option<At<InspectedSize>>, default: usize, least: Option<InspectedSize>| {
            let least = least.map_or(0, ByteSize::bytes_usize);
            own.as_ref().map_or(default.max(least), |own| own.bytes_usize())
        };
        let lowest = baseline.paranoia_level.map_or(1, Count::get);
        PolicySettings {
            mode: self.mode.as_ref().map_or(FirewallMode::Block, |mode| *mode.value()),
            paranoia_level: self.paranoia_level.as_ref().map_or(lowest, |level| level.get()) as u8,
            inbound_threshold: threshold(&self.inbound_threshold, 5, baseline.inbound_threshold),
            outbound_threshold: threshold(&self.outbound_threshold, 4, baseline.outbound_threshold),
            body_limit_bytes: bytes(&self.body_limit, 128 << 10, baseline.body_limit),
            over_limit: self.over_limit.as_ref().map_or(OverLimit::Reject, |over| *over.value()),
            response_body_limit_bytes: bytes(
                &self.response_body_limit,
                512 << 10,
                baseline.response_body_limit,
            ),
            work_budget_percent: self.work_budget.as_ref().map_or(100, |percent| percent.get_u32()),
        }
    }
}

/// The own value, or else the inherited one.
fn first<T: Clone>(own: Option<&T>, inherited: Option<&T>) -> Option<T> {
    own.or(inherited).cloned()
}
