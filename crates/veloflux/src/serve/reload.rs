//! Taking in a changed state: everything is built first, then swapped in at once; what has an error changes nothing.
//!
//! Files are looked at every second. A change counts once two looks in a row agree, so that a file that is being
//! written, or several that are copied one after the other, are taken in when that has come to rest. With very many
//! files the looks come less often, so that they take no more than a fiftieth of one core.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use veloflux_proxy::metrics::ProcessCounters;
use veloflux_snapshot::managed::Managed;
use veloflux_snapshot::{Lapsed, Publisher, Reader, Snapshot};

use super::ordering::Ordering;
use crate::failure::Outcome;
use crate::load::{Loader, ProcessFile};

/// From one look at the files to the next, at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for more certificates before those that were issued are published.
const ISSUED_PAUSE: Duration = Duration::from_millis(100);

/// The pause after a look is at least this many times as long as the look.
const LOOK_PAUSE: u32 = 50;

/// A loader whose results are published.
pub(crate) struct Reloads {
    loader: Arc<Mutex<Loader>>,
    publisher: Publisher,
    counters: Arc<ProcessCounters>,
    managed: Arc<Managed>,
    ordering: Option<Ordering>,
    watch: bool,
}

impl Reloads {
    /// Loads for the first time, what `process` or in its stead the command line names as state; here an error is the end
    /// of the start.
    pub(crate) fn first(process: &ProcessFile, state: Option<&Path>) -> Outcome<Self> {
        let mut loader = process.loader(state);
        let watch = process.process.reload.watch;
        let managed = loader.managed();
        // Certificates of an earlier process are there before the first client is.
        let ordering = Ordering::open(process, managed.clone())?;
        let publisher = Publisher::new(loader.load(1, Lapsed::Serve)?);
        let counters = Arc::new(ProcessCounters::new(loader.registry()));
        Ok(Self { loader: Arc::new(Mutex::new(loader)), publisher, counters, managed, ordering, watch })
    }

    /// What `/metrics` shows of the process, reloads among it.
    pub(crate) fn counters(&self) -> Arc<ProcessCounters> {
        self.counters.clone()
    }

    /// What is shared by those who order certificates and those who serve them.
    pub(super) fn managed(&self) -> Arc<Managed> {
        self.managed.clone()
    }

    /// Orders certificates from now on, if any are to be ordered.
    pub(super) fn begin_ordering(&self) -> Outcome {
        self.ordering.as_ref().map_or(Ok(()), |ordering| ordering.begin(self.reader()))
    }

    /// Waits until certificates were issued that no snapshot has yet.
    pub(super) async fn issued(&self) {
        match &self.ordering {
            Some(ordering) => ordering.issued().await,
            None => std::future::pending().await,
        }
    }

    /// Publishes the desired state that is in force with the certificates issued since. No file is read again: what may be
    /// wrong with one by now keeps no certificate out.
    pub(super) async fn publish_issued(&self) {
        // Those that come close together are published together.
        tokio::time::sleep(ISSUED_PAUSE).await;
        let next = self.reader().current().with_issued(&self.managed.issued());
        let revision = next.revision;
        self.publisher.publish(next);
        tracing::info!(revision, "issued certificates are served");
    }

    pub(crate) fn reader(&self) -> Reader {
        self.publisher.reader()
    }

    /// Waits until the files have changed and come to rest; for ever where they are not watched.
    pub(crate) async fn changed(&self) {
        if !self.watch {
            return std::future::pending().await;
        }
        let mut before = None;
        let mut pause = LOOK_INTERVAL;
        loop {
            tokio::time::sleep(pause).await;
            let begun = Instant::now();
            let now = lock(&self.loader).look();
            pause = LOOK_INTERVAL.max(begun.elapsed() * LOOK_PAUSE);
            if before.as_ref() == Some(&now) && now != *lock(&self.loader).loaded() {
                return;
            }
            before = Some(now);
        }
    }

    /// Loads everything anew and swaps it in, or says why not. The edge's own threads serve on meanwhile.
    pub(crate) async fn reload(&self, cause: &'static str) {
        let revision = self.publisher.revision() + 1;
        let before = self.reader().current();
        let served = Lapsed::ServeAsIn(before.clone());
        let loader = self.loader.clone();
        let loaded = tokio::task::spawn_blocking(move || lock(&loader).load(revision, served)).await;
        match loaded {
            Ok(Ok(snapshot)) => {
                let tenants = snapshot.tenants.len();
                tell_switches(Some(&before), &snapshot);
                self.publisher.publish(snapshot);
                self.counters.reloaded(true);
                tracing::info!(cause, revision, tenants, "reloaded");
            }
            Ok(Err(report)) => {
                self.counters.reloaded(false);
                tracing::error!(cause, "the new state is refused, the old one stays in force:\n{report}");
            }
            Err(error) => {
                self.counters.reloaded(false);
                tracing::error!(cause, %error, "the reload failed, the old state stays in force");
            }
        }
    }
}

/// Tells whose switch was turned: a site that closes, or says that it is attacked, is the operator's business, too.
pub(super) fn tell_switches(before: Option<&Snapshot>, now: &Snapshot) {
    let before = before.iter().flat_map(|before| &before.tenants);
    let known: HashMap<&str, &str> = before.map(|t| (&*t.id, t.mode.name())).collect();
    for tenant in &now.tenants {
        let mode = tenant.mode.name();
        let was = known.get(&*tenant.id).copied().unwrap_or("normal");
        if was != mode {
            tracing::warn!(tenant = &*tenant.id, mode, was, "the mode of a tenant was changed");
        }
    }
}

/// A load that panicked leaves a loader that can load again: each load reads everything anew.
fn lock(loader: &Mutex<Loader>) -> MutexGuard<'_, Loader> {
    loader.lock().unwrap_or_else(PoisonError::into_inner)
}
