//! The operator's baseline: what no tenant's firewall may be weaker than, and which rules are pinned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::firewall::{Firewall, FirewallMode, InspectedSize, OverLimit};
use crate::located::At;
use crate::problem::Problem;
use crate::value::{ByteSize, Count, RuleRange, RuleTag, Version};

/// Some rules, by exactly one of the keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSelection {
    /// The rule with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<At<Count<1, 4_294_967_295>>>,
    /// All rules with ids in this range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<At<RuleRange>>,
    /// All rules with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<At<RuleTag>>,
}

/// What the operator holds every tenant's firewall to. What a tenant leaves out is the default or the baseline,
/// whichever is stricter; what it writes may not go beyond the baseline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Baseline {
    /// The weakest mode. Left out: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FirewallMode>,
    /// Versions of the rule set that may be chosen. Left out: all that are installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rulesets: Vec<At<Version>>,
    /// The lowest paranoia level. Left out: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paranoia_level: Option<Count<1, 4>>,
    /// The highest inbound threshold. Left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_threshold: Option<Count<1, 100_000>>,
    /// The highest outbound threshold. Left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_threshold: Option<Count<1, 100_000>>,
    /// How much of a request body is inspected at least. Left out: nothing has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<InspectedSize>,
    /// `reject`: a longer request body may not pass unseen. Left out: it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_limit: Option<OverLimit>,
    /// How much of a response body is inspected at least. Left out: nothing has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_limit: Option<InspectedSize>,
    /// Rules that tenants may exclude and switch to `detect` and `off`. Left out: the detection rules of the OWASP
    /// CRS (910000-948999, 950000-958999). All others are pinned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunable: Vec<RuleSelection>,
    /// Rules among those that are pinned after all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<RuleSelection>,
}

impl Baseline {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Where `firewall` goes beyond it. What is left out never does.
    pub(super) fn problems(&self, firewall: &Firewall) -> Vec<Problem> {
        let weakest = self.mode.unwrap_or(FirewallMode::Off);
        let highest = |limit: Option<Count<1, 100_000>>| limit.map_or(u64::MAX, Count::get);
        let least = |limit: Option<InspectedSize>| limit.map_or(0, ByteSize::bytes);
        let (inbound, outbound) = (highest(self.inbound_threshold), highest(self.outbound_threshold));
        let level = self.paranoia_level.map_or(1, Count::get);
        let (request, response) = (least(self.body_limit), least(self.response_body_limit));
        let versions: Vec<&str> = self.rulesets.iter().map(|version| version.as_str()).collect();
        let Firewall { mode, ruleset, paranoia_level, inbound_threshold, outbound_threshold, .. } = firewall;
        let beyond = [
            beyond(
                mode.as_ref(),
                "mode",
                |mode| mode.is_as_strict_as(weakest),
                || format!("`mode: {}` or stricter", weakest.name()),
            ),
            beyond(
                ruleset.as_ref(),
                "ruleset",
                |version| versions.is_empty() || versions.contains(&version.as_str()),
                || format!("one of {}", versions.join(", ")),
            ),
            beyond(
                paranoia_level.as_ref(),
                "paranoia_level",
                |own| own.get() >= level,
                || format!("{level} or more"),
            ),
            beyond(
                inbound_threshold.as_ref(),
                "inbound_threshold",
                |own| own.get() <= inbound,
                || format!("{inbound} or less"),
            ),
            beyond(
                outbound_threshold.as_ref(),
                "outbound_threshold",
                |own| own.get() <= outbound,
                || format!("{outbound} or less"),
            ),
            beyond(
                firewall.body_limit.as_ref(),
                "body_limit",
                |own| own.bytes() >= request,
                || self.body_limit.map_or_else(String::new, |limit| format!("{limit} or more")),
            ),
            beyond(
                firewall.response_body_limit.as_ref(),
                "response_body_limit",
                |own| own.bytes() >= response,
                || self.response_body_limit.map_or_else(String::new, |limit| format!("{limit} or more")),
            ),
            beyond(
                firewall.over_limit.as_ref(),
                "over_limit",
                |own| *own == OverLimit::Reject || self.over_limit != Some(OverLimit::Reject),
                || "`reject`".to_owned(),
            ),
        ];
        beyond.into_iter().flatten().collect()
    }
}

/// A problem if `own`, where there is one, is not within what the operator asks for.
fn beyond<T>(
    own: Option<&At<T>>,
    key: &str,
    is_within: impl FnOnce(&T) -> bool,
    wanted: impl FnOnce() -> String,
) -> Option<Problem> {
    let own = own.filter(|own| !is_within(own.value()))?;
    let message = format!("`{key}` is not within the operator's baseline");
    Some(Problem::new(own.position(), message).hint(format!("write {}", wanted())))
}
