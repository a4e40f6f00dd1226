//! Names of variables.

use std::collections::HashMap;

use super::Select;
use crate::hash::QuickHash;

/// The TX variables whose names the rules state, each with a slot. Slots 0-9 are the captures.
#[derive(Debug)]
pub(crate) struct Names {
    slots: HashMap<Box<[u8]>, u32, QuickHash>,
    by_slot: Vec<Box<[u8]>>,
    /// All slots, in the order of their names.
    sorted: Vec<u32>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { slots: HashMap::default(), by_slot: Vec::new(), sorted: Vec::new() };
        for digit in b'0'..=b'9' {
            names.intern(&[digit]);
        }
        names
    }
}

impl Names {
    /// The slot of `name`, which is made if there is none.
    pub(crate) fn intern(&mut self, name: &[u8]) -> u32 {
        let name: Box<[u8]> = name.to_ascii_lowercase().into();
        let next = self.by_slot.len() as u32;
        let slot = *self.slots.entry(name.clone()).or_insert(next);
        if slot == next {
            let place = self.sorted.partition_point(|known| self.by_slot[*known as usize] < name);
            self.sorted.insert(place, slot);
            self.by_slot.push(name);
        }
        slot
    }

    /// The slots whose names `select` may cover.
    pub(crate) fn covered(&self, select: &Select) -> &[u32] {
        let Select::Prefix(prefix) = select else { return &self.sorted };
        let first = self.sorted.partition_point(|slot| self.name(*slot) < &prefix[..]);
        let rest = &self.sorted[first..];
        &rest[..rest.partition_point(|slot| self.name(*slot).starts_with(prefix))]
    }

    /// The slot of `name`, in lower case, if there is one.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.slots.get(name).copied()
    }

    /// The name of `slot`, in lower case.
    pub(crate) fn name(&self, slot: u32) -> &[u8] {
        &self.by_slot[slot as usize]
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_whatever_their_case() {
        let mut names = Names::default();
        let score = names.intern(b"Score");
        assert_eq!(
            (names.intern(b"sCORE"), names.find(b"score"), names.name(score)),
            (score, Some(score), &b"score"[..])
        );
        assert_eq!((names.find(b"7"), names.find(b"none")), (Some(7), None));
    }
}
