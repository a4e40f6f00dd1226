//! What earlier transactions found out about values that come again and again: header fields, cookies, names.
//!
//! Which links a value may match depends on nothing but its bytes and the rule set. So a thread remembers, per value,
//! the set of links that may match it; a link that was asked and did not match is taken out. A browser's header fields
//! then cost a look-up each, with all rules on.
//!
//! Values are known by a keyed 128-bit hash alone: nothing of a request outlives it here, and nobody outside can make
//! two values that are taken for one. The memory is bounded; a new value takes the place of one that was not used lately.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use crate::variable::Variable;

/// Values that a thread remembers; a power of two.
const VALUES: usize = 4_096;
/// Values among which a new one takes the place of an old one.
const WAYS: usize = 4;
/// Words of a remembered set. Rule sets with more links than fit are judged without a memory.
const WORDS: usize = 16;
/// Bytes of the longest value that is remembered.
const VALUE_BYTES: usize = 2 << 10;

/// Whether values of `variable` come again and again.
pub(super) fn repeats(variable: Variable) -> bool {
    matches!(
        variable,
        Variable::ArgsGetNames
            | Variable::ArgsNames
            | Variable::ArgsPostNames
            | Variable::RequestBasename
            | Variable::RequestCookies
            | Variable::RequestCookiesNames
            | Variable::RequestFilename
            | Variable::RequestHeaders
            | Variable::RequestHeadersNames
            | Variable::RequestMethod
            | Variable::RequestProtocol
            | Variable::ResponseHeaders
            | Variable::ResponseHeadersNames
            | Variable::ResponseProtocol
    )
}

/// A value in the memory, as long as no other takes its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    place: usize,
    tag: u128,
}

/// What a value is known by: the rule set, what is shown of it there, and the bytes.
pub(super) type Key<'a> = (u64, u32, &'a [u8]);

/// Puts what is known of a value into `set`; `None` if it is not one to be remembered.
///
/// An unknown value is given to `find`, which fills the set, and remembered.
pub(super) fn recall<E>(
    key: Key<'_>,
    set: &mut [u64],
    find: impl FnOnce(&mut [u64]) -> Result<(), E>,
) -> Result<Option<Known>, E> {
    if set.len() > WORDS || key.2.len() > VALUE_BYTES {
        find(set)?;
        return Ok(None);
    }
    MEMORY.with_borrow_mut(|memory| {
        let tag = memory.tag(key);
        if let Some(known) = memory.find(tag) {
            set.copy_from_slice(&memory.sets[known.place * WORDS..][..set.len()]);
            return Ok(Some(known));
        }
        find(set)?;
        let known = memory.make_room(tag);
        memory.sets[known.place * WORDS..][..set.len()].copy_from_slice(set);
        Ok(Some(known))
    })
}

/// Changes what is remembered of a value.
pub(super) fn revise(known: Known, change: impl FnOnce(&mut [u64])) {
    MEMORY.with_borrow_mut(|memory| {
        if memory.tags[known.place] == known.tag {
            change(&mut memory.sets[known.place * WORDS..][..WORDS]);
        }
    });
}

/// Forgets everything that this thread knows.
pub(crate) fn forget() {
    MEMORY.with_borrow_mut(|memory| memory.hashers = Default::default());
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// [`VALUES`] places in rows of [`WAYS`]; made when the first value is remembered.
#[derive(Default)]
struct Memory {
    hashers: [RandomState; 2],
    /// Per place, what is there; 0 for nothing.
    tags: Vec<u128>,
    /// Per place, whether it was used since the row was last full of used ones.
    used: Vec<bool>,
    sets: Vec<u64>,
}

impl Memory {
    fn tag(&self, key: Key<'_>) -> u128 {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }

    fn find(&mut self, tag: u128) -> Option<Known> {
        let row = row(tag);
        let place = row + self.tags.get(row..row + WAYS)?.iter().position(|known| *known == tag)?;
        self.used[place] = true;
        Some(Known { place, tag })
    }

    fn make_room(&mut self, tag: u128) -> Known {
        if self.tags.is_empty() {
            self.tags = vec![0; VALUES];
            self.used = vec![false; VALUES];
            self.sets = vec![0; VALUES * WORDS];
        }
        let row = row(tag);
        let used = &mut self.used[row..row + WAYS];
        let free = used.iter().position(|used| !used).unwrap_or_else(|| {
            used.fill(false);
            // Any will do, but not always the same.
            (tag >> 64) as usize % WAYS
        });
        used[free] = true;
        let place = row + free;
        self.tags[place] = tag;
        Known { place, tag }
    }
}

fn row(tag: u128) -> usize {
    tag as usize % (VALUES / WAYS) * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recalled(key: Key<'_>, found: u64) -> (u64, Known) {
        let mut set = [0];
        let known = recall::<()>(key, &mut set, |set| {
            set[0] = found;
            Ok(())
        });
        (set[0], known.unwrap().unwrap())
    }

    #[test]
    fn a_value_is_looked_through_once() {
        let (_, known) = recalled((1, 2, b"value"), 0b11);
        assert_eq!(recalled((1, 2, b"value"), 0).0, 0b11);
        revise(known, |set| set[0] &= !1);
        assert_eq!(recalled((1, 2, b"value"), 0).0, 0b10);
        for other in [(2, 2, &b"value"[..]), (1, 3, b"value"), (1, 2, b"valu")] {
            assert_eq!(recalled(other, 0b100).0, 0b100);
        }
        forget();
        assert_eq!(recalled((1, 2, b"value"), 0b1).0, 0b1);
    }

    #[test]
    fn the_memory_is_bounded_and_revises_only_what_is_there() {
        forget();
        let (_, first) = recalled((1, 1, b"first"), 0b1);
        for number in 0..10 * VALUES as u64 {
            recalled((1, 1, &number.to_le_bytes()), 0b10);
        }
        MEMORY.with_borrow(|memory| {
            assert_eq!((memory.tags.len(), memory.sets.len()), (VALUES, VALUES * WORDS));
        });
        revise(first, |set| set[0] = 0b100);
        let others = (0..VALUES as u64).map(|number| recalled((1, 1, &number.to_le_bytes()), 0b10).0);
        assert!(others.into_iter().all(|set| set == 0b10));
        assert!(recall::<()>((1, 1, &[0; VALUE_BYTES + 1]), &mut [0], |_| Ok(())).unwrap().is_none());
        assert!(recall::<()>((1, 1, b""), &mut [0; WORDS + 1], |_| Ok(())).unwrap().is_none());
        assert_eq!(recall((1, 1, b"fails"), &mut [0], |_| Err("failure")).unwrap_err(), "failure");
    }
}
