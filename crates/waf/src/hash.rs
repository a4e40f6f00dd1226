//! A quick hash for tables of the engine's own.
//!
//! It is seeded, and no more: who finds bytes that share a hash must gain nothing but a longer search that is bounded
//! elsewhere.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes bytes, eight at a time.
#[derive(Debug, Clone)]
pub(crate) struct QuickHash {
    seed: u64,
}

impl Default for QuickHash {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0) }
    }
}

impl QuickHash {
    /// The hash of `bytes`.
    pub(crate) fn of(&self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let hash = words
            .iter()
            .fold(self.seed ^ bytes.len() as u64, |hash, word| fold(hash, u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(hash, u64::from_le_bytes(last))
    }
}

/// Mixes `word` into `hash`.
pub(crate) fn fold(hash: u64, word: u64) -> u64 {
    // An odd number without pattern: the golden ratio's fraction.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(hash ^ word) * u128::from(FACTOR);
    product as u64 ^ (product >> 64) as u64
}

impl BuildHasher for QuickHash {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { hashes: self.clone(), hash: 0 }
    }
}

/// [`QuickHash`] for tables of the standard library.
#[derive(Debug)]
pub(crate) struct Folded {
    hashes: QuickHash,
    hash: u64,
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        self.hash = fold(self.hash, self.hashes.of(bytes));
    }

    fn write_u64(&mut self, number: u64) {
        self.hash = fold(self.hash, number);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_have_hashes_that_differ() {
        let hash = QuickHash::default();
        let texts: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"abcdefgh", b"abcdefgi"];
        for one in texts {
            for other in texts {
                assert_eq!(hash.of(one) == hash.of(other), one == other);
                assert_eq!(hash.hash_one(one) == hash.hash_one(other), one == other);
            }
        }
    }
}
