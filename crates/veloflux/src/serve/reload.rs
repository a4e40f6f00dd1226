//! Taking in a changed state: everything is built first, then swapped in at once; what has an error changes nothing.
//!
//! Files are looked at every second. A change counts once two looks in a row agree, so that a file that is being
//! written, or several that are copied one after the other, are taken in when that has come to rest. With very many
//! files the looks come less often, so that they take no more than a fiftieth of one core.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use veloflux_proxy::metrics::ProcessCounters;
use veloflux_snapshot::{Lapsed, Publisher, Reader};

use crate::failure::Outcome;
use crate::load::Loader;

/// From one look at the files to the next, at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a look is at least this many times as long as the look.
const LOOK_PAUSE: u32 = 50;

/// A loader whose results are published.
pub(crate) struct Reloads {
    loader: Arc<Mutex<Loader>>,
    publisher: Publisher,
    counters: Arc<ProcessCounters>,
    watch: bool,
}

impl Reloads {
    /// Loads for the first time; here an error is the end of the start.
    pub(crate) fn first(mut loader: Loader, watch: bool) -> Outcome<Self> {
        let publisher = Publisher::new(loader.load(1, Lapsed::Serve)?);
        let counters = Arc::new(ProcessCounters::new(loader.registry()));
        Ok(Self { loader: Arc::new(Mutex::new(loader)), publisher, counters, watch })
    }

    /// What `/metrics` shows of the process, reloads among it.
    pub(crate) fn counters(&self) -> Arc<ProcessCounters> {
        self.counters.clone()
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
        let served = Lapsed::ServeAsIn(self.reader().current());
        let loader = self.loader.clone();
        let loaded = tokio::task::spawn_blocking(move || lock(&loader).load(revision, served)).await;
        match loaded {
            Ok(Ok(snapshot)) => {
                let tenants = snapshot.tenants.len();
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

/// A load that panicked leaves a loader that can load again: each load reads everything anew.
fn lock(loader: &Mutex<Loader>) -> MutexGuard<'_, Loader> {
    loader.lock().unwrap_or_else(PoisonError::into_inner)
}
