//! Looks for many short texts in one pass.
//!
//! An Aho-Corasick automaton over the texts of a large rule set has megabytes of states, and which one comes next is
//! known only when the last is: every byte waits for memory. Texts of at most four bytes need no automaton. Each
//! position asks by itself whether a text may end there: two bits, one found by the last three bytes and one by a hash of
//! the last four, in tables that stay in the nearest caches. The questions of neighbouring positions wait for nothing and
//! run at once. Where an answer is yes, which is rare, a small tree tells which texts.
//!
//! Bytes are folded to at most 63 classes: letters without regard to case, each byte that occurs in a text by itself
//! as long as there are classes, the rest together. Classes may merge texts, which finds too much and never too
//! little.

use std::collections::BTreeMap;

use super::need::TEXT_BYTES;

/// Classes that a pair is made of, class 0, of bytes that are in no text, included.
const CLASSES: usize = 64;
/// In a set of classes, where no class 0 can be: a text ends here.
const ENDS: u64 = 1;
/// Bits of a class.
const CLASS_BITS: u32 = 6;
/// Bits of the number of a bit in the table of four classes: 16 KiB in all, of which the Core Rule Set sets a twentieth.
const FOURS_BITS: u32 = 17;

/// The texts, each with its askers.
pub(super) struct Texts {
    classes: [u8; 256],
    /// One bit for each three classes: whether they, or the last two of them, are a text.
    threes: Box<[u64]>,
    /// One bit for each hash of four classes: whether they may be a text.
    fours: Box<[u64]>,
    /// Per pair of classes, the classes with which some text goes on; [`ENDS`] if the pair is a text.
    pairs: Box<[u64]>,
    /// Per pair of classes, where its members of `thirds` begin: one for each bit of the pair's set, in order.
    first_thirds: Box<[u32]>,
    thirds: Box<[Third]>,
    /// Per text, where its askers begin; one more at the end.
    first_askers: Box<[u32]>,
    askers: Box<[u32]>,
}

/// What follows three classes (or two, where a text ends).
struct Third {
    /// The classes with which some text goes on; [`ENDS`] if a text ends here.
    fourths: u64,
    /// The first text, in the order of the bits of `fourths`.
    first_text: u32,
}

impl Texts {
    /// Of `texts`, each of two bytes or more in lower case, with those who ask for it. Only their first four bytes count.
    pub(super) fn new(texts: &BTreeMap<Box<[u8]>, Vec<u32>>) -> Self {
        let classes = classes(texts.keys());
        let mut askers_of: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
        for (text, askers) in texts {
            let folded = text.iter().take(TEXT_BYTES).map(|byte| classes[usize::from(*byte)]);
            askers_of.entry(folded.collect()).or_default().extend(askers);
        }
        let mut found = Self {
            classes,
            threes: vec![0; 1 << (3 * CLASS_BITS - 6)].into(),
            fours: vec![0; 1 << (FOURS_BITS - 6)].into(),
            pairs: vec![0; CLASSES * CLASSES].into(),
            first_thirds: vec![0; CLASSES * CLASSES].into(),
            thirds: Box::default(),
            first_askers: Box::default(),
            askers: Box::default(),
        };
        let (mut thirds, mut first_askers, mut flat) = (Vec::new(), Vec::new(), Vec::new());
        let mut last: Option<&[u8]> = None;
        // In the map's order, a text stands before those that it begins: bits are set from the lowest up.
        for (text, mut askers) in askers_of.iter().map(|(text, askers)| (text, askers.clone())) {
            let pair = pair(text[0], text[1]);
            let third = &text[..text.len().min(3)];
            if last != Some(third) {
                if found.pairs[pair] == 0 {
                    found.first_thirds[pair] = thirds.len() as u32;
                }
                found.pairs[pair] |= text.get(2).map_or(ENDS, |class| 1 << class);
                thirds.push(Third { fourths: 0, first_text: first_askers.len() as u32 });
                last = Some(third);
            }
            if let Some(open) = thirds.last_mut() {
                open.fourths |= text.get(3).map_or(ENDS, |class| 1 << class);
            }
            found.note_end(text);
            first_askers.push(flat.len() as u32);
            askers.sort_unstable();
            askers.dedup();
            flat.extend(askers);
        }
        first_askers.push(flat.len() as u32);
        Self { thirds: thirds.into(), first_askers: first_askers.into(), askers: flat.into(), ..found }
    }

    /// Calls `found` with the askers of each text in `value`.
    pub(super) fn each(&self, value: &[u8], mut found: impl FnMut(&[u32])) {
        let mut four = 0;
        for byte in value {
            four = shift(four, self.classes[usize::from(*byte)]);
            if is_set(&self.threes, three(four)) {
                self.report_short(four, &mut found);
            }
            if is_set(&self.fours, hash(four)) {
                self.report_long(four, &mut found);
            }
        }
    }

    /// Sets the bits of a text.
    fn note_end(&mut self, text: &[u8]) {
        let four = text.iter().fold(0, |four, class| shift(four, *class));
        match text.len() {
            2 => {
                for before in 0..CLASSES {
                    set(&mut self.threes, three(four) | before << (2 * CLASS_BITS));
                }
            }
            3 => set(&mut self.threes, three(four)),
            _ => set(&mut self.fours, hash(four)),
        }
    }

    /// Reports the texts of two and three classes that end `four`.
    fn report_short(&self, four: u32, found: &mut impl FnMut(&[u32])) {
        if let Some(Third { first_text, .. }) = self.third(pair(class_at(four, 1), class_at(four, 0)), ENDS) {
            found(self.askers(*first_text as usize));
        }
        let third = self.third(pair(class_at(four, 2), class_at(four, 1)), 1 << class_at(four, 0));
        if let Some(Third { fourths, first_text }) = third
            && class_at(four, 0) != 0
            && fourths & ENDS != 0
        {
            found(self.askers(*first_text as usize));
        }
    }

    /// Reports `four`, if it is a text.
    fn report_long(&self, four: u32, found: &mut impl FnMut(&[u32])) {
        let third = self.third(pair(class_at(four, 3), class_at(four, 2)), 1 << class_at(four, 1));
        let bit = 1 << class_at(four, 0);
        if let Some(Third { fourths, first_text }) = third
            && bit != ENDS
            && class_at(four, 1) != 0
            && fourths & bit != 0
        {
            found(self.askers(*first_text as usize + rank(*fourths, bit)));
        }
    }

    /// What follows `pair` and the class of `bit`, if some text does.
    fn third(&self, pair: usize, bit: u64) -> Option<&Third> {
        let thirds = self.pairs[pair];
        (thirds & bit != 0).then(|| &self.thirds[self.first_thirds[pair] as usize + rank(thirds, bit)])
    }

    fn askers(&self, text: usize) -> &[u32] {
        &self.askers[self.first_askers[text] as usize..self.first_askers[text + 1] as usize]
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) % CLASSES * CLASSES + usize::from(second) % CLASSES
}

/// `four` classes with one more behind them, and without the first.
fn shift(four: u32, class: u8) -> u32 {
    (four << CLASS_BITS | u32::from(class)) % (1 << (4 * CLASS_BITS))
}

/// The class that `behind` others follow.
fn class_at(four: u32, behind: u32) -> u8 {
    (four >> (behind * CLASS_BITS)) as u8 % CLASSES as u8
}

/// The bit of the last three of `four` classes.
fn three(four: u32) -> usize {
    four as usize % (1 << (3 * CLASS_BITS))
}

/// The bit of `four` classes.
fn hash(four: u32) -> usize {
    // The golden ratio's fraction: products of neighbours lie far apart.
    (four.wrapping_mul(0x9e37_79b9) >> (u32::BITS - FOURS_BITS)) as usize
}

fn is_set(table: &[u64], bit: usize) -> bool {
    table[bit / 64] & (1 << (bit % 64)) != 0
}

fn set(table: &mut [u64], bit: usize) {
    table[bit / 64] |= 1 << (bit % 64);
}

/// How many bits of `set` are below `bit`.
fn rank(set: u64, bit: u64) -> usize {
    (set & (bit - 1)).count_ones() as usize
}

/// Per byte, its class: the bytes that most texts hold have one of their own.
fn classes<'a>(texts: impl Iterator<Item = &'a Box<[u8]>>) -> [u8; 256] {
    let mut uses = [0_u32; 256];
    for byte in texts.flat_map(|text| text.iter().take(TEXT_BYTES)) {
        uses[usize::from(byte.to_ascii_lowercase())] += 1;
    }
    let mut used: Vec<u8> = (0..=u8::MAX).filter(|byte| uses[usize::from(*byte)] > 0).collect();
    used.sort_by_key(|byte| std::cmp::Reverse(uses[usize::from(*byte)]));
    let mut classes = [0; 256];
    for (index, byte) in used.iter().enumerate() {
        classes[usize::from(*byte)] = (index + 1).min(CLASSES - 1) as u8;
    }
    for upper in b'A'..=b'Z' {
        classes[usize::from(upper)] = classes[usize::from(upper.to_ascii_lowercase())];
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(texts: &[&[u8]], value: &[u8]) -> Vec<u32> {
        let asked = texts.iter().zip(0..).map(|(text, asker)| (Box::from(*text), vec![asker])).collect();
        let mut found = Vec::new();
        Texts::new(&asked).each(value, |askers| found.extend(askers));
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn texts_of_each_length_wherever_they_stand() {
        let texts: &[&[u8]] = &[b"ab", b"abc", b"abcd", b"bcd", b"\x00\xff"];
        assert_eq!(found(texts, b"ab"), [0]);
        assert_eq!(found(texts, b"xABC"), [0, 1]);
        assert_eq!(found(texts, b"xAbCdx"), [0, 1, 2, 3]);
        assert_eq!(found(texts, b"a\x00\xff"), [4]);
        assert_eq!(found(texts, b"acb bc"), [0; 0]);
        assert_eq!(found(&[], b"abc"), [0; 0]);
    }

    proptest! {
        /// With few different bytes, exactly what a search for each finds; with many, at least that.
        #[test]
        fn finds_what_a_search_for_each_finds(
            texts in prop::collection::btree_set(prop::collection::vec(prop::sample::select(b"abc<\x80".to_vec()), 2..=4), 0..20),
            wide in prop::collection::btree_set(prop::collection::vec(any::<u8>().prop_map(|byte| byte.to_ascii_lowercase()), 2..=4), 0..80),
            value in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"abcABC<\x80".to_vec())], 0..40),
        ) {
            let lower = value.to_ascii_lowercase();
            for (texts, exact) in [(texts, true), (wide, false)] {
                let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
                let expected: Vec<u32> = texts.iter().zip(0..)
                    .filter(|(text, _)| lower.windows(text.len()).any(|window| window == **text))
                    .map(|(_, asker)| asker)
                    .collect();
                let found = found(&texts, &value);
                prop_assert!(expected.iter().all(|asker| found.contains(asker)));
                prop_assert!(!exact || found == expected);
            }
        }
    }
}
