//! Collections in the memory of this process.
//!
//! Entries are spread over shards by a keyed hash, which nobody outside can aim at, each behind a lock that is held for
//! one operation on one entry. A tenant takes no memory here until a rule of its makes an entry.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::shard::{Shard, TenantNumber};
use super::{Change, Collections, Entry, EntryKey, Excess, Update};
use crate::limits;

/// How many locks there are: far more than cores, so that two requests seldom meet at one.
const SHARDS: usize = 32;

/// What a process keeps at most. Each shard keeps its equal part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries of all tenants.
    pub entries: usize,
    /// Bytes of all tenants.
    pub bytes: usize,
    /// Entries of one tenant.
    pub tenant_entries: usize,
    /// Bytes of one tenant.
    pub tenant_bytes: usize,
}

impl Default for Bounds {
    /// Those of [`limits`].
    fn default() -> Self {
        Self {
            entries: limits::COLLECTION_ENTRIES,
            bytes: limits::COLLECTION_BYTES,
            tenant_entries: limits::TENANT_COLLECTION_ENTRIES,
            tenant_bytes: limits::TENANT_COLLECTION_BYTES,
        }
    }
}

/// The collections of all tenants of a process.
pub struct ProcessCollections {
    shards: Box<[Mutex<Shard>]>,
    /// Of one shard.
    bounds: Bounds,
    hasher: RandomState,
    tenants: AtomicU64,
}

impl ProcessCollections {
    /// Empty ones.
    pub fn new(bounds: Bounds) -> Self {
        let part = |of_all: usize| of_all / SHARDS;
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            bounds: Bounds {
                entries: part(bounds.entries),
                bytes: part(bounds.bytes),
                tenant_entries: part(bounds.tenant_entries),
                tenant_bytes: part(bounds.tenant_bytes),
            },
            hasher: RandomState::new(),
            tenants: AtomicU64::new(0),
        }
    }

    /// The collections of one more tenant: empty, and another's with every call.
    pub fn tenant(self: &Arc<Self>) -> TenantCollections {
        let number = self.tenants.fetch_add(1, Relaxed);
        TenantCollections { all: self.clone(), number, usage: Arc::default() }
    }
}

impl Default for ProcessCollections {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl fmt::Debug for ProcessCollections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCollections").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// The collections of one tenant; they end when this is dropped. There is no way from here to another tenant's.
#[derive(Debug)]
pub struct TenantCollections {
    all: Arc<ProcessCollections>,
    number: TenantNumber,
    usage: Arc<Usage>,
}

impl TenantCollections {
    /// What they take, and what became of them.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    fn shard(&self, key: &EntryKey) -> MutexGuard<'_, Shard> {
        let hash = self.all.hasher.hash_one((self.number, key.bytes()));
        lock(&self.all.shards[hash as usize % SHARDS])
    }
}

impl Collections for TenantCollections {
    fn load(&self, key: &EntryKey, now_s: u64) -> Option<Entry> {
        if self.usage.entries() == 0 {
            return None;
        }
        self.shard(key).load(self.number, key.bytes(), now_s)
    }

    fn change(&self, key: &EntryKey, change: &Change<'_>, at: &Update) -> Result<Option<i64>, Excess> {
        let owner = (self.number, &self.usage);
        self.shard(key).change(owner, key.bytes(), change, at, &self.all.bounds)
    }
}

impl Drop for TenantCollections {
    fn drop(&mut self) {
        if self.usage.entries() > 0 {
            self.all.shards.iter().for_each(|shard| lock(shard).forget(self.number));
        }
    }
}

/// A panic under the lock refused its transaction; the shard may be out of step with its counts, and goes on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters of one tenant's collections.
#[derive(Debug, Default)]
pub struct Usage {
    entries: AtomicU64,
    bytes: AtomicU64,
    evicted: AtomicU64,
}

impl Usage {
    /// Entries kept, those that have expired and wait to be cleared away among them.
    pub fn entries(&self) -> u64 {
        self.entries.load(Relaxed)
    }

    /// What they take, in bytes, as the bounds count it.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Entries that were dropped before their time, because a bound was reached.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    pub(super) fn entry_made(&self) {
        self.entries.fetch_add(1, Relaxed);
    }

    pub(super) fn entry_removed(&self) {
        self.entries.fetch_sub(1, Relaxed);
    }

    pub(super) fn entry_evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    pub(super) fn resized(&self, before: usize, after: usize) {
        self.bytes.fetch_add(after as u64, Relaxed);
        self.bytes.fetch_sub(before as u64, Relaxed);
    }
}

const _: () = {
    // The largest entry has room in a tenant's part of a shard, and all shards add up to the whole.
    let variable = limits::COLLECTION_NAME_BYTES + limits::COLLECTION_VALUE_BYTES + 256;
    let entry = limits::COLLECTION_VARIABLES * variable + limits::COLLECTION_KEY_BYTES + (64 << 10);
    assert!(entry <= limits::TENANT_COLLECTION_BYTES / SHARDS);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::Kind;

    const AT: Update = Update { now_s: 1_000, timeout_s: 60, is_first: true };

    fn key(text: &str) -> EntryKey {
        EntryKey::new(Kind::Ip, "", text.as_bytes()).unwrap()
    }

    fn add(to: &TenantCollections, text: &str) -> i64 {
        to.change(&key(text), &Change::Add { name: b"n", amount: 1 }, &AT).unwrap().unwrap()
    }

    #[test]
    fn racing_additions_each_get_another_sum() {
        const THREADS: i64 = 8;
        const EACH: i64 = 2_000;
        let tenant = Arc::new(ProcessCollections::default()).tenant();
        let count = || (0..EACH).map(|_| add(&tenant, "192.0.2.1")).collect::<Vec<_>>();
        let mut sums = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        sums.sort_unstable();
        assert_eq!(sums, (1..=THREADS * EACH).collect::<Vec<_>>());
    }

    #[test]
    fn a_tenant_sees_its_own_entries_only() {
        let all = Arc::new(ProcessCollections::default());
        let (one, other) = (all.tenant(), all.tenant());
        assert_eq!((add(&one, "a"), add(&one, "a"), add(&other, "a")), (1, 2, 1));
        assert_eq!(other.load(&key("a"), 1_000).unwrap().variables.len(), 1);
        drop(other);
        assert_eq!((all.tenant().load(&key("a"), 1_000), add(&one, "a")), (None, 3));
    }

    #[test]
    fn what_a_dropped_tenant_had_is_gone() {
        let all = Arc::new(ProcessCollections::default());
        let tenant = all.tenant();
        (0..1_000).for_each(|number| assert_eq!(add(&tenant, &number.to_string()), 1));
        let usage = tenant.usage.clone();
        assert_eq!(usage.entries(), 1_000);
        drop(tenant);
        assert_eq!((usage.entries(), usage.bytes(), usage.evicted()), (0, 0, 0));
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_bounds() {
        let bounds = Bounds { entries: 6_400, tenant_entries: 3_200, ..Bounds::default() };
        let tenant = Arc::new(ProcessCollections::new(bounds)).tenant();
        (0..20_000).for_each(|number| assert_eq!(add(&tenant, &number.to_string()), 1));
        let usage = tenant.usage();
        assert!((2_000..=3_200).contains(&usage.entries()), "{usage:?}");
        assert_eq!(usage.entries() + usage.evicted(), 20_000);
    }
}
