//! The switch of a tenant, compiled: what its position asks of requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Members;
use crate::geo::Origin;
use crate::limit::Limits;
use crate::{FirewallPolicy, PathMatch};

/// The position of the switch.
#[derive(Debug)]
pub enum Mode {
    /// Requests are served.
    Normal,
    /// Requests are answered with 503.
    Maintenance(Maintenance),
    /// Requests are served under more.
    UnderAttack(UnderAttack),
}

impl Mode {
    /// As the state, logs and metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Maintenance(_) => "maintenance",
            Self::UnderAttack(_) => "under_attack",
        }
    }

    /// The requests that it is not for; `None`: it is for none in particular.
    pub fn spared(&self) -> Option<&Spared> {
        match self {
            Self::Normal => None,
            Self::Maintenance(maintenance) => Some(&maintenance.spared),
            Self::UnderAttack(attack) => Some(&attack.spared),
        }
    }
}

/// Closed for maintenance.
#[derive(Debug)]
pub struct Maintenance {
    /// Whose requests are served all the same.
    pub spared: Spared,
    /// When clients may try again, in seconds.
    pub retry_after_s: u32,
    /// What they are shown; `None`: the edge's own words.
    pub page: Option<Page>,
}

/// A page of the tenant's own.
#[derive(Debug)]
pub struct Page {
    /// Content-Type header.
    pub content_type: Box<str>,
    /// The body.
    pub body: Arc<[u8]>,
}

/// Under attack. What is raised stands in the routes.
#[derive(Debug)]
pub struct UnderAttack {
    /// Who is served as usual.
    pub spared: Spared,
    /// The limits of those among them whose requests no route takes; `None`: there are none.
    pub spared_limits: Option<Arc<Limits>>,
    /// What browsers have to do; `None`: nothing.
    pub challenge: Option<Challenge>,
}

/// A proof of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// Whether everybody has to bring one; otherwise only those who ask for a page.
    pub is_for_everybody: bool,
    /// How many leading bits of the digest have to be zero.
    pub difficulty_bits: u8,
    /// For how long a proof is good, from when the challenge was made.
    pub valid_for: Duration,
}

/// Requests that a mode is not for.
#[derive(Debug, Default)]
pub struct Spared {
    pub(crate) clients: Members,
    /// What they ask for.
    pub paths: Vec<PathMatch>,
}

impl Spared {
    /// Whether somebody at `address`, of which `origin` is known, is spared whatever is asked for. Allocates nothing.
    pub fn has(&self, address: IpAddr, origin: Origin) -> bool {
        self.clients.find(address, origin).is_some()
    }
}

/// Limits and firewall of requests that a mode is not for.
#[derive(Debug, Clone)]
pub struct Usual {
    /// What limits them; `None`: nothing does.
    pub limits: Option<Arc<Limits>>,
    /// The firewall policy; `None`: the firewall is off.
    pub firewall: Option<Arc<FirewallPolicy>>,
}
