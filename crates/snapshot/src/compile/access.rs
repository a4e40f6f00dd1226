//! IP and country rules: lists are looked up among those that were read, and what only a geographic database can tell
//! needs one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use veloflux_model::addresses::AddressList;
use veloflux_model::desired::{self, Access, Algorithm, Desired, Origins};
use veloflux_model::located::Position;
use veloflux_model::{Problem, value::Country};

use super::Compiler;
use crate::access::{AccessAction, AccessPolicy, Members};
use crate::geo::Geo;

/// What IP and country rules are judged by.
#[derive(Debug, Default)]
pub struct AccessData {
    /// Every list that the rules name, by path as written; or why it cannot be used.
    pub lists: HashMap<String, Result<Arc<AddressList>, String>>,
    /// The geographic databases, if there are any.
    pub geo: Option<Arc<Geo>>,
}

/// Every list of addresses that `state` names, as written there.
pub fn lists_named(state: &Desired) -> BTreeSet<&str> {
    state
        .tenants
        .iter()
        .flat_map(|tenant| {
            let rules = tenant.routes.iter().map(|route| &route.access).chain([&tenant.access]);
            let spared = [&tenant.maintenance.allow, &tenant.under_attack.allow];
            rules.flat_map(Access::files).chain(spared.into_iter().flat_map(|spared| spared.clients.files()))
        })
        .collect()
}

/// Compiles rules; `None` where there are none. What is wrong is added to `problems`.
pub fn access(access: &Access, data: &AccessData, problems: &mut Vec<Problem>) -> Option<Arc<AccessPolicy>> {
    let Access { action, inherit: _, exempt, deny, allow_only } = access;
    if exempt.is_empty() && deny.is_empty() && allow_only.is_none() {
        return None;
    }
    let mut members = |origins| members(origins, data, problems);
    Some(Arc::new(AccessPolicy {
        action: match action {
            desired::AccessAction::Block => AccessAction::Block,
            desired::AccessAction::Log => AccessAction::Log,
        },
        exempt: members(exempt),
        deny: members(deny),
        allow_only: allow_only.as_ref().map(|origins| members(origins.value())),
    }))
}

pub(super) fn members(origins: &Origins, data: &AccessData, problems: &mut Vec<Problem>) -> Members {
    let Origins { addresses, files, countries, asns } = origins;
    let geo = data.geo.as_deref();
    if let Some(first) = countries.first().filter(|_| !geo.is_some_and(Geo::has_countries)) {
        problems.push(no_database(first.position(), "countries"));
    }
    if let Some(first) = asns.first().filter(|_| !geo.is_some_and(Geo::has_asns)) {
        problems.push(no_database(first.position(), "AS numbers"));
    }
    let mut lists: Vec<Arc<AddressList>> = Vec::with_capacity(files.len());
    for path in files {
        match data.lists.get(path.as_str()) {
            Some(Ok(list)) => lists.push(list.clone()),
            failed => {
                let why =
                    failed.and_then(|read| read.as_ref().err()).map_or("it was not read", String::as_str);
                let problem =
                    Problem::new(path.position(), format!("the list `{path}` cannot be used: {why}"));
                problems.push(problem.hint("one network or address on each line; `#` begins a comment"));
            }
        }
    }
    let mut asns: Vec<u32> = asns.iter().map(|asn| asn.get_u32()).collect();
    asns.sort_unstable();
    Members {
        addresses: addresses.iter().copied().collect(),
        lists,
        countries: countries.iter().map(|country| country.country()).collect(),
        asns: asns.into(),
    }
}

fn no_database(at: Position, of: &str) -> Problem {
    Problem::new(at, format!("no geographic database tells {of}"))
        .hint("have the operator list one under `geo.databases` in the process file")
}

impl Compiler<'_> {
    pub(super) fn access(&mut self, access: &Access) -> Option<Arc<AccessPolicy>> {
        super::access(access, &self.inputs.access, &mut self.problems)
    }

    /// How far each backend of a pool is from each country, where the pool asks.
    pub(super) fn distances(&mut self, pool: &desired::Pool) -> Vec<u16> {
        if pool.algorithm != Algorithm::GeoProximity {
            return Vec::new();
        }
        if !self.inputs.access.geo.as_deref().is_some_and(Geo::has_countries) {
            self.problems.push(no_database(pool.name.position(), "countries, which `geo_proximity` needs"));
        }
        let backends = || pool.backends.iter().filter_map(|backend| backend.country);
        Country::all().flat_map(|from| backends().map(move |to| from.distance_km(to))).collect()
    }
}
