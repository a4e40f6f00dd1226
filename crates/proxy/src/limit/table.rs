//! The table of keys: one word of state for each of very many keys, in memory that is bounded.
//!
//! Policy:
//!
//! - An entry is one 128-bit word: 16 bits that tell tenants apart, 48 bits of the key's hash, and 64 bits of state.
//!   The hash is keyed anew for each process and 128 bits wide; its other half says where the entry may be, so that two
//!   keys share an entry with a chance of one in 2^48 for each of the few entries that are looked at.
//! - An entry is changed and taken over by compare-and-swap of the whole word: no core waits for another, and nothing
//!   that one core counts is lost to another.
//! - An entry whose state says nothing any more (a theoretical arrival time that has passed, a count of none) is free for
//!   any key. No other ever is: there is no eviction, and so nobody is forgiven early.
//! - A key may be in one bucket of eight entries in each of several levels, of which each is sixteen times as large as
//!   the one before; in the last, in the emptier of two. Levels are made of shards of 64 KiB, each made when the first
//!   key comes to it. So few keys take 64 KiB, and very many what the table was given, never more.
//! - One tenant may hold six entries of a bucket, so that one tenant's flood leaves room for others.
//! - A key for which there is no free entry is [`Full`]; whoever asks counts it together with all such keys.
//! - Two cores that see a new key at the same moment, while an entry of its buckets is taken or runs out between their
//!   looks, may both take one for it: one of the two first requests is then not counted. That is the only inexactness.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use once_cell::race::OnceBox;
use portable_atomic::AtomicU128;

/// Entries of a bucket: two cache lines.
const BUCKET: usize = 8;

/// Buckets of a shard.
const BUCKETS: usize = 512;

/// Memory of a shard, in bytes.
const SHARD_BYTES: usize = BUCKETS * BUCKET * size_of::<AtomicU128>();

/// How much larger a level is than the one before.
const GROWTH: usize = 16;

/// Entries of a bucket that one tenant may hold.
const TENANT_SHARE: usize = 6;

/// A key as it is looked up. It cannot be turned back into what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Tenant and half of the hash: what an entry is known by.
    tag: u64,
    /// The other half: where the entry may be.
    place: u64,
}

impl Key {
    /// A key of the tenant with this mark.
    pub(crate) fn new(tenant_mark: u16, hash: u128) -> Self {
        let tag = u64::from(tenant_mark) << 48 | (hash as u64) >> 16;
        Self { tag, place: (hash >> 64) as u64 }
    }
}

/// There is no room for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
#[repr(align(128))]
struct Bucket([AtomicU128; BUCKET]);

type Shard = [Bucket; BUCKETS];

/// Keys with a word of state each.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[OnceBox<Shard>]>,
    /// First shard and number of shards of each level.
    levels: Vec<(usize, usize)>,
}

impl Table {
    /// A table that takes at most `memory_bytes`, and a shard at least.
    pub(super) fn new(memory_bytes: usize) -> Self {
        let total = (memory_bytes / SHARD_BYTES).max(1);
        let mut levels = Vec::new();
        let (mut first, mut length) = (0, 1);
        while first < total {
            let taken = (total - first).min(length);
            levels.push((first, taken));
            first += taken;
            length *= GROWTH;
        }
        Self { shards: (0..total).map(|_| OnceBox::new()).collect(), levels }
    }

    /// Memory that the table has taken so far, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let made = self.shards.iter().filter(|shard| shard.get().is_some()).count();
        made * SHARD_BYTES + self.shards.len() * size_of::<OnceBox<Shard>>()
    }

    /// Changes the state of `key`. `change` is given what it is, 0 for a new key, and gives what it becomes, if it
    /// changes, with a result; it may be asked again when another core was faster. A state that `is_free` need not be
    /// kept.
    pub(super) fn update<R>(
        &self,
        key: Key,
        is_free: impl Fn(u64) -> bool,
        mut change: impl FnMut(u64) -> (Option<u64>, R),
    ) -> Result<R, Full> {
        loop {
            let (entry, word) = match self.find(key, &is_free) {
                Found::Entry(entry, word) => (entry, word),
                Found::Unmade(shard) => {
                    // Another core that makes it at the same time may be faster; then its shard counts.
                    shard.get_or_init(new_shard);
                    continue;
                }
                Found::Nothing => return Err(Full),
            };
            let state = if tag(word) == key.tag { word as u64 } else { 0 };
            let (next, result) = change(state);
            let Some(next) = next else { return Ok(result) };
            let next = u128::from(key.tag) << 64 | u128::from(next);
            if entry.compare_exchange(word, next, AcqRel, Acquire).is_ok() {
                return Ok(result);
            }
        }
    }

    /// The key's entry; or else one that it may take: in the first level that has one, in the emptier bucket of two.
    fn find(&self, key: Key, is_free: impl Fn(u64) -> bool) -> Found<'_> {
        let mut vacant = Found::Nothing;
        let mut vacant_at = (usize::MAX, BUCKET);
        for (level, shard, bucket) in self.places(key) {
            let Some(made) = shard.get() else {
                // Nothing can be behind it either: a level is begun only when the key's place in the one before is full.
                return if matches!(vacant, Found::Nothing) { Found::Unmade(shard) } else { vacant };
            };
            let mut free = None;
            let (mut held, mut held_by_tenant) = (0, 0);
            for entry in &made[bucket].0 {
                let word = entry.load(Acquire);
                if tag(word) == key.tag {
                    return Found::Entry(entry, word);
                }
                if is_free(word as u64) {
                    free = free.or(Some((entry, word)));
                } else {
                    held += 1;
                    held_by_tenant += usize::from(tag(word) >> 48 == key.tag >> 48);
                }
            }
            let is_better = vacant_at.0 == usize::MAX || (level == vacant_at.0 && held < vacant_at.1);
            if let (Some((entry, word)), true) = (free, is_better && held_by_tenant < TENANT_SHARE) {
                vacant = Found::Entry(entry, word);
                vacant_at = (level, held);
            }
        }
        vacant
    }

    /// Where a key's entry may be, in the order in which places are taken: the level, a shard, a bucket.
    fn places(&self, key: Key) -> impl Iterator<Item = (usize, &OnceBox<Shard>, usize)> {
        let last = self.levels.len() - 1;
        (0..=last).chain([last]).zip(0_u32..).map(move |(level, turn)| {
            let (first, length) = self.levels[level];
            let hash = key.place.rotate_left(turn * 11);
            let shard = ((hash >> 32) as usize * length) >> 32;
            (level, &self.shards[first + shard], hash as usize % BUCKETS)
        })
    }
}

enum Found<'t> {
    /// The key's own entry, or a free one, with what was read from it.
    Entry(&'t AtomicU128, u128),
    /// A shard that is to be made first.
    Unmade(&'t OnceBox<Shard>),
    Nothing,
}

fn tag(word: u128) -> u64 {
    (word >> 64) as u64
}

fn new_shard() -> Box<Shard> {
    let bucket = || Bucket(std::array::from_fn(|_| AtomicU128::new(0)));
    let buckets: Box<[Bucket]> = std::iter::repeat_with(bucket).take(BUCKETS).collect();
    // The length is the array's, so this is the same memory.
    buckets.try_into().unwrap_or_else(|_| unreachable!("{BUCKETS} buckets"))
}

#[cfg(test)]
impl Key {
    /// A key for each number, spread as hashes are (splitmix64's finaliser).
    pub(super) fn numbered(tenant_mark: u16, number: u64) -> Self {
        let mix = |mut x: u64| {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let [high, low] =
            [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03].map(|seed: u64| mix(number.wrapping_add(seed)));
        Self::new(tenant_mark, u128::from(high) << 64 | u128::from(low))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Counts up; a state of 0 is free.
    fn add(table: &Table, key: Key) -> Result<u64, Full> {
        table.update(key, |state| state == 0, |state| (Some(state + 1), state + 1))
    }

    fn get(table: &Table, key: Key) -> Result<u64, Full> {
        table.update(key, |state| state == 0, |state| (None, state))
    }

    #[test]
    fn a_word_of_128_bits_is_changed_without_a_lock_here() {
        assert!(AtomicU128::is_lock_free());
    }

    #[test]
    fn levels_share_out_all_the_memory() {
        for (shards, lengths) in
            [(0, vec![1]), (1, vec![1]), (20, vec![1, 16, 3]), (4096, vec![1, 16, 256, 3823])]
        {
            let table = Table::new(shards * SHARD_BYTES);
            let found: Vec<usize> = table.levels.iter().map(|(_, length)| *length).collect();
            assert_eq!(found, lengths);
        }
    }

    #[test]
    fn few_keys_take_little_memory() {
        let table = Table::new(256 << 20);
        for number in 0..1_000 {
            assert_eq!(add(&table, Key::numbered(1, number)), Ok(1));
        }
        assert!(table.bytes() <= 3 * SHARD_BYTES, "{} bytes", table.bytes());
    }

    #[test]
    fn a_key_that_has_state_is_never_forgotten_and_one_without_gives_its_place_up() {
        let table = Table::new(2 * SHARD_BYTES);
        let (kept, refused): (Vec<u64>, Vec<u64>) =
            (0..100_000).partition(|number| add(&table, Key::numbered(*number as u16, *number)).is_ok());
        assert!(kept.len() > 7_900 && kept.len() <= 8_192, "{}", kept.len());
        for number in &kept {
            assert_eq!(get(&table, Key::numbered(*number as u16, *number)), Ok(1));
        }
        for number in kept {
            let forget = |_| (Some(0), ());
            table.update(Key::numbered(number as u16, number), |state| state == 0, forget).unwrap();
        }
        assert_eq!(add(&table, Key::numbered(refused[0] as u16, refused[0])), Ok(1));
    }

    #[test]
    fn one_tenant_leaves_room_for_another() {
        let table = Table::new(SHARD_BYTES);
        let flood = (0..1_000_000).filter(|number| add(&table, Key::numbered(1, *number)).is_ok()).count();
        assert_eq!(flood, BUCKETS * TENANT_SHARE);
        let others = (0..300).filter(|number| add(&table, Key::numbered(2, *number)).is_ok()).count();
        assert!(others > 280, "{others} of 300");
    }

    #[test]
    fn nothing_that_is_counted_on_several_cores_is_lost() {
        const THREADS: u64 = 4;
        const ROUNDS: u64 = 50_000;
        let table = Table::new(SHARD_BYTES);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        add(table, Key::numbered(3, (round + thread) % 16)).unwrap();
                    }
                });
            }
        });
        let sum: u64 = (0..16).map(|number| get(&table, Key::numbered(3, number)).unwrap()).sum();
        assert_eq!(sum, THREADS * ROUNDS);
    }

    proptest! {
        /// As a map would, as long as there is room.
        #[test]
        fn it_holds_what_a_map_holds(steps in prop::collection::vec((0_u64..200, 0_u64..3), 0..2_000)) {
            let table = Table::new(4 * SHARD_BYTES);
            let mut map: HashMap<u64, u64> = HashMap::new();
            for (number, state) in steps {
                let before = map.insert(number, state).unwrap_or(0);
                let found = table.update(Key::numbered(1, number), |state| state == 0, |found| (Some(state), found));
                prop_assert_eq!(found, Ok(before));
            }
        }
    }
}
