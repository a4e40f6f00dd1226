//! Limits: each rule can be kept and can let something pass.

use super::Check;
use crate::desired::{ApiKey, Desired, KeyPart, Limits, MAX_RATES, RateRule, Tenant};
use crate::located::{At, Position};
use crate::problem::suggestion;

/// Most plans of an installation.
const MAX_PLANS: usize = 1_000;

/// Most parts of a rule's key, methods and kinds of parts included.
const MAX_KEY_PARTS: usize = 8;

/// Longest time in which what a burst used up is given back, in seconds: for so long the memory of it is taken.
const MAX_REFILL_S: u64 = 24 * 60 * 60;

impl Check {
    pub(super) fn plans(&mut self, desired: &Desired) {
        self.length("plans", Position::default(), desired.plans.len(), 0, MAX_PLANS);
        self.unique("plan", desired.plans.iter().map(|plan| &plan.name));
        for plan in &desired.plans {
            self.limits(plan.name.position(), &plan.limits);
        }
    }

    pub(super) fn plan_of(&mut self, tenant: &Tenant, desired: &Desired) {
        let Some(name) = &tenant.plan else { return };
        let known = || desired.plans.iter().map(|plan| plan.name.as_str());
        if !known().any(|plan| plan == name.as_str()) {
            let hint = suggestion(name.as_str(), "plans", known());
            self.report(name.position(), format!("there is no plan `{name}`"), hint);
        }
    }

    /// A route's limits, which cannot be about connections: those serve several routes.
    pub(super) fn route_limits(&mut self, at: Position, limits: &Limits) {
        if let Some(connections) = &limits.connections {
            let message = "connections belong to a tenant, not to a route";
            self.report(
                connections.position(),
                message,
                "limit `requests` here, or the tenant's connections",
            );
        }
        self.limits(at, limits);
    }

    pub(super) fn limits(&mut self, at: Position, limits: &Limits) {
        self.length("rate rules", at, limits.rates.len(), 0, MAX_RATES);
        self.unique("rate rule", limits.rates.iter().map(|rule| &rule.name));
        for rule in &limits.rates {
            self.rate_rule(rule);
        }
    }

    fn rate_rule(&mut self, rule: &RateRule) {
        let at = rule.name.position();
        self.length("parts in the key", at, rule.key.len(), 0, MAX_KEY_PARTS);
        for (index, part) in rule.key.iter().enumerate() {
            if rule.key[..index].contains(part) {
                let hint = "each part counts once; remove the second";
                self.report(at, "a part of the key stands there twice", hint);
            }
            if *part == KeyPart::ApiKey(ApiKey::default()) {
                let hint = "write `api_key: {header: x-api-key}`, `api_key: {query: api_key}` or both in one";
                self.report(at, "the key does not say where an API key is", hint);
            }
        }
        let (burst, cost) = (u64::from(rule.burst()), rule.cost.get());
        let at = rule.burst.as_ref().map_or(rule.rate.position(), At::position);
        if cost > burst {
            let message =
                format!("no request can ever pass: each counts as {cost}, and the burst is {burst}");
            self.report(at, message, format!("write `burst: {cost}` or more"));
        }
        let most = MAX_REFILL_S * u64::from(rule.rate.count()) / rule.rate.period().as_secs();
        if burst > most {
            let message =
                format!("a burst of {burst} takes longer than a day to be given back at {}", *rule.rate);
            self.report(at, message, format!("write `burst: {most}` or less"));
        }
    }
}
