//! Firewall policies: the rule set that is meant, and what differs from it.

use std::sync::Arc;

use veloflux_model::At;
use veloflux_model::desired::{self, Exclusion, Firewall, FirewallMode};
use veloflux_model::located::Position;
use veloflux_model::problem::suggestion;
use veloflux_waf::{Levels, Mode, OverlayError, OverlaySettings, Ruleset, WorkBudget};

use super::Compiler;
use crate::{FirewallPolicy, OverLimit};

impl Compiler<'_> {
    /// The policy, `None` where the firewall is off; or `None` with a report. `at` is where to report what has no
    /// place of its own.
    pub(super) fn policy(&mut self, at: Position, firewall: &Firewall) -> Option<Arc<FirewallPolicy>> {
        let settings = firewall.settings();
        let mode = match settings.mode {
            FirewallMode::Block => Mode::Block,
            FirewallMode::Detect => Mode::Detect,
            FirewallMode::Off => return None,
        };
        let ruleset = self.ruleset(at, firewall)?;
        self.check_work_budget(firewall);
        let levels = Levels {
            paranoia: settings.paranoia_level,
            inbound_threshold: settings.inbound_threshold,
            outbound_threshold: settings.outbound_threshold,
        };
        let exclusions = firewall.exclusions.iter().filter_map(exclusion).collect();
        let wanted = OverlaySettings { mode, levels, exclusions };
        match ruleset.overlay(&wanted) {
            Ok(overlay) => Some(Arc::new(FirewallPolicy {
                ruleset,
                overlay: overlay.with_work_budget(WorkBudget::percent(settings.work_budget_percent)),
                body_limit_bytes: settings.body_limit_bytes,
                over_limit: match settings.over_limit {
                    desired::OverLimit::Reject => OverLimit::Reject,
                    desired::OverLimit::InspectPrefix => OverLimit::InspectPrefix,
                },
                response_limit_bytes: settings.response_body_limit_bytes,
            })),
            Err(error) => {
                self.report_overlay(at, &error, &ruleset, firewall, &wanted);
                None
            }
        }
    }

    fn check_work_budget(&mut self, firewall: &Firewall) {
        let most = self.inputs.max_work_budget_percent;
        if let Some(percent) = firewall.work_budget.as_ref().filter(|percent| percent.get_u32() > most) {
            self.report(
                percent.position(),
                format!("the work budget {} is more than this installation allows", percent.get_u32()),
                format!("set at most {most}, or have the operator raise `limits.max_work_budget` in the process file"),
            );
        }
    }

    fn ruleset(&mut self, at: Position, firewall: &Firewall) -> Option<Arc<Ruleset>> {
        let at = firewall.ruleset.as_ref().map_or(at, At::position);
        let version = firewall.ruleset.as_ref().map(|version| version.as_str());
        let Some(version) = version.or(self.inputs.active_ruleset.as_deref()) else {
            let hint = "install one with `veloflux crs install --from DIR`, or turn the firewall off with `firewall: {mode: off}`";
            self.report(at, "the firewall is on, but no rule set is active", hint);
            return None;
        };
        match self.inputs.rulesets.get(version) {
            Some(Ok(ruleset)) => Some(ruleset.clone()),
            Some(Err(why)) => {
                self.report(
                    at,
                    format!("the rule set {version} cannot be used: {why}"),
                    "see `veloflux crs list`",
                );
                None
            }
            None => {
                let hint = format!(
                    "see `veloflux crs list`, or install it with `veloflux crs install --name {version}`"
                );
                self.report(at, format!("the rule set {version} is not installed"), hint);
                None
            }
        }
    }

    /// Finds every exclusion that does not fit: the engine names only the first.
    fn report_overlay(
        &mut self,
        at: Position,
        error: &OverlayError,
        ruleset: &Ruleset,
        firewall: &Firewall,
        wanted: &OverlaySettings,
    ) {
        let before = self.problems.len();
        for given in &firewall.exclusions {
            let alone =
                OverlaySettings { exclusions: exclusion(given).into_iter().collect(), ..wanted.clone() };
            if let Err(error) = ruleset.overlay(&alone) {
                let hint = match &error {
                    OverlayError::UnknownTag(tag) => {
                        let tags: std::collections::BTreeSet<&str> =
                            ruleset.rules().flat_map(|rule| rule.tags.iter()).map(|tag| &**tag).collect();
                        suggestion(tag, "tags", tags)
                    }
                    _ => format!("the rule set has {} rules", ruleset.rule_count()),
                };
                self.report(position(given).unwrap_or(at), error.to_string(), hint);
            }
        }
        if self.problems.len() == before {
            self.report(at, error.to_string(), "change the firewall's settings");
        }
    }
}

fn position(exclusion: &Exclusion) -> Option<Position> {
    let Exclusion { rule, rules, tag, target: _ } = exclusion;
    let rule = rule.as_ref().map(At::position);
    rule.or(rules.as_ref().map(At::position)).or(tag.as_ref().map(At::position))
}

/// `None` for an exclusion that names no rules, which no accepted document holds.
fn exclusion(exclusion: &Exclusion) -> Option<veloflux_waf::Exclusion> {
    let target = exclusion.target.as_ref().map(|target| target.as_str().to_owned());
    if let Some(tag) = &exclusion.tag {
        let tag = tag.as_str().to_owned();
        return Some(match target {
            Some(target) => veloflux_waf::Exclusion::TargetOfTag { tag, target },
            None => veloflux_waf::Exclusion::RuleTag(tag),
        });
    }
    let one = exclusion.rule.as_ref().map(|id| (id.get_u32(), id.get_u32()));
    let (first, last) = one.or(exclusion.rules.as_ref().map(|range| range.bounds()))?;
    Some(match target {
        Some(target) => veloflux_waf::Exclusion::TargetOfIds { first, last, target },
        None => veloflux_waf::Exclusion::RuleIds { first, last },
    })
}
