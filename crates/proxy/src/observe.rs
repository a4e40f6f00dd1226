//! What is learnt of a request on its way through the stages, and where it goes in the end: the tenant's counters,
//! the access log and the event log.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use veloflux_snapshot::{Backend, Route, Tenant};

use crate::accept::ConnectionInfo;
use crate::answer::Rejection;
use crate::core::Core;
use crate::firewall::Outcome;
use crate::head::RequestHead;

/// One request, observed.
pub(crate) struct Observation<'a> {
    core: &'a Core,
    info: &'a ConnectionInfo,
    pub(crate) begun: Instant,
    pub(crate) unix_us: u64,
    id: String,
    client: IpAddr,
    client_text: String,
    tenant: Option<Arc<Tenant>>,
    route: Option<Arc<str>>,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) retries: u32,
    pub(crate) tls: bool,
}

impl<'a> Observation<'a> {
    pub(crate) fn begin(core: &'a Core, info: &'a ConnectionInfo) -> Self {
        core.shared.requests.fetch_add(1, Relaxed);
        Self { core, info, begun: Instant::now(), unix_us: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64),
            id: format!("{:032x}", core.rng.borrow_mut().u128(..)), client: info.peer.ip(), client_text: info.peer.ip().to_string(), tenant: None, route: None, status: 0, bytes_in: 0, bytes_out: 0, retries: 0, tls: info.is_tls() }
    }
    pub(crate) fn request_id(&self) -> &str { &self.id }
    pub(crate) fn client_ip(&self) -> IpAddr { self.client }
    pub(crate) fn client_text(&self) -> &str { &self.client_text }
    pub(crate) fn client_hash(&self) -> u64 { 0 }
    pub(crate) fn tenant(&mut self, tenant: &Arc<Tenant>) { self.tenant = Some(tenant.clone()); }
    pub(crate) fn route(&mut self, route: &Route) { self.route = Some(route.name.clone()); }
    pub(crate) fn client(&mut self, ip: IpAddr) { if ip != self.client { self.client = ip; self.client_text = ip.to_string(); } }
    pub(crate) fn upstream(&mut self, _: &Backend, _: Instant) {}
    pub(crate) fn response_from_backend(&mut self, _: u16) {}
    pub(crate) fn upgraded(&mut self) {}
    pub(crate) fn rejected(&mut self, _: &Rejection) {}
    pub(crate) fn finish(self, _: Option<&RequestHead>, _: Option<Outcome>) { self.core.shared.requests.fetch_sub(1, Relaxed); let _ = self.info; }
}
