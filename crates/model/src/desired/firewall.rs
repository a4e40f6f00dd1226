//! Firewall policy: per tenant, refined per route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::At;
use crate::value::{ByteSize, Count, RuleRange, RuleTag, RuleTarget, Version};

/// Firewall policy; what is left out is inherited (a route from its tenant, a tenant from the defaults).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// Whether matches refuse requests. Default: block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FirewallMode>,
    /// Version of the rule set. Default: the active one (`veloflux crs activate`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<At<Version>>,
    /// Paranoia level: how much is suspicious. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paranoia_level: Option<Count<1, 4>>,
    /// Anomaly score from which a request is refused. Default: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_threshold: Option<Count<1, 100_000>>,
    /// Anomaly score from which a response is refused. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_threshold: Option<Count<1, 100_000>>,
    /// How much of a request body is kept in memory and inspected. Default: 128KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<ByteSize<0, 67_108_864>>,
    /// What happens to a longer request body. Default: reject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_limit: Option<OverLimit>,
    /// How much of a response body is kept in memory and inspected. Default: 512KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_limit: Option<ByteSize<0, 67_108_864>>,
    /// How much work judging one request may be, in per cent of the engine's own measure; what takes more is refused.
    /// The process file's `limits.max_work_budget` is the most. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_budget: Option<At<Count<1, 1_000>>>,
    /// Rules, or targets of rules, that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
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

/// What happens to a request body that is longer than what is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLimit {
    /// Refuse with 413.
    Reject,
    /// Inspect its beginning, let the rest pass unseen.
    InspectPrefix,
}

/// One exclusion: exactly one of `rule`, `rules` and `tag` says which rules; with `target` they only stop looking
/// there.
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
    /// The target that is left out. Left out: the rules are left out whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<At<RuleTarget>>,
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
            mode: own.mode.or(self.mode),
            ruleset: own.ruleset.clone().or_else(|| self.ruleset.clone()),
            paranoia_level: own.paranoia_level.or(self.paranoia_level),
            inbound_threshold: own.inbound_threshold.or(self.inbound_threshold),
            outbound_threshold: own.outbound_threshold.or(self.outbound_threshold),
            body_limit: own.body_limit.or(self.body_limit),
            over_limit: own.over_limit.or(self.over_limit),
            response_body_limit: own.response_body_limit.or(self.response_body_limit),
            work_budget: own.work_budget.clone().or_else(|| self.work_budget.clone()),
            exclusions: self.exclusions.iter().chain(&own.exclusions).cloned().collect(),
        }
    }

    /// The settings with the defaults filled in. The thresholds are those that the CRS recommends.
    pub fn settings(&self) -> PolicySettings {
        PolicySettings {
            mode: self.mode.unwrap_or(FirewallMode::Block),
            paranoia_level: self.paranoia_level.map_or(1, |level| level.get() as u8),
            inbound_threshold: self.inbound_threshold.map_or(5, Count::get_u32),
            outbound_threshold: self.outbound_threshold.map_or(4, Count::get_u32),
            body_limit_bytes: self.body_limit.map_or(128 << 10, ByteSize::bytes_usize),
            over_limit: self.over_limit.unwrap_or(OverLimit::Reject),
            response_body_limit_bytes: self.response_body_limit.map_or(512 << 10, ByteSize::bytes_usize),
            work_budget_percent: self.work_budget.as_ref().map_or(100, |percent| percent.get_u32()),
        }
    }
}
