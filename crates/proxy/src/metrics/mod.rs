//! Prometheus metrics: what is counted, and the small server that shows it.
//!
//! Everything is read from the counters at the time of a scrape; a request only adds to atomics. Cardinality is
//! bounded: the first [`MAX_TENANTS`] tenants by id have series of their own, the rest are summed under
//! [`OTHER_TENANT`] (whose counters therefore fall when a tenant changes sides; `rate()` takes that for a
//! restart). Requests that belong to no tenant count under [`NO_TENANT`]. Backends are listed up to
//! [`MAX_BACKENDS`]; `veloflux_backends` counts all of them. Of the firewall's rules, the [`MAX_RULES`] that have cost
//! most are listed. Of the limits, the first [`MAX_LIMITS`] by tenant are.

mod collect;
mod origins;
mod server;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use prometheus_client::registry;
use veloflux_snapshot::Snapshot;
use veloflux_snapshot::managed::Managed;
use veloflux_snapshot::runtime::{Registry, TenantState};

use crate::record::Sink;

pub use server::serve;

/// Tenants with series of their own.
pub const MAX_TENANTS: usize = 200;

/// Backends with a series of their own.
pub const MAX_BACKENDS: usize = 1_000;

/// Certificates with a series of their own; those that expire first are shown.
pub const MAX_CERTIFICATES: usize = 1_000;

/// Lists of addresses with a series of their own.
pub const MAX_LISTS: usize = 200;

/// Firewall rules with series of their own; those that have cost most are shown.
pub const MAX_RULES: usize = 50;

/// Limits with series of their own.
pub const MAX_LIMITS: usize = 1_000;

/// The label of all tenants over [`MAX_TENANTS`] together.
pub const OTHER_TENANT: &str = "_other";

/// The label of requests for hosts that are nobody's. No tenant can have this id.
pub const NO_TENANT: &str = veloflux_snapshot::NOBODY;

/// Counters that belong to the process and not to a tenant.
#[derive(Debug)]
pub struct ProcessCounters {
    /// Requests that belong to no tenant.
    pub nobody: Arc<TenantState>,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Desired states that were published.
    pub reloads_accepted: AtomicU64,
    /// Desired states that were refused; the one before stays in force.
    pub reloads_refused: AtomicU64,
    /// Whether the last reload was refused.
    pub last_reload_refused: AtomicBool,
    /// Connections closed at accept because there were too many.
    pub connections_refused: AtomicU64,
    /// Connections whose PROXY header was missing, malformed or forbidden.
    pub connections_broken: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections to the metrics listener that its IP and country rules refused.
    pub metrics_refused: AtomicU64,
}

impl ProcessCounters {
    /// All zero; [`nobody`](Self::nobody) is kept in `registry`.
    pub fn new(registry: &Registry) -> Self {
        Self {
            nobody: registry.tenant(&NO_TENANT.into()),
            retries: AtomicU64::default(),
            reloads_accepted: AtomicU64::default(),
            reloads_refused: AtomicU64::default(),
            last_reload_refused: AtomicBool::default(),
            connections_refused: AtomicU64::default(),
            connections_broken: AtomicU64::default(),
            handshakes_failed: AtomicU64::default(),
            metrics_refused: AtomicU64::default(),
        }
    }

    /// Counts a reload by what became of it.
    pub fn reloaded(&self, accepted: bool) {
        let counter = if accepted { &self.reloads_accepted } else { &self.reloads_refused };
        counter.fetch_add(1, Relaxed);
        self.last_reload_refused.store(!accepted, Relaxed);
    }
}

/// Where a scrape reads from.
pub struct Sources {
    /// The current snapshot.
    pub snapshot: Box<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// Milliseconds on the process clock, for ejections.
    pub now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Memory that limits take for what they remember, in bytes.
    pub limit_bytes: Box<dyn Fn() -> usize + Send + Sync>,
    /// The process's own counters.
    pub process: Arc<ProcessCounters>,
    /// Counters of orders for certificates.
    pub managed: Arc<Managed>,
    /// The logs, by name, for the lines that they dropped.
    pub logs: Vec<(&'static str, Sink)>,
    /// The program's version.
    pub version: &'static str,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Everything `/metrics` shows.
#[derive(Debug)]
pub struct Metrics(registry::Registry);

impl Metrics {
    /// Metrics read from `sources` at each scrape.
    pub fn new(sources: Sources) -> Self {
        let mut registry = registry::Registry::default();
        registry.register_collector(Box::new(collect::Reading(sources)));
        Self(registry)
    }

    /// The metrics as text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
