//! The stage of the tenant's mode: closed for maintenance, or under attack.
//!
//! Policy:
//!
//! - A mode only ever takes away. Who passes it has still to pass IP and country rules, limits and the firewall; those that
//!   a mode is not for are held to what holds otherwise.
//! - Closed for maintenance, everything is answered with 503 and `Retry-After` (RFC 9110 section 15.6.4).
//! - Under attack, limits and firewall are the stricter ones of the route. Where a proof of work is demanded, who brings
//!   none is refused with 403: browsers are shown a page that makes one (`proof`, `page`), others are told.
//! - Whoever is over a limit is refused before that: making challenges has its price, too.

mod page;
mod proof;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use veloflux_snapshot::Tenant;
use veloflux_snapshot::mode::{Challenge, Maintenance, Mode};

use crate::answer::{self, Rejection};
use crate::core::Core;
use crate::head::{Fields, Known, RequestHead};
use crate::observe::Observation;
use crate::record::ModeOutcome;
use crate::route;

/// Whether the tenant's mode is not for a request for `path`, which is in normal form.
pub(crate) fn is_spared(tenant: &Tenant, path: &[u8], observed: &mut Observation<'_>) -> bool {
    let Some(spared) = tenant.mode.spared() else { return false };
    let is_spared = spared.has(observed.client_ip(), observed.known_origin())
        || spared.paths.iter().any(|wanted| route::matches_path(wanted, path));
    observed.mode(&tenant.mode, if is_spared { ModeOutcome::Spared } else { ModeOutcome::Passed });
    is_spared
}

/// Lets a request that is not spared pass, or refuses it; with a page of its own, or else with the rejection's words.
pub(crate) fn admit(
    core: &Core,
    tenant: &Tenant,
    head: &RequestHead,
    observed: &mut Observation<'_>,
) -> Result<(), Refusal> {
    match &tenant.mode {
        Mode::Normal => Ok(()),
        Mode::Maintenance(maintenance) => {
            tenant.state.maintenance_refused.fetch_add(1, Relaxed);
            observed.mode(&tenant.mode, ModeOutcome::Refused);
            Err(closed(maintenance))
        }
        Mode::UnderAttack(attack) => match &attack.challenge {
            Some(challenge) => demand_proof(core, tenant, challenge, head, observed),
            None => Ok(()),
        },
    }
}

/// A refusal by the tenant's mode.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) rejection: Rejection,
    /// What is shown in place of the rejection's words.
    pub(crate) page: Option<Page>,
}

/// A page, and what its header says of it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) fields: Fields,
    pub(crate) body: Arc<[u8]>,
}

fn closed(maintenance: &Maintenance) -> Refusal {
    let Maintenance { retry_after_s, page, spared: _ } = maintenance;
    let page = page.as_ref().map(|page| {
        let mut fields = fields(&page.content_type);
        fields.push(b"Retry-After", retry_after_s.to_string().as_bytes());
        Page { fields, body: page.body.clone() }
    });
    Refusal { rejection: Rejection::Maintenance { retry_after_s: *retry_after_s }, page }
}

fn demand_proof(
    core: &Core,
    tenant: &Tenant,
    challenge: &Challenge,
    head: &RequestHead,
    observed: &mut Observation<'_>,
) -> Result<(), Refusal> {
    let wants_page = answer::prefers_html(head.fields.values(Known::Accept));
    let is_read = matches!(head.method(), b"GET" | b"HEAD");
    let is_asked = challenge.is_for_everybody || (wants_page && is_read);
    if !is_asked {
        return Ok(());
    }
    let key = &core.config.cookie_key;
    let worker = proof::Worker { tenant: &tenant.id, client: observed.client_ip() };
    let now_s = observed.unix_us / 1_000_000;
    if proof::is_among(head.fields.values(Known::Cookie), key, &worker, challenge, now_s) {
        observed.mode(&tenant.mode, ModeOutcome::Proved);
        return Ok(());
    }
    tenant.state.challenged.fetch_add(1, Relaxed);
    observed.mode(&tenant.mode, ModeOutcome::Challenged);
    let page = wants_page.then(|| {
        let mut fields = fields("text/html; charset=utf-8");
        fields.push(b"Content-Security-Policy", page::POLICY.as_bytes());
        let asked = proof::challenge(key, &worker, challenge, now_s);
        let body = page::render(&asked, challenge, is_read, observed.request_id());
        Page { fields, body: body.into_bytes().into() }
    });
    Err(Refusal { rejection: Rejection::ProofRequired, page })
}

/// The fields of every such page.
fn fields(content_type: &str) -> Fields {
    let mut fields = Fields::default();
    fields.push(b"Content-Type", content_type.as_bytes());
    fields.push(b"Cache-Control", b"no-store");
    fields.push(b"X-Content-Type-Options", b"nosniff");
    fields
}
