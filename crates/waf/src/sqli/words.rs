//! Words and phrases that mean something in SQL.
//!
//! Nearly every word of an ordinary value means nothing, so most questions are answered by a look at first byte and
//! length. The others go to a hash table with open addressing, of words in upper case and padded to a fixed size, so
//! that hashing and comparing need no loop over bytes.

use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use super::token::{Kind, MAX_TEXT_BYTES};

/// Slots of the hash table: about twice as many as words, a power of two.
const SLOTS: usize = 2048;

/// The words and phrases of SQL.
pub(super) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    Words::of(SQL_KEYWORDS.iter().filter_map(|row| Some((row.word, kind(row.token_type)?))))
});

/// The kind that a letter of the table is; `None` if it tells of no word (fingerprints are in the table too).
fn kind(letter: u8) -> Option<Kind> {
    Some(match letter {
        b'k' => Kind::Keyword,
        b'U' => Kind::Union,
        b'B' => Kind::Group,
        b'E' => Kind::Expression,
        b't' => Kind::SqlType,
        b'f' => Kind::Function,
        b'n' => Kind::Bareword,
        b'1' => Kind::Number,
        b'v' => Kind::Variable,
        b'o' => Kind::Operator,
        b'&' => Kind::Logic,
        b'A' => Kind::Collate,
        b'T' => Kind::Tsql,
        _ => return None,
    })
}

/// A set of words and phrases, each of a kind; whatever the case of ASCII letters.
pub(super) struct Words {
    /// Per first byte, a bit for each length that such a word has.
    lengths: [u32; 256],
    /// The same of phrases, words with a space.
    phrase_lengths: [u32; 256],
    /// Per last five bits of a phrase's first byte, a bit for those of each byte that follows a space in it.
    seams: [u32; 32],
    /// Per slot, the upper half of the hash and one more than the word's place in `all`; zero is an empty slot.
    slots: Box<[u32]>,
    all: Vec<Word>,
}

struct Word {
    padded: Padded,
    text: &'static str,
    kind: Kind,
}

/// A word in upper case, filled up with NUL.
type Padded = [u8; MAX_TEXT_BYTES + 1];

impl Words {
    fn of(words: impl Iterator<Item = (&'static str, Kind)>) -> Self {
        let mut table = Self {
            lengths: [0; 256],
            phrase_lengths: [0; 256],
            seams: [0; 32],
            slots: vec![0; SLOTS].into(),
            all: Vec::new(),
        };
        for (text, kind) in words {
            table.add(text, kind);
        }
        table
    }

    fn add(&mut self, text: &'static str, kind: Kind) {
        let bytes = text.as_bytes();
        let &[first, ..] = bytes else { return };
        if bytes.len() > MAX_TEXT_BYTES || self.all.len() >= SLOTS / 2 {
            return;
        }
        let seams = bytes.windows(2).filter(|pair| pair[0] == b' ').map(|pair| pair[1]);
        let seams = seams.fold(0, |bits, byte| bits | 1 << (byte % 32));
        self.seams[usize::from(first % 32)] |= seams;
        for first in [first, first.to_ascii_lowercase()] {
            self.lengths[usize::from(first)] |= 1 << bytes.len();
            if seams != 0 {
                self.phrase_lengths[usize::from(first)] |= 1 << bytes.len();
            }
        }
        let padded = padded(bytes);
        let hash = hash(&padded, bytes.len());
        self.all.push(Word { padded, text, kind });
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = hash & 0xffff_0000 | self.all.len() as u32;
    }

    /// The kind of a word; `None` if it means nothing.
    pub(super) fn kind(&self, word: &[u8]) -> Option<Kind> {
        let &[first, ..] = word else { return None };
        if !has(self.lengths[usize::from(first)], word.len()) {
            return None;
        }
        self.find(&padded(word), word.len()).map(|word| word.kind)
    }

    /// The phrase that two words with a space between them are, and its kind; `None` if they are none.
    pub(super) fn phrase(&self, first: &[u8], second: &[u8]) -> Option<(&'static str, Kind)> {
        let (&[first_byte, ..], &[second_byte, ..]) = (first, second) else { return None };
        let len = first.len() + 1 + second.len();
        let may_be = has(self.phrase_lengths[usize::from(first_byte)], len)
            && has(self.seams[usize::from(first_byte % 32)], usize::from(second_byte % 32));
        if !may_be {
            return None;
        }
        let mut both = [0; MAX_TEXT_BYTES + 1];
        both[..first.len()].copy_from_slice(first);
        both[first.len()] = b' ';
        both[first.len() + 1..len].copy_from_slice(second);
        both.make_ascii_uppercase();
        self.find(&both, len).map(|word| (word.text, word.kind))
    }

    fn find(&self, padded: &Padded, len: usize) -> Option<&Word> {
        let hash = hash(padded, len);
        let mut slot = hash as usize % SLOTS;
        loop {
            let held = self.slots[slot];
            if held == 0 {
                return None;
            }
            if held >> 16 == hash >> 16 {
                let word = &self.all[(held as usize & 0xffff) - 1];
                // NUL may be a byte of the word and not padding.
                if word.padded == *padded && word.text.len() == len {
                    return Some(word);
                }
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Whether bit `index` is set.
fn has(bits: u32, index: usize) -> bool {
    index < 32 && bits >> index & 1 != 0
}

/// `word` has at most [`MAX_TEXT_BYTES`] bytes.
fn padded(word: &[u8]) -> Padded {
    let mut padded = [0; MAX_TEXT_BYTES + 1];
    padded[..word.len()].copy_from_slice(word);
    padded.make_ascii_uppercase();
    padded
}

/// Multiplies and mixes eight bytes at a time. The words are fixed, so nobody can make them collide.
fn hash(padded: &Padded, len: usize) -> u32 {
    /// 2^64 divided by the golden ratio: an odd number without a pattern.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let (chunks, _) = padded.as_chunks::<8>();
    let mixed = chunks.iter().fold(len as u64, |hash, chunk| {
        (hash.rotate_left(23) ^ u64::from_le_bytes(*chunk)).wrapping_mul(MULTIPLIER)
    });
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_found() {
        let mut words = 0;
        for row in SQL_KEYWORDS.iter().filter(|row| row.token_type != b'F') {
            let expected = kind(row.token_type).unwrap();
            assert_eq!(WORDS.kind(row.word.as_bytes()), Some(expected), "{}", row.word);
            assert_eq!(WORDS.kind(row.word.to_lowercase().as_bytes()), Some(expected), "{}", row.word);
            for (at, _) in row.word.match_indices(' ') {
                let (first, second) = (&row.word[..at], &row.word[at + 1..]);
                assert_eq!(WORDS.phrase(first.as_bytes(), second.as_bytes()), Some((row.word, expected)));
            }
            words += 1;
        }
        assert!(words > 900, "{words}");
    }

    #[test]
    fn what_is_not_in_the_table_is_not_found() {
        for word in ["", "selec", "selects", "SELECT\0", "zelect", "0UEN", &"a".repeat(31)] {
            assert_eq!(WORDS.kind(word.as_bytes()), None, "{word}");
        }
        for (first, second) in
            [("group", "bye"), ("", "by"), ("group", ""), ("hello", "world"), ("group ", "by")]
        {
            assert_eq!(WORDS.phrase(first.as_bytes(), second.as_bytes()), None, "{first} {second}");
        }
        assert_eq!(WORDS.phrase(&[b'g'; 31], &[b'b'; 31]), None);
    }
}
