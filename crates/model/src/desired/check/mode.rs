//! The switch of a tenant: what its positions mean is held to the same bounds as what holds otherwise.

use super::{Check, MAX_RESPONSE_BODY};
use crate::desired::{Spared, Tenant};
use crate::located::Position;

/// Most paths that a mode is not for; each is compared with the path of every request.
const MAX_PATHS: usize = 64;

impl Check {
    pub(super) fn modes(&mut self, at: Position, tenant: &Tenant) {
        if let Some(page) = &tenant.maintenance.page {
            self.length("bytes in `body`", page.body.position(), page.body.len(), 0, MAX_RESPONSE_BODY);
        }
        self.spared(at, &tenant.maintenance.allow);
        if let Some(limits) = &tenant.under_attack.limits {
            self.limits(at, limits);
        }
        self.spared(at, &tenant.under_attack.allow);
    }

    fn spared(&mut self, at: Position, Spared { clients, paths }: &Spared) {
        self.problems.extend(clients.problems(at));
        self.length("paths in `allow`", at, paths.len(), 0, MAX_PATHS);
    }
}
