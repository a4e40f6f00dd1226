//! Sorted addresses at which something changes, and how many of them lie at or below a given one.
//!
//! A binary search among a million addresses waits for memory at nearly every one of its twenty steps. Here 32 bits of
//! each are the lowest level of a tree: every 32nd of a level stands in the level above it, so that four levels hold a
//! million. A step looks at 8 of 32 neighbours, which are so fetched together, and then at the 4 that are left; all
//! levels but the lowest stay in the cache. (Static search trees: Khuong and Morin, Array Layouts for Comparison-Based
//! Searching, 2017.)
//!
//! The 32 bits are all of an IPv4 address. Of an IPv6 address they are the first that are not the same in all of a set,
//! and boundaries that share them are told apart by a binary search if they are few, else by a tree of their own.

/// An address of one family as a number.
pub trait Address: Ord + Copy {
    /// How many of its last bits do not tell the address from `other`, beyond the 32 that are the first to do so.
    fn bits_behind(self, other: Self) -> u32;

    /// 32 bits of it, behind which there are `behind` more.
    fn window(self, behind: u32) -> u32;
}

impl Address for u32 {
    fn bits_behind(self, _: Self) -> u32 {
        0
    }

    fn window(self, _: u32) -> u32 {
        self
    }
}

impl Address for u128 {
    fn bits_behind(self, other: Self) -> u32 {
        (Self::BITS - (self ^ other).leading_zeros()).saturating_sub(u32::BITS)
    }

    fn window(self, behind: u32) -> u32 {
        (self >> behind) as u32
    }
}

/// Boundaries in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundaries<A> {
    /// The first and the last.
    ends: Option<(A, A)>,
    /// Bits of each address behind its window.
    behind: u32,
    /// The window of each.
    windows: Tree,
    /// All of them, where windows alone do not tell them apart.
    whole: Box<[A]>,
    /// Those that share a window, where they are many.
    crowds: Box<[Crowd<A>]>,
}

/// Boundaries that share a window, from one place to another among all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Crowd<A> {
    begin: usize,
    end: usize,
    boundaries: Boundaries<A>,
}

/// Most boundaries that share a window without being a crowd.
const MAX_SHARED: usize = 64;

impl<A: Address> Boundaries<A> {
    /// From boundaries in any order; one that comes twice counts once.
    pub fn new(mut starts: Vec<A>) -> Self {
        // Costs one look at what is in order already.
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.first().copied().zip(starts.last().copied());
        let behind = ends.map_or(0, |(first, last)| first.bits_behind(last));
        let windows = Tree::new(starts.iter().map(|start| start.window(behind)).collect());
        if behind == 0 {
            return Self { ends, behind, windows, whole: Box::default(), crowds: Box::default() };
        }
        let mut crowds = Vec::new();
        let mut begin = 0;
        for sharing in starts.chunk_by(|a, b| a.window(behind) == b.window(behind)) {
            let end = begin + sharing.len();
            if sharing.len() > MAX_SHARED {
                // Its windows begin at least 32 bits further on, so that this comes to an end.
                crowds.push(Crowd { begin, end, boundaries: Self::new(sharing.to_vec()) });
            }
            begin = end;
        }
        Self { ends, behind, windows, whole: starts.into(), crowds: crowds.into() }
    }

    /// How many boundaries lie at or below `address`.
    pub fn up_to(&self, address: A) -> usize {
        let Some((first, last)) = self.ends else { return 0 };
        // Between these two, all that comes before the window is the same.
        if address < first {
            return 0;
        }
        if address >= last {
            return self.len();
        }
        let window = address.window(self.behind);
        let end = self.windows.up_to(window);
        let shared = end.checked_sub(1).is_some_and(|last| self.windows.all()[last] == window);
        if self.behind == 0 || !shared {
            return end;
        }
        if let Ok(crowd) = self.crowds.binary_search_by_key(&end, |crowd| crowd.end) {
            let Crowd { begin, boundaries, .. } = &self.crowds[crowd];
            return begin + boundaries.up_to(address);
        }
        let begin = end.saturating_sub(MAX_SHARED);
        begin + self.whole[begin..end].partition_point(|start| *start <= address)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.windows.all().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        let levels: usize = self.windows.levels.iter().map(|level| size_of_val(&**level)).sum();
        let crowds: usize = self.crowds.iter().map(|crowd| crowd.boundaries.bytes()).sum();
        levels + size_of_val(&*self.whole) + size_of_val(&*self.crowds) + crowds
    }
}

/// Keys that one step decides between.
const FANOUT: usize = 32;

/// Neighbours of which one is looked at first.
const GROUP: usize = 4;

/// Keys in ascending order, from the top level, which has at most [`FANOUT`], to all of them; without a key no level.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tree {
    levels: Box<[Box<[u32]>]>,
}

impl Tree {
    fn new(sorted: Vec<u32>) -> Self {
        let mut levels = Vec::new();
        let mut level: Box<[u32]> = sorted.into();
        while level.len() > FANOUT {
            let above = level.iter().step_by(FANOUT).copied().collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        levels.reverse();
        Self { levels: levels.into() }
    }

    fn all(&self) -> &[u32] {
        self.levels.last().map_or(&[], |all| all)
    }

    /// How many keys lie at or below `key`.
    fn up_to(&self, key: u32) -> usize {
        let mut found = 0_usize;
        for level in &self.levels {
            let begin = found.saturating_sub(1) * FANOUT;
            let rest = level.get(begin..).unwrap_or_default();
            let count = match rest.first_chunk::<FANOUT>() {
                Some(neighbours) => among(neighbours, key),
                None => rest.partition_point(|other| *other <= key),
            };
            // Only in the first level: in those below, the first neighbour is the one that led there.
            if count == 0 {
                return 0;
            }
            found = begin + count;
        }
        found
    }
}

/// How many of some neighbours lie at or below `key`. Of lengths that the compiler knows, so that it unrolls the
/// comparisons and needs no branch for them.
fn among(neighbours: &[u32; FANOUT], key: u32) -> usize {
    let (groups, _) = neighbours.as_chunks::<GROUP>();
    // One of each group: all are under way from memory at once.
    let passed: usize = groups.iter().skip(1).map(|group| usize::from(group[0] <= key)).sum();
    let within: usize = groups[passed].iter().map(|other| usize::from(*other <= key)).sum();
    passed * GROUP + within
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<A: Address + std::fmt::Debug>(mut starts: Vec<A>, asked: &[A]) {
        starts.sort_unstable();
        starts.dedup();
        let boundaries = Boundaries::new(starts.iter().rev().copied().collect());
        for address in asked.iter().chain(&starts) {
            let expected = starts.partition_point(|start| start <= address);
            assert_eq!(boundaries.up_to(*address), expected, "{address:?}");
        }
    }

    #[test]
    fn the_ends_of_the_number_line() {
        check(vec![0_u32, u32::MAX], &[1, u32::MAX - 1]);
        check(vec![0_u128, u128::MAX], &[1, u128::MAX - 1]);
        check(vec![7_u32], &[0, 6, 8, u32::MAX]);
        check::<u32>(vec![], &[0, u32::MAX]);
    }

    proptest! {
        #[test]
        fn counts_as_a_plain_search_does(
            starts in prop::collection::vec(any::<u32>(), 0..3_000),
            asked in prop::collection::vec(any::<u32>(), 1..50),
        ) {
            check(starts, &asked);
        }

        #[test]
        fn counts_across_halves_of_an_address(
            starts in prop::collection::vec((0_u64..40, prop_oneof![0_u64..9, any::<u64>()]), 0..3_000),
            asked in prop::collection::vec((0_u64..41, prop_oneof![0_u64..9, any::<u64>()]), 1..50),
        ) {
            let joined = |(head, tail): (u64, u64)| u128::from(head) << 64 | u128::from(tail);
            let asked: Vec<u128> = asked.into_iter().map(joined).collect();
            check(starts.into_iter().map(joined).collect(), &asked);
        }

        #[test]
        fn counts_in_crowds_and_with_outliers(
            crowd in prop::collection::vec(0_u128..5_000, 0..3_000),
            outliers in prop::collection::vec(any::<u128>(), 0..4),
            asked in prop::collection::vec(prop_oneof![0_u128..6_000, any::<u128>()], 1..50),
        ) {
            check(crowd.into_iter().chain(outliers).collect(), &asked);
        }
    }
}
