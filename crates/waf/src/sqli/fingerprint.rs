//! Fingerprints: the kinds of up to five tokens, and the set of those that injections have.

use std::fmt;
use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use super::token::{Kind, Token};

/// Tokens of a fingerprint at most.
pub(super) const MAX_TOKENS: usize = 5;
/// Slots of the hash table: about twice as many as fingerprints, a power of two.
const SLOTS: usize = 16_384;

/// The kinds of up to five tokens, a [letter](Kind::letter) each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    letters: [u8; MAX_TOKENS],
    len: u8,
}

impl Fingerprint {
    /// That of `tokens`. A single token of the evil kind makes the whole value evil, whatever else it is.
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        if tokens.iter().any(|token| token.kind == Kind::Evil) {
            return Self { letters: [Kind::Evil.letter(), 0, 0, 0, 0], len: 1 };
        }
        let mut letters = [0; MAX_TOKENS];
        for (letter, token) in letters.iter_mut().zip(tokens) {
            *letter = token.kind.letter();
        }
        Self { letters, len: tokens.len().min(MAX_TOKENS) as u8 }
    }

    /// Its letters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.letters[..usize::from(self.len)]
    }

    /// Whether injections have it.
    pub(super) fn is_listed(self) -> bool {
        LISTED.contains(key(self.as_bytes()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// The fingerprints of injections. In the table they are in upper case behind a `0`, so that it takes types (`t`) and
/// statements (`T`) for the same.
static LISTED: LazyLock<Set> = LazyLock::new(|| Set::of(listed().map(key)));

pub(super) fn listed() -> impl Iterator<Item = &'static [u8]> {
    SQL_KEYWORDS
        .iter()
        .filter(|row| row.token_type == b'F')
        .filter_map(|row| row.word.as_bytes().strip_prefix(b"0"))
}

/// The first eight letters as a number, in upper case.
fn key(letters: &[u8]) -> u64 {
    letters.iter().rev().fold(0, |key, letter| key << 8 | u64::from(letter.to_ascii_uppercase()))
}

/// A set of numbers, never zero: a hash table with open addressing.
struct Set {
    slots: Box<[u64]>,
}

impl Set {
    fn of(keys: impl Iterator<Item = u64>) -> Self {
        let mut set = Self { slots: vec![0; SLOTS].into() };
        // One slot is always empty: it ends every search.
        for key in keys.take(SLOTS - 1) {
            let slot = set.slot(key);
            set.slots[slot] = key;
        }
        set
    }

    fn contains(&self, key: u64) -> bool {
        key != 0 && self.slots[self.slot(key)] == key
    }

    /// The slot where `key` is or would be.
    fn slot(&self, key: u64) -> usize {
        /// 2^64 divided by the golden ratio: an odd number without a pattern.
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut slot = (key.wrapping_mul(MULTIPLIER) >> 40) as usize % SLOTS;
        while self.slots[slot] != key && self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_fingerprint_of_the_table_is_listed_and_no_other() {
        let all: HashSet<&[u8]> = listed().collect();
        assert!(all.len() > 8_000 && all.iter().all(|letters| letters.len() <= MAX_TOKENS), "{}", all.len());
        for letters in &all {
            assert!(LISTED.contains(key(letters)));
            let longer = [letters, &b"?"[..]].concat();
            assert!(!LISTED.contains(key(&longer)));
            assert_eq!(LISTED.contains(key(&letters[1..])), all.contains(&letters[1..]));
        }
    }

    #[test]
    fn evil_is_the_whole() {
        let token = |kind| Token::new(kind, 0, b"");
        let print = Fingerprint::of(&[token(Kind::Number), token(Kind::Evil), token(Kind::Number)]);
        assert_eq!(print.as_bytes(), b"X");
        assert!(print.is_listed());
        let tokens = [token(Kind::String), token(Kind::SqlType)];
        assert_eq!(Fingerprint::of(&tokens).as_bytes(), b"st");
        assert!(!Fingerprint::of(&[]).is_listed());
    }
}
