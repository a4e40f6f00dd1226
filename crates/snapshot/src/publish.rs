//! One writer swaps snapshots in whole; many readers take the current one without a lock.
//!
//! A reader holds what it took for as long as it serves from it: a request sees one revision from its head to its
//! record, whatever is published meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;

use crate::Snapshot;

/// Swaps snapshots in.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Publisher {
    /// Starts with `first`.
    pub fn new(first: Snapshot) -> Self {
        take_effect(&first);
        Self { current: Arc::new(ArcSwap::from_pointee(first)) }
    }

    /// Replaces the current snapshot; every reader sees it from its next look on.
    pub fn publish(&self, next: Snapshot) {
        take_effect(&next);
        self.current.store(Arc::new(next));
    }

    /// A reader of what is current.
    pub fn reader(&self) -> Reader {
        Reader { current: self.current.clone() }
    }

    /// Number of the current revision.
    pub fn revision(&self) -> u64 {
        self.current.load().revision
    }
}

/// Tells the states that outlive snapshots what this one asks of them.
fn take_effect(snapshot: &Snapshot) {
    for backend in snapshot.pools().flat_map(|pool| &pool.backends) {
        backend.state.draining.store(backend.drain, Relaxed);
    }
}

/// Reads the current snapshot; cheap to clone and to send to other threads.
#[derive(Debug, Clone)]
pub struct Reader {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Reader {
    /// The current snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader for one thread that touches shared memory only to see whether there is something new.
    pub fn cached(&self) -> CachedReader {
        CachedReader { cache: arc_swap::Cache::new(self.current.clone()) }
    }
}

/// A thread's own reader.
#[derive(Debug, Clone)]
pub struct CachedReader {
    cache: arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl CachedReader {
    /// The current snapshot.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}
