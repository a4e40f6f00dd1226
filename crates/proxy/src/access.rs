//! The stage of IP and country rules: who may ask at all, by address, country and network.
//!
//! It judges the client's address behind trusted proxies, so what anybody else writes into a forwarding header changes
//! nothing. Where the process has geographic databases, what they know of the client is looked up once, for the rules,
//! the logs and the choice of a backend.

use std::net::IpAddr;
use std::sync::Arc;

use veloflux_snapshot::{AccessAction, AccessPolicy, AccessRule, Origin, Snapshot};

use crate::answer::Rejection;
use crate::observe::Observation;
use crate::record::EventAction;

/// Lets the request pass, or refuses it.
pub(crate) fn judge(
    snapshot: &Snapshot,
    rules: &[Arc<AccessPolicy>],
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let client = observed.client_ip();
    if let Some(geo) = &snapshot.geo {
        observed.origin(geo.origin(client));
    }
    for policy in rules {
        let Some(denial) = policy.judge(client, observed.known_origin()) else { continue };
        let blocked = policy.action == AccessAction::Block;
        observed.denied(Denied { rule: denial.rule, list: denial.list.cloned(), blocked });
        if blocked {
            return Err(Rejection::Denied);
        }
    }
    Ok(())
}

/// What is to be done about a peer of the metrics listener; `None`: it is welcome.
pub(crate) fn at_metrics(snapshot: &Snapshot, peer: IpAddr) -> Option<AccessAction> {
    let policy = snapshot.metrics_access.as_ref()?;
    let origin = snapshot.geo.as_ref().map_or_else(Origin::default, |geo| geo.origin(peer));
    policy.judge(peer, origin).map(|_| policy.action)
}

/// What the rules said against a request.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    /// The kind of rule.
    pub(crate) rule: AccessRule,
    /// The list that has the client's address, where it stands in a file.
    pub(crate) list: Option<Arc<str>>,
    /// Whether the request was refused.
    pub(crate) blocked: bool,
}

impl Denied {
    /// As logs name what was done.
    pub(crate) fn action(&self) -> EventAction {
        if self.blocked { EventAction::Blocked } else { EventAction::Logged }
    }
}
