//! What earlier transactions found out about values that come again and again.
//!
//! Which links a value may match depends on nothing but its bytes, the name it has in its collection, and the rules. So a
//! thread remembers, per value, the set of links that may match it; a link that was asked and did not match is taken
//! out. A browser's header fields then cost a look-up each, with all rules on.
//!
//! Values are known by a keyed hash alone ([`Hasher`]): nothing of a request outlives it here, and nobody outside can make
//! two values that are taken for one. The memory is bounded; a new value takes the place of one that was not used
//! lately. Values of which most never come again (arguments, URIs) take the place of their like first.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use super::collect::Shows;
use super::data::Group;
use crate::hash::fold;
use crate::variable::Variable;

/// Values that a thread remembers; a power of two.
const VALUES: usize = 4_096;
/// Values among which a new one takes the place of an old one.
const WAYS: usize = 4;
/// Words of a remembered set. Rule sets with more links than fit are judged without a memory.
const WORDS: usize = 16;
/// Bytes of the longest value that is remembered.
const VALUE_BYTES: usize = 2 << 10;
/// The same, of a value that is not known to come again.
const RARE_VALUE_BYTES: usize = 256;

/// How often a value comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Too seldom.
    Never,
    /// Perhaps.
    Maybe,
    /// It is one of a few.
    Often,
}

impl Repeats {
    /// Of the value of `variable`.
    pub(super) fn of(variable: Variable) -> Self {
        match variable {
            Variable::RequestMethod
            | Variable::RequestProtocol
            | Variable::RequestBasename
            | Variable::RequestFilename
            | Variable::ResponseProtocol
            | Variable::ResponseStatus => Self::Often,
            _ => Self::Maybe,
        }
    }

    /// Of what `group` shows.
    pub(super) fn of_members(group: Group, shows: Shows) -> Self {
        match (group, shows) {
            (Group::RequestHeaders | Group::RequestCookies | Group::ResponseHeaders, _)
            | (Group::ArgsGet | Group::ArgsPost, Shows::Names) => Self::Often,
            (Group::ArgsGet | Group::ArgsPost, Shows::Values) => Self::Maybe,
            _ => Self::Never,
        }
    }

    fn most_bytes(self) -> usize {
        match self {
            Self::Never => 0,
            Self::Maybe => RARE_VALUE_BYTES,
            Self::Often => VALUE_BYTES,
        }
    }
}

/// A value in the memory, as long as no other takes its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    place: usize,
    tag: u128,
}

/// What a value is known by: whose links may match it, what it is a part of, its name there if it has one, and its bytes.
pub(super) type Key<'a> = (u64, usize, Option<&'a [u8]>, &'a [u8]);

/// Puts what is known of a value into `set`; `None` if it is not one to be remembered.
///
/// An unknown value is given to `find`, which adds to the empty set, and remembered.
pub(super) fn recall<E>(
    key: Key<'_>,
    repeats: Repeats,
    set: &mut [u64],
    find: impl FnOnce(&mut [u64]) -> Result<(), E>,
) -> Result<Option<Known>, E> {
    let bytes = key.2.map_or(0, <[u8]>::len) + key.3.len();
    if repeats == Repeats::Never || set.len() > WORDS || bytes > repeats.most_bytes() {
        find(set)?;
        return Ok(None);
    }
    MEMORY.with_borrow_mut(|memory| {
        let tag = memory.hasher.tag(key);
        if let Some(known) = memory.find(tag) {
            set.copy_from_slice(&memory.sets[known.place * WORDS..][..set.len()]);
            return Ok(Some(known));
        }
        find(set)?;
        let known = memory.make_room(tag, repeats);
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
    MEMORY.with_borrow_mut(|memory| {
        memory.hasher = Hasher::default();
        memory.tags.fill(0);
        memory.used.fill(false);
    });
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// [`VALUES`] places in rows of [`WAYS`]; made when the first value is remembered.
#[derive(Default)]
struct Memory {
    hasher: Hasher,
    /// Per place, what is there; 0 for nothing.
    tags: Vec<u128>,
    /// Per place, whether it was used since the row was last full of used ones.
    used: Vec<bool>,
    sets: Vec<u64>,
}

impl Memory {
    fn find(&mut self, tag: u128) -> Option<Known> {
        let row = row(tag);
        let place = row + self.tags.get(row..row + WAYS)?.iter().position(|known| *known == tag)?;
        self.used[place] = true;
        Some(Known { place, tag })
    }

    fn make_room(&mut self, tag: u128, repeats: Repeats) -> Known {
        if self.tags.is_empty() {
            self.tags = vec![0; VALUES];
            self.used = vec![false; VALUES];
            self.sets = vec![0; VALUES * WORDS];
        }
        let row = row(tag);
        let used = &mut self.used[row..row + WAYS];
        // Any will do, but not always the same.
        let first = (tag >> 64) as usize % WAYS;
        let free = (first..first + WAYS).map(|place| place % WAYS).find(|place| !used[*place]);
        let free = free.unwrap_or_else(|| {
            used.fill(false);
            first
        });
        // A stranger is the next to go, until it is used again.
        used[free] = repeats == Repeats::Often;
        let place = row + free;
        self.tags[place] = tag;
        Known { place, tag }
    }
}

/// Where the row of `tag` begins. Values in a sequence have tags in a sequence, which have to be scattered.
fn row(tag: u128) -> usize {
    fold(tag as u64, (tag >> 64) as u64) as usize % (VALUES / WAYS) * WAYS
}

/// A polynomial hash (Carter and Wegman, *Universal classes of hash functions*, 1979): the bytes are the coefficients of
/// a polynomial over the field of 2^61 - 1 elements, whose value is taken at a secret place. Whoever does not know the
/// place makes two texts of n bytes collide with a chance below n / 2^63, and here they would have to collide at two
/// places: no need for a cipher's strength, since no hash is ever shown to anybody.
struct Hasher([Lane; 2]);

/// Secrets, each an element of the field.
struct Lane {
    place: u64,
    name: u64,
    value: u64,
    part: u64,
}

/// The field's size, a Mersenne prime.
const PRIME: u64 = (1 << 61) - 1;
/// Bytes of a coefficient.
const BLOCK_BYTES: usize = 7;

impl Default for Hasher {
    fn default() -> Self {
        let random = RandomState::new();
        let secret = |number: u8| random.hash_one(number) % PRIME;
        let lane = |first: u8| Lane {
            place: secret(first),
            name: secret(first + 1),
            value: secret(first + 2),
            part: secret(first + 3),
        };
        Self([lane(0), lane(4)])
    }
}

impl Hasher {
    fn tag(&self, (identity, part, name, value): Key<'_>) -> u128 {
        // Both are small, and the part is below 256.
        let whose = (identity << 8 | part as u64) % PRIME;
        let value = self.hash(value);
        let name = name.map_or([0; 2], |name| self.hash(name));
        let [high, low] = [0, 1].map(|index| {
            let Lane { name: by_name, value: by_value, part: by_part, .. } = &self.0[index];
            sum(
                sum(product(name[index], *by_name), product(value[index], *by_value)),
                product(whose, *by_part),
            )
        });
        u128::from(high) << 64 | u128::from(low)
    }

    fn hash(&self, bytes: &[u8]) -> [u64; 2] {
        let [one, two] = &self.0;
        let mut hash = [0; 2];
        let mut take = |block: u64| {
            hash = [product(sum(hash[0], block), one.place), product(sum(hash[1], block), two.place)];
        };
        let mut rest = bytes;
        while let Some(eight) = rest.first_chunk() {
            take(u64::from_le_bytes(*eight) & ((1 << (8 * BLOCK_BYTES)) - 1));
            rest = &rest[BLOCK_BYTES..];
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        take(u64::from_le_bytes(last) & ((1 << (8 * BLOCK_BYTES)) - 1));
        // The length tells texts apart that end in zeros.
        take(bytes.len() as u64 + 1);
        hash
    }
}

/// In the field.
fn sum(one: u64, other: u64) -> u64 {
    reduced(one + other)
}

/// In the field.
fn product(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    reduced((product as u64 & PRIME) + (product >> 61) as u64)
}

/// A number below twice the field's size as an element of it.
fn reduced(number: u64) -> u64 {
    if number >= PRIME { number - PRIME } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recalled(key: Key<'_>, found: u64) -> (u64, Known) {
        let mut set = [0];
        let known = recall::<()>(key, Repeats::Often, &mut set, |set| {
            set[0] = found;
            Ok(())
        });
        (set[0], known.unwrap().unwrap())
    }

    #[test]
    fn a_value_is_looked_through_once() {
        let (_, known) = recalled((1, 2, None, b"value"), 0b11);
        assert_eq!(recalled((1, 2, None, b"value"), 0).0, 0b11);
        revise(known, |set| set[0] &= !1);
        assert_eq!(recalled((1, 2, None, b"value"), 0).0, 0b10);
        let others: [Key<'_>; 6] = [
            (2, 2, None, b"value"),
            (1, 3, None, b"value"),
            (1, 2, None, b"valu"),
            (1, 2, None, b"value\0"),
            (1, 2, Some(b""), b"value"),
            (1, 2, Some(b"value"), b""),
        ];
        for other in others {
            assert_eq!(recalled(other, 0b100).0, 0b100, "{other:?}");
        }
        forget();
        assert_eq!(recalled((1, 2, None, b"value"), 0b1).0, 0b1);
    }

    #[test]
    fn the_memory_is_bounded_and_revises_only_what_is_there() {
        forget();
        let (_, first) = recalled((1, 1, None, b"first"), 0b1);
        for number in 0..10 * VALUES as u64 {
            recalled((1, 1, None, &number.to_le_bytes()), 0b10);
        }
        MEMORY.with_borrow(|memory| {
            assert_eq!((memory.tags.len(), memory.sets.len()), (VALUES, VALUES * WORDS));
        });
        revise(first, |set| set[0] = 0b100);
        let others = (0..VALUES as u64).map(|number| recalled((1, 1, None, &number.to_le_bytes()), 0b10).0);
        assert!(others.into_iter().all(|set| set == 0b10));
        let remembered = |value: &[u8], repeats, words| {
            recall::<()>((1, 1, None, value), repeats, &mut [0; WORDS + 1][..words], |_| Ok(())).unwrap()
        };
        assert!(remembered(&[0; VALUE_BYTES], Repeats::Often, 1).is_some());
        assert!(remembered(&[0; VALUE_BYTES + 1], Repeats::Often, 1).is_none());
        assert!(remembered(&[0; RARE_VALUE_BYTES + 1], Repeats::Maybe, 1).is_none());
        assert!(remembered(b"", Repeats::Often, WORDS + 1).is_none());
        assert!(remembered(b"", Repeats::Never, 1).is_none());
        let failed = recall((1, 1, None, b"fails"), Repeats::Often, &mut [0], |_| Err("failure"));
        assert_eq!(failed.unwrap_err(), "failure");
    }

    #[test]
    fn values_that_never_come_again_displace_their_like_only() {
        forget();
        let well_known: Vec<[u8; 8]> = (0..VALUES as u64 / 8).map(u64::to_le_bytes).collect();
        for value in &well_known {
            recalled((1, 1, None, value), 0b1);
        }
        for number in 0..50 * VALUES as u64 {
            let stranger = number.to_be_bytes();
            recall::<()>((1, 2, None, &stranger), Repeats::Maybe, &mut [0], |_| Ok(())).unwrap();
        }
        let kept = well_known.iter().filter(|value| recalled((1, 1, None, *value), 0b10).0 == 0b1).count();
        // Rows in which four of the well-known met have lost some.
        assert!(kept * 100 > well_known.len() * 95, "{kept} of {}", well_known.len());
    }

    #[test]
    fn products_are_those_of_the_field() {
        let slow = |one: u64, other: u64| (u128::from(one) * u128::from(other) % u128::from(PRIME)) as u64;
        for one in [0, 1, 2, PRIME / 2, PRIME - 1] {
            for other in [0, 1, 3, PRIME / 3, PRIME - 2, PRIME - 1] {
                assert_eq!(product(one, other), slow(one, other));
                assert_eq!(
                    u128::from(sum(one, other)),
                    (u128::from(one) + u128::from(other)) % u128::from(PRIME)
                );
            }
        }
    }
}
