//! Sorted addresses at which something changes, and how many of them lie at or below a given one.
//!
//! A binary search among a million addresses waits for memory at nearly every one of its twenty steps. Here 32 bits of
//! each are the lowest level of a tree: every 32nd of a level stands in the level above it, so that four levels hold a
//! million. A step looks at 8 of 32 neighbours, which are so fetched together, and then at the 4 that are left; all
//! levels but the lowest stay in the cache. (Static search trees: Khuong and Morin, Array Layouts for Comparison-Based
//! Searching, 2017.)
//!
//! The 32 bits are all of an IPv4 address. Of an IPv6 address they are the first that are not the same in all of a set.
//! Boundaries that share them are told apart by a binary search if they are few, else by a tree of their own. Most
//! networks begin and end within the same 32 bits, so these stand in the tree once, with how many boundaries they are: what
//! is not touched at all is the cheapest to search.

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
    len: usize,
    /// The first and the last.
    ends: Option<(A, A)>,
    /// Bits of each address behind its window.
    behind: u32,
    /// The windows of all boundaries that are in no crowd, each once.
    windows: Tree,
    /// How many boundaries each of these has, where it may be more than one.
    counts: Counts,
    /// The boundaries that are in no crowd, where windows alone do not tell them apart.
    whole: Box<[A]>,
    /// The windows of crowds.
    crowded: Tree,
    crowds: Box<[Crowd<A>]>,
}

/// Many boundaries that share a window.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Crowd<A> {
    window: u32,
    /// How many boundaries lie before it.
    begin: usize,
    /// How many boundaries are in crowds, up to the last of this one.
    crowded: usize,
    boundaries: Boundaries<A>,
}

/// Most boundaries that share a window without being a crowd.
const MAX_SHARED: u8 = 64;

impl<A: Address> Boundaries<A> {
    /// From boundaries in any order; one that comes twice counts once.
    pub fn new(mut starts: Vec<A>) -> Self {
        // Costs one look at what is in order already.
        starts.sort_unstable();
        starts.dedup();
        let len = starts.len();
        let ends = starts.first().copied().zip(starts.last().copied());
        let behind = ends.map_or(0, |(first, last)| first.bits_behind(last));
        let mut this = Self {
            len,
            ends,
            behind,
            windows: Tree::default(),
            counts: Counts::default(),
            whole: Box::default(),
            crowded: Tree::default(),
            crowds: Box::default(),
        };
        if behind == 0 {
            this.windows = Tree::new(starts.iter().map(|start| start.window(behind)).collect());
            return this;
        }
        let (mut windows, mut counts, mut whole, mut crowds) = (vec![], vec![], vec![], vec![]);
        for sharing in starts.chunk_by(|a, b| a.window(behind) == b.window(behind)) {
            let window = sharing[0].window(behind);
            if let Some(count) = u8::try_from(sharing.len()).ok().filter(|count| *count <= MAX_SHARED) {
                windows.push(window);
                counts.push(count);
                whole.extend(sharing);
                continue;
            }
            let crowded = crowds.last().map_or(0, |crowd: &Crowd<A>| crowd.crowded);
            crowds.push(Crowd {
                window,
                begin: whole.len() + crowded,
                crowded: crowded + sharing.len(),
                // Its windows begin at least 32 bits further on, so that this comes to an end.
                boundaries: Self::new(sharing.to_vec()),
            });
        }
        this.windows = Tree::new(windows);
        this.counts = Counts::new(counts);
        this.whole = whole.into();
        this.crowded = Tree::new(crowds.iter().map(|crowd| crowd.window).collect());
        this.crowds = crowds.into();
        this
    }

    /// How many boundaries lie at or below `address`.
    pub fn up_to(&self, address: A) -> usize {
        let Some((first, last)) = self.ends else { return 0 };
        // Between these two, all that comes before the window is the same.
        if address < first {
            return 0;
        }
        if address >= last {
            return self.len;
        }
        let window = address.window(self.behind);
        if self.behind == 0 {
            return self.windows.up_to(window);
        }
        let mut crowded = 0;
        if let Some(last) = self.crowded.up_to(window).checked_sub(1) {
            let crowd = &self.crowds[last];
            if crowd.window == window {
                return crowd.begin + crowd.boundaries.up_to(address);
            }
            crowded = crowd.crowded;
        }
        let Some(place) = self.windows.last_up_to(window) else { return crowded };
        let end = self.counts.up_to(place);
        if self.windows.all()[place.index()] != window {
            return crowded + end;
        }
        let begin = end - self.counts.of(place);
        crowded + begin + self.whole[begin..end].partition_point(|start| *start <= address)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        let crowds: usize = self.crowds.iter().map(|crowd| crowd.boundaries.bytes()).sum();
        self.windows.bytes()
            + self.counts.bytes()
            + size_of_val(&*self.whole)
            + self.crowded.bytes()
            + size_of_val(&*self.crowds)
            + crowds
    }
}

/// Small numbers, one for each key of a tree, and sums of all from the first to any of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Counts {
    /// With zeros at the end.
    each: Box<[[u8; FANOUT]]>,
    /// The sum of all before each of these.
    before: Box<[u32]>,
}

impl Counts {
    fn new(mut each: Vec<u8>) -> Self {
        each.resize(each.len().next_multiple_of(FANOUT), 0);
        let (each, _) = each.as_chunks();
        let mut sum = 0;
        let before = each.iter().map(|counts| {
            let before = sum;
            sum += total(counts, FANOUT);
            before
        });
        Self { before: before.collect(), each: each.into() }
    }

    fn of(&self, place: Place) -> usize {
        usize::from(self.each[place.neighbours][place.nth])
    }

    /// The sum of all up to that at `place`. What it reads depends on the neighbours alone, so that it is under way from
    /// memory while these are searched.
    fn up_to(&self, place: Place) -> usize {
        (self.before[place.neighbours] + total(&self.each[place.neighbours], place.nth + 1)) as usize
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.each) + size_of_val(&*self.before)
    }
}

/// The sum of the first `many`, without a branch for each.
fn total(counts: &[u8; FANOUT], many: usize) -> u32 {
    let first =
        counts.iter().zip(0_u8..).map(|(count, nth)| if usize::from(nth) < many { *count } else { 0 });
    first.map(u32::from).sum()
}

/// Keys that one step decides between.
const FANOUT: usize = 32;

/// Neighbours of which one is looked at first.
const GROUP: usize = 4;

/// Keys in ascending order, from the top level, which has at most [`FANOUT`], to all of them; without a key no level.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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

    fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum()
    }

    fn all(&self) -> &[u32] {
        self.levels.last().map_or(&[], |all| all)
    }

    /// How many keys lie at or below `key`.
    fn up_to(&self, key: u32) -> usize {
        self.last_up_to(key).map_or(0, |place| place.index() + 1)
    }

    /// Where the last key is that lies at or below `key`, if any does.
    fn last_up_to(&self, key: u32) -> Option<Place> {
        let mut found = None;
        for level in &self.levels {
            let neighbours = found.map_or(0, Place::index);
            let rest = level.get(neighbours * FANOUT..).unwrap_or_default();
            let count = match rest.first_chunk::<FANOUT>() {
                Some(neighbours) => among(neighbours, key),
                None => rest.partition_point(|other| *other <= key),
            };
            // Only in the first level: in those below, the first neighbour is the one that led there.
            found = Some(Place { neighbours, nth: count.checked_sub(1)? });
        }
        found
    }
}

/// Where a key stands among all.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Among which [`FANOUT`] neighbours.
    neighbours: usize,
    /// Which of these it is.
    nth: usize,
}

impl Place {
    fn index(self) -> usize {
        self.neighbours * FANOUT + self.nth
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
        fn counts_among_crowds_and_between_them(
            starts in prop::collection::vec((0_u128..40, 1_u128..200), 0..60),
            asked in prop::collection::vec((0_u128..41, 0_u128..201), 1..50),
        ) {
            // From one boundary to 199 share the bits before the last 64.
            let crowd = |(head, size): (u128, u128)| (0..size).map(move |tail| head << 64 | tail << 9);
            let asked: Vec<_> = asked.into_iter().map(|(head, tail)| head << 64 | tail << 9 | 1).collect();
            check(starts.into_iter().flat_map(crowd).collect(), &asked);
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
