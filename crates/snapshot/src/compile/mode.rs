//! The switch of a tenant. Every position is compiled, whichever is in force, so that an emergency does not find out
//! what is wrong; what is raised under attack is made only then.

use std::sync::Arc;

use veloflux_model::At;
use veloflux_model::desired::{self, Challenged, Firewall, FirewallMode, PathPattern};
use veloflux_model::value::{Count, Period};

use super::route::path_match;
use super::{Compiler, access};
use crate::limit::Limits;
use crate::mode::{Challenge, Maintenance, Mode, Page, Spared, UnderAttack};

/// When clients may try again where nothing else is said, in seconds.
const DEFAULT_RETRY_AFTER_S: u32 = 300;

/// The highest paranoia level.
const MAX_PARANOIA: u64 = 4;

/// What is in force of a tenant that is under attack; `None`: it is not.
pub(super) fn attack(tenant: &desired::Tenant) -> Option<&desired::UnderAttack> {
    (tenant.mode == desired::Mode::UnderAttack).then_some(&tenant.under_attack)
}

impl Compiler<'_> {
    /// `usual_limits` are those of requests that no route takes and that an attack changes nothing for.
    pub(super) fn mode(&mut self, tenant: &desired::Tenant, usual_limits: Option<Arc<Limits>>) -> Mode {
        let desired::Maintenance { retry_after, page, allow } = &tenant.maintenance;
        let maintenance = Maintenance {
            spared: self.spared(allow),
            retry_after_s: retry_after.map_or(DEFAULT_RETRY_AFTER_S, seconds),
            page: page.as_ref().map(|page| Page {
                content_type: page.content_type.as_str().into(),
                body: page.body.as_bytes().into(),
            }),
        };
        let desired::UnderAttack { challenge, allow, .. } = &tenant.under_attack;
        let under_attack = UnderAttack {
            spared: self.spared(allow),
            spared_limits: usual_limits,
            challenge: challenge.map(|challenge| Challenge {
                is_for_everybody: challenge.who == Challenged::Everybody,
                difficulty_bits: challenge.difficulty_bits(),
                valid_for: challenge.valid_for(),
            }),
        };
        match tenant.mode {
            desired::Mode::Normal => Mode::Normal,
            desired::Mode::Maintenance => Mode::Maintenance(maintenance),
            desired::Mode::UnderAttack => Mode::UnderAttack(under_attack),
        }
    }

    fn spared(&mut self, desired::Spared { clients, paths }: &desired::Spared) -> Spared {
        Spared {
            clients: access::members(clients, &self.inputs.access, &mut self.problems),
            paths: paths.iter().map(|path: &PathPattern| path_match(path)).collect(),
        }
    }

    /// A firewall as it is under attack.
    pub(super) fn raised(&self, attack: &desired::UnderAttack, firewall: &Firewall) -> Firewall {
        let mut raised = firewall.clone();
        let settings = firewall.settings(self.baseline);
        let by = attack.raise_paranoia_level.map_or(1, Count::get);
        let level = (u64::from(settings.paranoia_level) + by).min(MAX_PARANOIA);
        if let Ok(level) = Count::new(level) {
            raised.paranoia_level = Some(At::nowhere(level));
        }
        if attack.block && settings.mode == FirewallMode::Detect {
            raised.mode = Some(At::nowhere(FirewallMode::Block));
        }
        raised
    }
}

fn seconds<const MIN: u64, const MAX: u64>(period: Period<MIN, MAX>) -> u32 {
    u32::try_from(period.duration().as_secs()).unwrap_or(u32::MAX)
}
