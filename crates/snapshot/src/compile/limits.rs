//! Limits: those of a tenant's plan, of the operator for the tenant, of the tenant, of the route and of an attack in one
//! list.

use std::sync::Arc;

use veloflux_model::desired::{self, DEFAULT_PLAN};

use super::route::path_match;
use super::{Compiler, stable_hash};
use crate::limit::{AtOnce, Bandwidth, KeyPart, LimitAction, Limits, MAX_LISTS, Pace, RateRule};

/// Leading bits that tell IPv6 clients apart where nothing else is said: what one customer has at least (RFC 6177).
const DEFAULT_IPV6_PREFIX: u8 = 64;

impl Compiler<'_> {
    /// Everything that limits requests of `route`, or those of the tenant that no route takes; with what an attack adds,
    /// if there is one. `None`: nothing does.
    pub(super) fn limits(
        &self,
        tenant: &desired::Tenant,
        route: Option<&desired::Route>,
        attack: Option<&desired::UnderAttack>,
    ) -> Option<Arc<Limits>> {
        let id = tenant.name.as_str();
        let plan = tenant.plan.as_ref().map_or(DEFAULT_PLAN, |name| name.as_str());
        let plan = self.plans.iter().find(|known| known.name.as_str() == plan);
        let attack = attack.map(desired::UnderAttack::limits);
        let lists: [Option<_>; MAX_LISTS] = [
            attack.as_ref().map(|limits| (format!("{id}/under_attack"), limits)),
            route.map(|route| (format!("{id}/route/{}", route.name), &route.limits)),
            Some((format!("{id}/tenant"), &tenant.limits)),
            Some((format!("{id}/ceiling"), &tenant.ceilings)),
            plan.map(|plan| (format!("{id}/plan"), &plan.limits)),
        ];
        let mut limits = Limits {
            rates: Vec::new(),
            connections: Vec::new(),
            requests: Vec::new(),
            bandwidth: Vec::new(),
            tenant_mark: stable_hash(id.as_bytes(), 0) as u16,
        };
        for (origin, given) in lists.into_iter().flatten() {
            self.add(&origin, given, &mut limits);
        }
        // The sort is stable: what an attack adds first, the route's before the tenant's, and those before the operator's.
        limits.rates.sort_by_key(|rule| rule.key.is_empty());
        let Limits { rates, connections, requests, bandwidth, .. } = &limits;
        let none = rates.is_empty() && connections.is_empty() && requests.is_empty() && bandwidth.is_empty();
        (!none).then(|| Arc::new(limits))
    }

    fn add(&self, origin: &str, given: &desired::Limits, limits: &mut Limits) {
        let prefix = given.ipv6_prefix.map_or(DEFAULT_IPV6_PREFIX, |bits| bits.get() as u8);
        limits.rates.extend(given.rates.iter().map(|rule| self.rate_rule(origin, rule, prefix)));
        let connections = given.connections.as_ref().map(|connections| *connections.value());
        self.at_once(origin, "connections", connections, prefix, &mut limits.connections);
        self.at_once(origin, "requests", given.requests, prefix, &mut limits.requests);
        limits.bandwidth.extend(given.bandwidth.map(|rate| Bandwidth {
            bytes_per_s: rate.bytes(),
            state: self.registry.limit(&format!("{origin}#bandwidth").into()),
        }));
    }

    fn rate_rule(&self, origin: &str, rule: &desired::RateRule, prefix: u8) -> RateRule {
        let desired::RateRule { name, key, methods, path, rate, cost, action, dry_run, .. } = rule;
        let policy = || format!("\"{name}\";q={};w={}", rate.count(), rate.period().as_secs()).into();
        RateRule {
            name: name.as_str().into(),
            key: key.iter().map(|part| key_part(part, prefix)).collect(),
            methods: methods.iter().map(|method| method.as_str().into()).collect(),
            path: path.as_ref().map(path_match),
            pace: Pace::new(rate.count(), rate.period(), rule.burst()),
            cost: cost.get_u32(),
            action: match action {
                desired::LimitAction::Reject => LimitAction::Reject,
                desired::LimitAction::Delay(delay) => LimitAction::Delay {
                    max_wait: delay.max_wait.duration(),
                    max_waiting: delay.max_waiting.get_u32(),
                },
                desired::LimitAction::Log => LimitAction::Log,
            },
            dry_run: *dry_run,
            policy: rule.has_headers().then(policy),
            state: self.registry.limit(&format!("{origin}/{name}").into()),
        }
    }

    fn at_once(
        &self,
        origin: &str,
        what: &str,
        given: Option<desired::Concurrency>,
        prefix: u8,
        to: &mut Vec<AtOnce>,
    ) {
        let Some(desired::Concurrency { total, per_client }) = given else { return };
        let limit = |name: String, most: desired::AtOnce, per_client| AtOnce {
            most: most.get_u32(),
            per_client,
            state: self.registry.limit(&format!("{origin}#{name}").into()),
            name: name.into(),
        };
        to.extend(per_client.map(|most| limit(format!("{what}_per_client"), most, Some(prefix))));
        to.extend(total.map(|most| limit(what.to_owned(), most, None)));
    }
}

fn key_part(part: &desired::KeyPart, prefix: u8) -> KeyPart {
    let text = |text: &str| text.into();
    match part {
        desired::KeyPart::Client => KeyPart::Client(prefix),
        desired::KeyPart::Route => KeyPart::Route,
        desired::KeyPart::Method => KeyPart::Method,
        desired::KeyPart::Path => KeyPart::Path,
        desired::KeyPart::Header(name) => KeyPart::Header(text(name.as_str())),
        desired::KeyPart::Cookie(name) => KeyPart::Cookie(text(name.as_str())),
        desired::KeyPart::ApiKey(desired::ApiKey { header, query }) => KeyPart::ApiKey {
            header: header.as_ref().map(|name| text(name.as_str())),
            query: query.as_ref().map(|name| text(name.as_str())),
        },
    }
}
