//! The pools of a snapshot, for those who watch them.

use std::collections::HashSet;
use std::sync::Arc;

use veloflux_snapshot::{Action, Pool, Snapshot, Tenant};

/// Every pool that some route forwards to, once, with its tenant.
pub(crate) fn pools(snapshot: &Snapshot) -> impl Iterator<Item = (&Tenant, &Arc<Pool>)> {
    let mut seen = HashSet::new();
    snapshot
        .tenants
        .iter()
        .flat_map(|tenant| tenant.routes.iter().map(move |route| (&**tenant, route)))
        .filter_map(|(tenant, route)| match &route.action {
            Action::Forward { pool, .. } => Some((tenant, pool)),
            Action::Redirect { .. } | Action::Respond { .. } => None,
        })
        .filter(move |(_, pool)| seen.insert(pool.id.clone()))
}
