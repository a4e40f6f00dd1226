//! What must hold between the values of a desired state: names are unique and lead somewhere, every host name has
//! one owner, choices do not contradict each other. All problems are gathered, none hides another.

mod headers;
mod limits;
mod mode;
mod tls;

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;

use super::{
    Access, Algorithm, Baseline, CheckType, Desired, Exclusion, Firewall, HealthCheck, MANAGED_CERTIFICATE,
    PathPattern, Pool, Route, RuleModes, RuleSelection, Tenant,
};
use crate::located::{At, Position};
use crate::problem::{Problem, suggestion};
use crate::value::{Count, Hostname, RuleRange, RuleTag};
use crate::yaml::Document;

/// Most tenants of one installation.
const MAX_TENANTS: usize = 100_000;

/// Most entries in a list of a tenant: domains, pools, routes, exclusions.
const MAX_ENTRIES: usize = 10_000;

/// Most certificates of one tenant; each domain may have to look at all of them.
const MAX_CERTIFICATES: usize = 1_000;

/// Most backends of one pool; the hash ring counts them with 16 bits.
const MAX_BACKENDS: usize = 1_024;

/// Longest fixed response body, in bytes; every snapshot holds it in memory.
const MAX_RESPONSE_BODY: usize = 64 << 10;

/// Longest text that a health check looks for, in bytes.
const MAX_EXPECTED_BODY: usize = 1_024;

impl Document for Desired {
    fn problems(&self) -> Vec<Problem> {
        let mut check = Check::default();
        check.length("tenants", Position::default(), self.tenants.len(), 0, MAX_TENANTS);
        check.unique("tenant", self.tenants.iter().map(|tenant| &tenant.name));
        check.baseline(&self.baseline);
        check.plans(self);
        let owners = check.owners(self);
        for tenant in &self.tenants {
            check.tenant(tenant, &owners);
            check.tenant_tls(&self.tls, tenant);
            check.plan_of(tenant, self);
            let firewalls = tenant.routes.iter().map(|route| &route.firewall).chain([&tenant.firewall]);
            check.problems.extend(firewalls.flat_map(|firewall| self.baseline.problems(firewall)));
        }
        check.problems
    }
}

/// Who owns a host name, and where it says so.
type Owners<'a> = HashMap<&'a Hostname, (&'a Tenant, Position)>;

#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn report(&mut self, position: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(position, message).hint(hint));
    }

    fn length(&mut self, what: &str, position: Position, length: usize, min: usize, max: usize) {
        if !(min..=max).contains(&length) {
            self.report(
                position,
                format!("there are {length} {what}"),
                format!("there may be {min} to {max}"),
            );
        }
    }

    fn unique<'a, T: Hash + Eq + Display + 'a>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = &'a At<T>>,
    ) {
        let mut seen: HashMap<&T, Position> = HashMap::new();
        for name in names {
            if let Some(first) = seen.get(name.value()) {
                let line = first.line;
                self.report(
                    name.position(),
                    format!("there are two {what}s `{name}`"),
                    format!("the first is on line {line}; give this one another name or remove it"),
                );
            } else {
                seen.insert(name.value(), name.position());
            }
        }
    }

    /// Gives every host name to the first who claims it, and reports whoever else does.
    fn owners<'a>(&mut self, desired: &'a Desired) -> Owners<'a> {
        let mut owners = Owners::new();
        for tenant in &desired.tenants {
            for domain in &tenant.domains {
                let (host, position) = (domain.host.value(), domain.host.position());
                let Some((owner, claimed)) = owners.get(host) else {
                    owners.insert(host, (tenant, position));
                    continue;
                };
                let (owner, line) = (owner.name.value(), claimed.line);
                let message = if owner == tenant.name.value() {
                    format!("the domain `{host}` is listed twice")
                } else {
                    format!("the host name `{host}` belongs to tenant `{owner}`")
                };
                self.report(
                    position,
                    message,
                    format!("it is claimed on line {line}; one host name has one owner"),
                );
            }
        }
        owners
    }

    fn tenant(&mut self, tenant: &Tenant, owners: &Owners<'_>) {
        let at = tenant.name.position();
        self.length("domains", at, tenant.domains.len(), 0, MAX_ENTRIES);
        self.length("certificates", at, tenant.certificates.len(), 0, MAX_CERTIFICATES);
        self.length("pools", at, tenant.pools.len(), 0, MAX_ENTRIES);
        self.length("routes", at, tenant.routes.len(), 0, MAX_ENTRIES);
        self.unique("certificate", tenant.certificates.iter().map(|certificate| &certificate.name));
        self.unique("pool", tenant.pools.iter().map(|pool| &pool.name));
        self.unique("route", tenant.routes.iter().map(|route| &route.name));

        let certificates: HashSet<&str> = tenant.certificates.iter().map(|c| c.name.as_str()).collect();
        for certificate in tenant.certificates.iter().filter(|c| c.name.as_str() == MANAGED_CERTIFICATE) {
            let hint = "a domain says `certificate: auto` to have one ordered; give this one another name";
            self.report(certificate.name.position(), "no certificate can be named `auto`", hint);
        }
        for domain in &tenant.domains {
            match &domain.certificate {
                Some(name) if domain.is_managed() => {
                    // RFC 8738 certificates for addresses are not ordered.
                    let host = domain.host.as_str();
                    if host.starts_with('[')
                        || host.parse::<std::net::IpAddr>().is_ok()
                        || !host.contains('.')
                    {
                        let hint = "upload a certificate for it, or remove `certificate`";
                        let message = format!("no certificate can be ordered for `{host}`");
                        self.report(name.position(), message, hint);
                    }
                }
                Some(name) => self.reference("certificate", name.position(), name.as_str(), &certificates),
                None => {}
            }
        }
        for pool in &tenant.pools {
            self.pool(pool);
        }
        let pools: HashSet<&str> = tenant.pools.iter().map(|pool| pool.name.as_str()).collect();
        for route in &tenant.routes {
            self.route(tenant, route, &pools, owners);
        }
        self.access(at, &tenant.access);
        if let Some(inherit) = &tenant.access.inherit {
            self.report(
                inherit.position(),
                "a tenant inherits no rules",
                "remove `inherit`; it is for routes",
            );
        }
        self.firewall(tenant, at, &tenant.firewall, owners);
        self.limits(at, &tenant.ceilings);
        self.limits(at, &tenant.limits);
        self.security_headers(&tenant.security_headers);
        self.modes(at, tenant);
    }

    fn access(&mut self, at: Position, access: &Access) {
        self.problems.extend(access.problems(at));
    }

    fn reference(&mut self, what: &str, position: Position, name: &str, known: &HashSet<&str>) {
        if !known.contains(name) {
            let hint = suggestion(name, &format!("this tenant's {what}s"), known.iter().copied());
            self.report(position, format!("there is no {what} `{name}`"), hint);
        }
    }

    fn pool(&mut self, pool: &Pool) {
        let at = pool.name.position();
        self.length("backends", at, pool.backends.len(), 1, MAX_BACKENDS);
        self.unique("backend", pool.backends.iter().map(|backend| &backend.address));
        if pool.algorithm == Algorithm::GeoProximity {
            for backend in pool.backends.iter().filter(|backend| backend.country.is_none()) {
                let message = format!("nobody knows where `{}` is", backend.address);
                self.report(
                    backend.address.position(),
                    message,
                    "say `country`, which `geo_proximity` needs",
                );
            }
        }
        if let Some(tls) = &pool.tls {
            self.backend_tls(tls);
        }
        if let Some(health) = &pool.health_check {
            self.health_check(pool, health);
        }
    }

    fn health_check(&mut self, pool: &Pool, health: &HealthCheck) {
        let timeout = &health.timeout;
        if timeout.duration() > health.interval.duration() {
            let message =
                format!("the check's timeout {timeout} is longer than its interval {}", health.interval);
            let at = if timeout.position().line > 0 { timeout.position() } else { pool.name.position() };
            self.report(at, message, "a check must end before the next begins");
        }
        if health.kind == CheckType::Tcp {
            let asked = [
                ("path", health.path.as_ref().map(At::position)),
                ("host", health.host.as_ref().map(At::position)),
                ("expected_status", health.expected_status.as_ref().map(At::position)),
                ("expected_body", health.expected_body.as_ref().map(At::position)),
            ];
            for (key, position) in asked {
                if let Some(position) = position {
                    let hint = format!("remove `{key}`, or write `type: http`");
                    self.report(position, format!("`{key}` has no effect on a TCP check"), hint);
                }
            }
        }
        if let Some(path) = health
            .path
            .as_ref()
            .filter(|path| !path.as_str().starts_with('/') || path.as_str().contains([' ', '#']))
        {
            self.report(path.position(), format!("`{path}` is not a path"), "write a path such as `/health`");
        }
        if let Some(statuses) = health.expected_status.as_ref() {
            self.length("expected statuses", statuses.position(), statuses.ranges().len(), 1, 100);
        }
        if let Some(body) = health.expected_body.as_ref() {
            self.length("bytes in `expected_body`", body.position(), body.len(), 1, MAX_EXPECTED_BODY);
        }
    }

    fn route(&mut self, tenant: &Tenant, route: &Route, pools: &HashSet<&str>, owners: &Owners<'_>) {
        let at = route.name.position();
        for host in &route.hosts {
            self.route_host(tenant, host, owners);
        }
        self.unique("host", route.hosts.iter());
        let actions = [route.forward.is_some(), route.redirect.is_some(), route.respond.is_some()];
        let chosen = actions.into_iter().filter(|given| *given).count();
        if chosen != 1 {
            let message = format!("route `{}` has {chosen} actions", route.name);
            self.report(at, message, "give it exactly one of `forward`, `redirect` and `respond`");
        }
        if let Some(forward) = &route.forward {
            self.reference("pool", forward.pool.position(), forward.pool.as_str(), pools);
            let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = &route.path;
            if let Some(prefix) = forward.strip_prefix.as_ref().filter(|prefix| !prefix.covers(path.as_str()))
            {
                let message = format!("no path of this route begins with `{prefix}`");
                self.report(prefix.position(), message, format!("the route's path is `{path}`"));
            }
        }
        if let Some(status) = route.redirect.as_ref().map(|redirect| &redirect.status)
            && ![301, 302, 303, 307, 308].contains(&status.get())
        {
            let message = format!("{} is not a redirect that names a location", status.get());
            self.report(status.position(), message, "write 301, 302, 303, 307 or 308");
        }
        if let Some(respond) = &route.respond {
            self.length("bytes in `body`", respond.body.position(), respond.body.len(), 0, MAX_RESPONSE_BODY);
        }
        self.access(at, &route.access);
        self.firewall(tenant, at, &route.firewall, owners);
        self.route_limits(at, &route.limits);
        self.route_headers(route);
    }

    fn route_host(&mut self, tenant: &Tenant, host: &At<Hostname>, owners: &Owners<'_>) {
        let owner = owners.get(host.value()).map(|(owner, _)| *owner).or_else(|| {
            // Not claimed by itself: a wildcard domain that covers an exact name owns it.
            let (_, parent) = host.as_str().split_once('.').filter(|_| host.wildcard_parent().is_none())?;
            let wildcard: Hostname = format!("*.{parent}").parse().ok()?;
            owners.get(&wildcard).map(|(owner, _)| *owner)
        });
        match owner {
            Some(owner) if owner.name == tenant.name => {}
            Some(owner) => {
                let message = format!("the host name `{host}` belongs to tenant `{}`", owner.name);
                self.report(host.position(), message, "a route serves its own tenant's domains only");
            }
            None => {
                let own = tenant.domains.iter().map(|domain| domain.host.as_str());
                let hint = suggestion(host.as_str(), "this tenant's domains", own);
                self.report(host.position(), format!("`{host}` is not among the tenant's domains"), hint);
            }
        }
    }

    fn firewall(&mut self, tenant: &Tenant, at: Position, firewall: &Firewall, owners: &Owners<'_>) {
        self.length("exclusions", at, firewall.exclusions.len(), 0, MAX_ENTRIES);
        self.length("rule modes", at, firewall.rule_modes.len(), 0, MAX_ENTRIES);
        self.length("rule texts", at, firewall.rules.len(), 0, MAX_ENTRIES);
        for exclusion in &firewall.exclusions {
            self.exclusion(at, exclusion);
            for host in &exclusion.hosts {
                self.route_host(tenant, host, owners);
            }
            self.unique("host", exclusion.hosts.iter());
        }
        for RuleModes { rule, rules, tag, mode } in &firewall.rule_modes {
            let named = named(rule.as_ref(), rules.as_ref(), tag.as_ref());
            self.one_kind(named, mode.position(), "this mode does not say for which rules");
        }
        self.unique("rule text", firewall.rules.iter().map(|rules| &rules.name));
    }

    fn exclusion(&mut self, at: Position, exclusion: &Exclusion) {
        let Exclusion { rule, rules, tag, target, .. } = exclusion;
        let named = named(rule.as_ref(), rules.as_ref(), tag.as_ref());
        if named.iter().all(Option::is_none) && target.is_some() {
            return;
        }
        let at = target.as_ref().map_or(at, At::position);
        self.one_kind(named, at, "this exclusion does not say which rules it means");
    }

    fn baseline(&mut self, baseline: &Baseline) {
        for selections in [&baseline.tunable, &baseline.pinned] {
            self.length("entries of the baseline", Position::default(), selections.len(), 0, MAX_ENTRIES);
            for RuleSelection { rule, rules, tag } in selections {
                let named = named(rule.as_ref(), rules.as_ref(), tag.as_ref());
                self.one_kind(
                    named,
                    Position::default(),
                    "an entry of the baseline does not say which rules it means",
                );
            }
        }
        self.unique("version", baseline.rulesets.iter());
    }

    /// Reports whoever names rules by none or several of the keys.
    fn one_kind(&mut self, named: [Option<Position>; 3], at: Position, message: &str) {
        if named.iter().flatten().count() != 1 {
            let position = named.into_iter().flatten().last().unwrap_or(at);
            self.report(position, message, "name the rules by exactly one of `rule`, `rules` and `tag`");
        }
    }
}

fn named(
    rule: Option<&At<Count<1, 4_294_967_295>>>,
    rules: Option<&At<RuleRange>>,
    tag: Option<&At<RuleTag>>,
) -> [Option<Position>; 3] {
    [rule.map(At::position), rules.map(At::position), tag.map(At::position)]
}
