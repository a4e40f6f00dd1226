//! Routes: conditions, actions, and the order in which they are tried (see the parent module).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use veloflux_model::At;
use veloflux_model::desired::{self, Firewall, PathPattern};
use veloflux_model::located::Position;
use veloflux_model::value::{ByteSize, Hostname, PathText, Period};

use super::{Compiler, headers, mode};
use crate::limit::Limits;
use crate::mode::Usual;
use crate::template::Template;
use crate::{AccessPolicy, Action, FirewallPolicy, PathMatch, Pool, Route, Timeouts};

/// Longest request body where nothing else is said, in bytes.
const DEFAULT_MAX_BODY_BYTES: u64 = 10 << 20;

impl<'a> Compiler<'a> {
    pub(super) fn routes(
        &mut self,
        tenant: &'a desired::Tenant,
        pools: &HashMap<&str, Arc<Pool>>,
        everywhere: &[Arc<AccessPolicy>],
        own_limits: Option<&Arc<Limits>>,
        usual_limits: Option<&Arc<Limits>>,
    ) -> Vec<Route> {
        let of_tenant = self.firewall(tenant, tenant.name.position(), &tenant.firewall);
        let mut routes = Vec::with_capacity(tenant.routes.len());
        for route in &tenant.routes {
            let (firewall, usual_firewall) = if route.firewall.is_empty() {
                of_tenant.clone()
            } else {
                self.firewall(tenant, route.name.position(), &tenant.firewall.refined_by(&route.firewall))
            };
            let own = self.access(&route.access);
            let inherited = if route.access.inherits() { everywhere } else { &[] };
            let access: Box<[_]> = inherited.iter().cloned().chain(own).collect();
            let limits = |own: Option<&Arc<Limits>>, attack| match &route.limits {
                limits if limits.is_empty() => own.cloned(),
                _ => self.limits(tenant, Some(route), attack),
            };
            let attack = mode::attack(tenant);
            let usual =
                attack.map(|_| Usual { limits: limits(usual_limits, None), firewall: usual_firewall });
            let limits = limits(own_limits, attack);
            let (wildcard, exact): (Vec<&Hostname>, Vec<&Hostname>) =
                route.hosts.iter().map(At::value).partition(|host| host.wildcard_parent().is_some());
            let groups = [(HostRank::Exact, exact), (HostRank::Wildcard, wildcard)];
            let mut groups: Vec<_> = groups.into_iter().filter(|(_, hosts)| !hosts.is_empty()).collect();
            if groups.is_empty() {
                groups.push((HostRank::Any, Vec::new()));
            }
            for (rank, hosts) in groups {
                // A pool that could not be compiled has been reported; the snapshot is refused anyway.
                let protections = Protections {
                    access: access.clone(),
                    limits: limits.clone(),
                    firewall: firewall.clone(),
                    usual: usual.clone(),
                };
                if let Some(compiled) = compile(tenant, route, &hosts, protections, pools) {
                    routes.push((rank, compiled));
                }
            }
        }
        // The sort is stable: equals stay in document order.
        routes.sort_by_cached_key(|(rank, route)| {
            let (prefix, length) = match &route.path {
                PathMatch::Exact(path) => (false, path.len()),
                PathMatch::Prefix(path) => (true, path.len()),
            };
            let conditions = route.headers.len() + usize::from(!route.methods.is_empty());
            (*rank, prefix, Reverse(length), Reverse(conditions))
        });
        routes.into_iter().map(|(_, route)| route).collect()
    }

    /// The firewall policy in force, and that of requests which an attack changes nothing for.
    fn firewall(
        &mut self,
        tenant: &desired::Tenant,
        at: Position,
        firewall: &Firewall,
    ) -> (Option<Arc<FirewallPolicy>>, Option<Arc<FirewallPolicy>>) {
        let usual = self.policy(at, firewall);
        let Some(attack) = mode::attack(tenant) else { return (usual, None) };
        let raised = self.raised(attack, firewall);
        let in_force = if raised == *firewall { usual.clone() } else { self.policy(at, &raised) };
        (in_force, usual)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Wildcard,
    Any,
}

/// What a request on a route has to get past.
struct Protections {
    access: Box<[Arc<AccessPolicy>]>,
    limits: Option<Arc<Limits>>,
    firewall: Option<Arc<FirewallPolicy>>,
    usual: Option<Usual>,
}

fn compile(
    tenant: &desired::Tenant,
    route: &desired::Route,
    hosts: &[&Hostname],
    protections: Protections,
    pools: &HashMap<&str, Arc<Pool>>,
) -> Option<Route> {
    let Protections { access, limits, firewall, usual } = protections;
    let action = match route.action()? {
        desired::Action::Forward(forward) => Action::Forward {
            pool: pools.get(forward.pool.as_str())?.clone(),
            strip_prefix: forward
                .strip_prefix
                .as_ref()
                .map(|prefix| segments(prefix))
                .filter(|prefix| &**prefix != "/"),
        },
        desired::Action::Redirect(redirect) => Action::Redirect {
            status: redirect.status.get_u16(),
            location: Template::parse(redirect.location.as_str()),
        },
        desired::Action::Respond(respond) => Action::Respond {
            status: respond.status.get_u16(),
            content_type: respond.content_type.as_str().into(),
            body: respond.body.as_bytes().into(),
        },
    };
    Some(Route {
        name: route.name.as_str().into(),
        hosts: hosts.iter().map(|host| host.as_str().into()).collect(),
        path: path_match(&route.path),
        methods: route.methods.iter().map(|method| method.as_str().into()).collect(),
        headers: route
            .headers
            .iter()
            .map(|header| {
                (header.name.as_str().into(), header.value.as_ref().map(|value| value.as_str().into()))
            })
            .collect(),
        action,
        require_client_certificate: route.require_client_certificate,
        max_body_bytes: route.max_body.or(tenant.max_body).map_or(DEFAULT_MAX_BODY_BYTES, ByteSize::bytes),
        timeouts: timeouts(&tenant.timeouts.refined_by(&route.timeouts)),
        access,
        firewall,
        limits,
        usual,
        header_policy: headers::of_route(tenant, route),
    })
}

/// A path condition as the data plane compares it.
pub(super) fn path_match(path: &PathPattern) -> PathMatch {
    match path {
        PathPattern::Exact(path) => PathMatch::Exact(path.as_str().into()),
        PathPattern::Prefix(path) => PathMatch::Prefix(segments(path)),
    }
}

/// A prefix without the `/` at its end: `/a/` covers what `/a` covers.
fn segments(prefix: &PathText) -> Box<str> {
    let trimmed = prefix.as_str().trim_end_matches('/');
    if trimmed.is_empty() { "/".into() } else { trimmed.into() }
}

fn timeouts(timeouts: &desired::Timeouts) -> Timeouts {
    let or = |given: Option<desired::Timeout>, seconds| {
        given.map_or(Duration::from_secs(seconds), Period::duration)
    };
    Timeouts {
        connect: or(timeouts.connect, 5),
        first_byte: or(timeouts.first_byte, 60),
        idle: or(timeouts.idle, 60),
        total: or(timeouts.total, 300),
    }
}
