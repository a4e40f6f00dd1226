//! Which checks a value may match by its length and its alphabet.
//!
//! A check needs a byte of each of several alphabets. Values have few kinds of alphabets, if letters are one kind of byte
//! and digits another: a thread remembers, per such kind, the checks whose needs it meets. What is left is compared in
//! full, check by check.

use std::cell::RefCell;

use super::{BLOCK, insert};
use crate::alphabet::Alphabet;
use crate::hash::fold;
use crate::ruleset::new_identity;

/// Kinds of alphabets that a thread remembers; a power of two.
const KINDS: usize = 256;
/// Words of a remembered set. Larger filters are asked without a memory.
const WORDS: usize = 16;

/// The lengths and alphabets that all checks need.
pub(super) struct ByteNeeds {
    /// Tells filters of this process apart.
    identity: u64,
    checks: Box<[ByteNeed]>,
    alphabets: Box<[Alphabet]>,
    /// Checks that need a byte, or more than one.
    needy: Box<[u64]>,
    /// Checks that need no byte of an alphabet.
    free: Box<[u64]>,
    /// Per bit of an alphabet, the checks whose first alphabet, the one least likely to be met, has it.
    by_first: Box<[u64]>,
}

/// What one check needs.
#[derive(Debug)]
struct ByteNeed {
    min_len: usize,
    /// Where its alphabets are.
    first: u32,
    count: u32,
}

/// Gathers [`ByteNeeds`].
#[derive(Default)]
pub(super) struct ByteNeedsBuilder {
    checks: Vec<ByteNeed>,
    alphabets: Vec<Alphabet>,
}

impl ByteNeedsBuilder {
    /// Adds the next check.
    pub(super) fn add(&mut self, min_len: usize, alphabets: Vec<Alphabet>) {
        let (first, count) = (self.alphabets.len() as u32, alphabets.len() as u32);
        self.checks.push(ByteNeed { min_len, first, count });
        self.alphabets.extend(alphabets);
    }

    /// How many checks there are.
    pub(super) fn len(&self) -> usize {
        self.checks.len()
    }

    /// The needs of all, in sets of `words` words.
    pub(super) fn build(self, words: usize) -> ByteNeeds {
        let (mut needy, mut free) = (vec![0; words], vec![0; words]);
        let mut by_first = vec![0; words * Alphabet::BITS];
        for (check, ByteNeed { min_len, first, count }) in self.checks.iter().enumerate() {
            if *min_len > 0 || *count > 0 {
                insert(&mut needy, check as u32);
            }
            if *count == 0 {
                insert(&mut free, check as u32);
                continue;
            }
            for bit in self.alphabets[*first as usize].bits() {
                insert(&mut by_first[bit * words..][..words], check as u32);
            }
        }
        ByteNeeds {
            identity: new_identity(),
            checks: self.checks.into(),
            alphabets: self.alphabets.into(),
            needy: needy.into(),
            free: free.into(),
            by_first: by_first.into(),
        }
    }
}

impl ByteNeeds {
    /// Takes the checks out of `checks` that a value of `len` bytes and this alphabet cannot match.
    pub(super) fn sift(&self, len: usize, alphabet: Alphabet, checks: &mut [u64]) {
        self.sift_by_kind(alphabet.widened(), checks);
        for (index, (word, needy)) in checks.iter_mut().zip(&self.needy).enumerate() {
            let mut left = *word & needy;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let ByteNeed { min_len, .. } = &self.checks[index * 64 + bit as usize];
                if len < *min_len || !self.are_met(index * 64 + bit as usize, alphabet) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    fn sift_by_kind(&self, kind: Alphabet, checks: &mut [u64]) {
        if checks.len() > WORDS {
            return;
        }
        MEMORY.with_borrow_mut(|memory| {
            let known =
                memory.entry(self.identity, kind, |met| self.find_met(kind, &mut met[..checks.len()]));
            let blocks = checks.as_chunks_mut::<BLOCK>().0.iter_mut().zip(known.as_chunks::<BLOCK>().0);
            for (checks, met) in blocks {
                checks.iter_mut().zip(met).for_each(|(word, met)| *word &= met);
            }
        });
    }

    /// Makes `met` the checks all of whose alphabets have something in common with `kind`.
    fn find_met(&self, kind: Alphabet, met: &mut [u64]) {
        let words = met.len();
        met.copy_from_slice(&self.free);
        for bit in kind.bits() {
            let more = &self.by_first[bit * words..][..words];
            met.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
        }
        for (index, word) in met.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !self.are_met(index * 64 + bit as usize, kind) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    fn are_met(&self, check: usize, alphabet: Alphabet) -> bool {
        let ByteNeed { first, count, .. } = self.checks[check];
        let alphabets = &self.alphabets[first as usize..][..count as usize];
        alphabets.iter().all(|needed| needed.meets(alphabet))
    }
}

thread_local! {
    static MEMORY: RefCell<Memory> = const { RefCell::new(Memory(Vec::new())) };
}

/// Whose filter, which kind, and the checks whose needs it meets; made when it is first asked.
struct Memory(Vec<(u64, Alphabet, [u64; WORDS])>);

impl Memory {
    /// What is known of `kind`; if that is nothing, `find` says it.
    fn entry(
        &mut self,
        identity: u64,
        kind: Alphabet,
        find: impl FnOnce(&mut [u64; WORDS]),
    ) -> &[u64; WORDS] {
        if self.0.is_empty() {
            self.0.resize(KINDS, (u64::MAX, Alphabet::EMPTY, [0; WORDS]));
        }
        let (low, high) = kind.halves();
        let (whose, known, met) = &mut self.0[fold(fold(identity, low), high) as usize % KINDS];
        if *whose != identity || *known != kind {
            (*whose, *known) = (identity, kind);
            find(met);
        }
        met
    }
}
