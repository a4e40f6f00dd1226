//! Firewall policies: the rule set that is meant, and what differs from it, held to the operator's baseline.

use std::sync::Arc;

use veloflux_model::desired::{
    self, Baseline, Exclusion, Firewall, FirewallMode, OwnRules, PathPattern, RuleModes, RuleSelection,
};
use veloflux_model::located::Position;
use veloflux_model::problem::suggestion;
use veloflux_model::value::{Count, RuleRange, RuleTag};
use veloflux_model::{At, Problem};
use veloflux_waf::{
    Condition, Levels, Mode, OverlayError, OverlaySettings, Part, PathCondition, RuleMode, RuleSelector,
    Ruleset, Source, Tunable, Tuning, WorkBudget,
};

use super::Compiler;
use crate::{FirewallPolicy, OverLimit};

impl Compiler<'_> {
    /// The policy, `None` where the firewall is off; or `None` with a report. `at` is where to report what has no
    /// place of its own.
    pub(super) fn policy(&mut self, at: Position, firewall: &Firewall) -> Option<Arc<FirewallPolicy>> {
        let settings = firewall.settings(self.baseline);
        let mode = match settings.mode {
            FirewallMode::Block => Mode::Block,
            FirewallMode::Detect => Mode::Detect,
            FirewallMode::Off => return None,
        };
        let (version, ruleset) = self.ruleset(at, firewall)?;
        self.check_work_budget(firewall);
        let levels = Levels {
            paranoia: settings.paranoia_level,
            inbound_threshold: settings.inbound_threshold,
            outbound_threshold: settings.outbound_threshold,
        };
        let wanted = OverlaySettings {
            exclusions: firewall.exclusions.iter().map(exclusion).collect(),
            rule_modes: firewall.rule_modes.iter().map(rule_mode).collect(),
            rules: firewall.rules.iter().map(source).collect(),
            ..OverlaySettings::new(mode, levels)
        };
        let tunable = self.tunable(&version, &ruleset);
        match ruleset.tenant_overlay(&wanted, &tunable) {
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
            Err(errors) => {
                for (part, error) in &errors.0 {
                    self.report_overlay(at, *part, error, &ruleset, firewall);
                }
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

    fn ruleset(&mut self, at: Position, firewall: &Firewall) -> Option<(String, Arc<Ruleset>)> {
        let at = firewall.ruleset.as_ref().map_or(at, At::position);
        let version = firewall.ruleset.as_ref().map(|version| version.as_str());
        let Some(version) = version.or(self.inputs.active_ruleset.as_deref()) else {
            let hint = "install one with `veloflux crs install --from DIR`, or turn the firewall off with `firewall: {mode: off}`";
            self.report(at, "the firewall is on, but no rule set is active", hint);
            return None;
        };
        match self.inputs.rulesets.get(version) {
            Some(Ok(ruleset)) => Some((version.to_owned(), ruleset.clone())),
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

    /// What tenants may tune of a rule set, worked out once.
    fn tunable(&mut self, version: &str, ruleset: &Ruleset) -> Arc<Tunable> {
        let Baseline { tunable, pinned, .. } = self.baseline;
        let known = self.tunable.entry(version.to_owned()).or_insert_with(|| {
            let selectors = |list: &[RuleSelection]| list.iter().map(selection).collect();
            Arc::new(ruleset.tunable(&Tuning { tunable: selectors(tunable), pinned: selectors(pinned) }))
        });
        known.clone()
    }

    /// Reports an error about `part` where it stands.
    fn report_overlay(
        &mut self,
        at: Position,
        part: Part,
        error: &OverlayError,
        ruleset: &Ruleset,
        firewall: &Firewall,
    ) {
        let problems = match (part, error) {
            (Part::Rules, OverlayError::Rules(errors)) => {
                let place = |name: &str| {
                    let own = firewall.rules.iter().find(|own| own.name.as_str() == name);
                    own.map_or(at, |own| own.text.position())
                };
                let problem = |error: &veloflux_waf::CompileError| {
                    Problem::new(place(&error.file), error.to_string())
                        .hint("line and column behind the name of the text count from its start")
                };
                errors.0.iter().map(problem).collect()
            }
            _ => vec![
                Problem::new(position(part, firewall).unwrap_or(at), error.to_string())
                    .hint(hint(error, ruleset)),
            ],
        };
        for problem in problems {
            self.report_once(problem);
        }
    }
}

fn hint(error: &OverlayError, ruleset: &Ruleset) -> String {
    match error {
        OverlayError::UnknownTag(tag) => {
            let tags: std::collections::BTreeSet<&str> =
                ruleset.rules().flat_map(|rule| rule.tags.iter()).map(|tag| &**tag).collect();
            suggestion(tag, "tags", tags)
        }
        OverlayError::Pinned(_) => {
            "name only rules that the operator's `baseline` leaves to tenants, by default the CRS's detection rules"
                .to_owned()
        }
        _ => format!("the rule set has {} rules", ruleset.rule_count()),
    }
}

fn position(part: Part, firewall: &Firewall) -> Option<Position> {
    let first =
        |rule: Option<Position>, rules: Option<Position>, tag: Option<Position>| rule.or(rules).or(tag);
    match part {
        Part::Exclusion(index) => {
            let Exclusion { rule, rules, tag, target, .. } = firewall.exclusions.get(index)?;
            let (rule, rules) = (rule.as_ref().map(At::position), rules.as_ref().map(At::position));
            first(rule, rules, tag.as_ref().map(At::position)).or(target.as_ref().map(At::position))
        }
        Part::RuleMode(index) => {
            let RuleModes { rule, rules, tag, .. } = firewall.rule_modes.get(index)?;
            let (rule, rules) = (rule.as_ref().map(At::position), rules.as_ref().map(At::position));
            first(rule, rules, tag.as_ref().map(At::position))
        }
        Part::Settings | Part::Rules => None,
    }
}

/// The rules that the keys name. No accepted document uses two of them; without any, all are meant.
fn selector(
    rule: Option<&At<Count<1, 4_294_967_295>>>,
    rules: Option<&At<RuleRange>>,
    tag: Option<&At<RuleTag>>,
) -> RuleSelector {
    let one = rule.map(|id| (id.get_u32(), id.get_u32()));
    match (one.or(rules.map(|range| range.bounds())), tag) {
        (Some((first, last)), _) => RuleSelector::Ids { first, last },
        (None, Some(tag)) => RuleSelector::Tag(tag.as_str().to_owned()),
        (None, None) => RuleSelector::All,
    }
}

fn selection(RuleSelection { rule, rules, tag }: &RuleSelection) -> RuleSelector {
    selector(rule.as_ref(), rules.as_ref(), tag.as_ref())
}

fn exclusion(exclusion: &Exclusion) -> veloflux_waf::Exclusion {
    let Exclusion { rule, rules, tag, target, methods, path, hosts } = exclusion;
    veloflux_waf::Exclusion {
        rules: selector(rule.as_ref(), rules.as_ref(), tag.as_ref()),
        target: target.as_ref().map(|target| target.as_str().to_owned()),
        when: Condition {
            methods: methods.iter().map(|method| method.as_str().to_owned()).collect(),
            path: path.as_ref().map(|path| match path {
                PathPattern::Exact(path) => PathCondition::Exact(path.as_str().to_owned()),
                PathPattern::Prefix(path) => PathCondition::Prefix(path.as_str().to_owned()),
            }),
            hosts: hosts.iter().map(|host| host.as_str().to_owned()).collect(),
        },
    }
}

fn rule_mode(RuleModes { rule, rules, tag, mode }: &RuleModes) -> (RuleSelector, RuleMode) {
    let mode = match mode.value() {
        desired::RuleMode::Block => RuleMode::Block,
        desired::RuleMode::Detect => RuleMode::Detect,
        desired::RuleMode::Off => RuleMode::Off,
    };
    (selector(rule.as_ref(), rules.as_ref(), tag.as_ref()), mode)
}

fn source(OwnRules { name, text }: &OwnRules) -> Source {
    Source { name: name.as_str().to_owned(), text: text.value().clone() }
}
