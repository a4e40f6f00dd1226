//! Sorted addresses at which something changes, and how many of them lie at or below a given one.
//!
//! A binary search in a million addresses touches twenty places, most of them out of the cache. So the span from the
//! first to the last boundary is cut into equal slots, about one for each boundary and 65,536 at most, and a table says
//! where the boundaries of each slot begin: two reads, and then a search among the few in the slot. Where addresses
//! crowd into few slots the search is longer, up to the twenty steps that it would be without the table.

/// An address of one family as a number.
pub trait Number: Copy + Ord {
    /// The number of bits of `self - first`.
    fn span_bits(self, first: Self) -> u32;

    /// `(self - first) >> shift`, at most `usize::MAX`.
    fn slot(self, first: Self, shift: u32) -> usize;
}

impl Number for u32 {
    fn span_bits(self, first: Self) -> u32 {
        Self::BITS - (self - first).leading_zeros()
    }

    fn slot(self, first: Self, shift: u32) -> usize {
        usize::try_from((self - first).checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX)
    }
}

impl Number for u128 {
    fn span_bits(self, first: Self) -> u32 {
        Self::BITS - (self - first).leading_zeros()
    }

    fn slot(self, first: Self, shift: u32) -> usize {
        usize::try_from((self - first).checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX)
    }
}

/// The table has at most two to the power of this many slots.
const MAX_SLOT_BITS: u32 = 16;

/// Boundaries in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundaries<A> {
    starts: Box<[A]>,
    /// How many boundaries lie below each slot, and all of them at the end.
    slots: Box<[u32]>,
    /// Bits of an address, counted from the first boundary, that do not tell its slot.
    shift: u32,
}

impl<A: Number> Boundaries<A> {
    /// From boundaries in any order, fewer than 2^32 of them; one that comes twice counts once.
    pub fn new(mut starts: Vec<A>) -> Self {
        // Costs one look at what is in order already.
        starts.sort_unstable();
        starts.dedup();
        let (&[first, ..], &[.., last]) = (&*starts, &*starts) else {
            return Self { starts: Box::default(), slots: Box::default(), shift: 0 };
        };
        let bits = last.span_bits(first);
        let slot_bits = starts.len().ilog2().min(MAX_SLOT_BITS).min(bits);
        let shift = bits - slot_bits;
        let mut slots = vec![0_u32; (1 << slot_bits) + 1];
        for start in &starts {
            slots[start.slot(first, shift) + 1] += 1;
        }
        let mut below = 0;
        for slot in &mut slots {
            below += *slot;
            *slot = below;
        }
        Self { starts: starts.into(), slots: slots.into(), shift }
    }

    /// How many boundaries lie at or below `address`.
    pub fn up_to(&self, address: A) -> usize {
        let Some(&first) = self.starts.first().filter(|first| **first <= address) else { return 0 };
        let slot = address.slot(first, self.shift);
        let (Some(&from), Some(&to)) = (self.slots.get(slot), self.slots.get(slot.saturating_add(1))) else {
            return self.starts.len();
        };
        let (from, to) = (from as usize, to as usize);
        from + self.starts[from..to].partition_point(|start| *start <= address)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<A: Number + std::fmt::Debug>(mut starts: Vec<A>, asked: &[A]) {
        starts.sort_unstable();
        starts.dedup();
        let boundaries = Boundaries::new(starts.iter().rev().copied().collect());
        for address in asked.iter().chain(&starts) {
            let expected = starts.iter().filter(|start| *start <= address).count();
            assert_eq!(boundaries.up_to(*address), expected, "{address:?} in {starts:?}");
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
            starts in prop::collection::vec(any::<u32>(), 0..300),
            asked in prop::collection::vec(any::<u32>(), 1..50),
        ) {
            check(starts, &asked);
        }

        #[test]
        fn counts_in_crowds_and_with_outliers(
            crowd in prop::collection::vec(0_u128..5_000, 0..300),
            outliers in prop::collection::vec(any::<u128>(), 0..4),
            asked in prop::collection::vec(prop_oneof![0_u128..6_000, any::<u128>()], 1..50),
        ) {
            check(crowd.into_iter().chain(outliers).collect(), &asked);
        }
    }
}
