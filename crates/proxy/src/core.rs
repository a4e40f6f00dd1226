//! What one serving thread has for itself, and what all of them share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::Instant;
use veloflux_snapshot::limit::AtOnce;
use veloflux_snapshot::{CachedReader, Snapshot};

use crate::config::EdgeConfig;
use crate::drain::Drain;
use crate::limit::Tables;
use crate::metrics::ProcessCounters;
use crate::record::Lines;
use crate::scratch::Scratches;
use crate::tls::Tls;
use crate::upstream::Connections;

/// What all cores share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Client connections open.
    pub(crate) connections: AtomicUsize,
    /// Requests being served.
    pub(crate) requests: AtomicUsize,
    /// What limits remember.
    pub(crate) limits: Arc<Tables>,
    /// How many connections a client may have, whichever tenant they are for.
    pub(crate) per_client: Option<AtOnce>,
}

/// One serving thread's world. Not shared, not locked.
pub(crate) struct Core {
    /// Which of the serving threads this is, from 0.
    pub(crate) number: usize,
    pub(crate) config: Arc<EdgeConfig>,
    pub(crate) snapshots: RefCell<CachedReader>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<ProcessCounters>,
    pub(crate) upstreams: Connections,
    pub(crate) drain: Drain,
    /// Connections open on this core.
    pub(crate) connections: Cell<usize>,
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) access_log: Lines,
    pub(crate) event_log: Lines,
    pub(crate) scratches: Scratches,
    /// See [`Core::recent`].
    pub(crate) clock: Cell<Instant>,
    /// The process clock's zero.
    pub(crate) epoch: Instant,
}

/// Milliseconds since `epoch`; see [`Core::now_ms`].
pub(crate) fn process_clock_ms(epoch: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(epoch).as_millis() as u64 + 1
}

impl Core {
    /// The current snapshot, for one request from its head to its record.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow_mut().current().clone()
    }

    /// Reads the clock.
    pub(crate) fn now(&self) -> Instant {
        let now = Instant::now();
        self.clock.set(now);
        now
    }

    /// The last reading that any request of this core made: good for deadlines that begin where a request has
    /// just ended.
    pub(crate) fn recent(&self) -> Instant {
        self.clock.get()
    }

    /// Milliseconds on the process clock; never 0, which means "never" in the runtime state.
    pub(crate) fn now_ms(&self, now: Instant) -> u64 {
        process_clock_ms(self.epoch, now)
    }

    /// Nanoseconds on the process clock.
    pub(crate) fn now_ns(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// Periodic work: idle connections to backends are closed in time.
    pub(crate) async fn housekeeping(&self) {
        const PERIOD: Duration = Duration::from_secs(2);
        loop {
            tokio::time::sleep(PERIOD).await;
            self.upstreams.sweep();
        }
    }
}
