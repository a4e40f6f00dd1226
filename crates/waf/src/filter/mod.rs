//! Which checks a value may match, found in one pass over it: what need not be asked is not asked.
//!
//! For each check the compiler derives a [`Need`]: what every value that matches must have. The needed texts of all
//! checks are looked for in one pass ([`texts`]); needed bytes are compared with the value's [`Alphabet`]. A check whose
//! need is not met cannot match, so leaving it out changes no verdict; a check whose need is met is asked as if there
//! were no filter. A check of which nothing is known is always asked.
//!
//! Letter case: needed texts are kept in lower case and looked for without regard to ASCII case, so the filter is
//! wider than any check in this too.

mod need;
mod plain;
mod regex;
mod texts;

use std::collections::BTreeMap;

use crate::alphabet::Alphabet;

pub(crate) use need::Need;
pub(crate) use regex::need_of_regex;

use texts::Texts;

/// Texts of all checks together; checks that come too late are filtered by their bytes alone.
const MAX_TEXTS: usize = 30_000;
/// Words of a set that are worked on together.
const BLOCK: usize = 4;

/// A check's place in the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckId(u32);

impl CheckId {
    /// Whether it is in `checks`, a set that a [`Filter`] made.
    pub(crate) fn is_in(self, checks: &[u64]) -> bool {
        checks[self.0 as usize / 64] & (1 << (self.0 % 64)) != 0
    }
}

impl CheckId {
    /// Puts it into `checks`.
    pub(crate) fn put_into(self, checks: &mut [u64]) {
        insert(checks, self.0);
    }

    /// Takes it out of `checks`.
    pub(crate) fn take_out_of(self, checks: &mut [u64]) {
        checks[self.0 as usize / 64] &= !(1 << (self.0 % 64));
    }
}

/// Gathers the needs of all checks.
#[derive(Default)]
pub(crate) struct FilterBuilder {
    texts: BTreeMap<Box<[u8]>, Vec<u32>>,
    without_text: Vec<u32>,
    /// Checks that a byte satisfies in place of a text.
    instead: Vec<(u32, Alphabet)>,
    checks: Vec<Bytes>,
    alphabets: Vec<Alphabet>,
}

/// What the filter compares without a search.
#[derive(Debug)]
struct Bytes {
    min_len: usize,
    /// Where its alphabets are: the value must have a byte of each.
    first: u32,
    count: u32,
}

impl FilterBuilder {
    /// Adds a check.
    pub(crate) fn add(&mut self, need: Need) -> CheckId {
        let Need { min_len, alphabets, texts, instead_of_text } = need;
        let check = self.checks.len() as u32;
        let (first, count) = (self.alphabets.len() as u32, alphabets.len() as u32);
        self.checks.push(Bytes { min_len, first, count });
        self.alphabets.extend(alphabets);
        match texts.filter(|texts| self.texts.len() + texts.len() <= MAX_TEXTS) {
            Some(texts) => {
                self.instead.push((check, instead_of_text));
                for text in texts {
                    self.texts.entry(text).or_default().push(check);
                }
            }
            None => self.without_text.push(check),
        }
        CheckId(check)
    }

    /// The filter of all checks added.
    pub(crate) fn build(self) -> Filter {
        let words = self.checks.len().div_ceil(64).next_multiple_of(BLOCK);
        let mut without_text = vec![0; words];
        self.without_text.iter().for_each(|check| insert(&mut without_text, *check));
        let mut instead = vec![0; words * Alphabet::BITS];
        let mut instead_bytes = Alphabet::EMPTY;
        for (check, alphabet) in self.instead {
            instead_bytes = instead_bytes.with(alphabet);
            for bit in alphabet.bits() {
                insert(&mut instead[bit * words..][..words], check);
            }
        }
        let mut any_bytes = vec![0; words];
        let mut by_byte = vec![0; words * Alphabet::BITS];
        for (check, Bytes { first, count, .. }) in self.checks.iter().enumerate() {
            if *count == 0 {
                insert(&mut any_bytes, check as u32);
                continue;
            }
            // The first is the one that is least likely to be met.
            for bit in self.alphabets[*first as usize].bits() {
                insert(&mut by_byte[bit * words..][..words], check as u32);
            }
        }
        Filter {
            texts: Texts::new(&self.texts),
            without_text: without_text.into(),
            instead: instead.into(),
            instead_bytes,
            any_bytes: any_bytes.into(),
            by_byte: by_byte.into(),
            checks: self.checks.into(),
            alphabets: self.alphabets.into(),
        }
    }
}

/// The needs of all checks of a rule set.
pub(crate) struct Filter {
    texts: Texts,
    /// Checks that need no text.
    without_text: Box<[u64]>,
    /// Per bit of an alphabet, the checks that its bytes satisfy in place of a text.
    instead: Box<[u64]>,
    /// All these bytes.
    instead_bytes: Alphabet,
    /// Checks that need no bytes.
    any_bytes: Box<[u64]>,
    /// Per bit of an alphabet, the checks whose first alphabet has it.
    by_byte: Box<[u64]>,
    checks: Box<[Bytes]>,
    alphabets: Box<[Alphabet]>,
}

impl Filter {
    /// Words of a set of checks.
    pub(crate) fn words(&self) -> usize {
        self.without_text.len()
    }

    /// Makes `checks`, a set of [`Filter::words`] words, the checks that `value` may match; `alphabet` is the value's.
    pub(crate) fn scan(&self, value: &[u8], alphabet: Alphabet, checks: &mut [u64]) {
        checks.copy_from_slice(&self.without_text);
        self.texts.each(value, |askers| askers.iter().for_each(|check| insert(checks, *check)));
        let words = self.words();
        for bit in alphabet.and(self.instead_bytes).bits() {
            let more = &self.instead[bit * words..][..words];
            checks.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
        }
        for start in (0..words).step_by(BLOCK) {
            let mut met = [0; BLOCK];
            met.copy_from_slice(&self.any_bytes[start..start + BLOCK]);
            for bit in alphabet.bits() {
                let more = &self.by_byte[bit * words + start..][..BLOCK];
                met.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
            }
            for (index, met) in met.into_iter().enumerate() {
                let word = &mut checks[start + index];
                *word &= met;
                let mut left = *word;
                while left != 0 {
                    let bit = left.trailing_zeros();
                    left &= left - 1;
                    if !self.are_met((start + index) * 64 + bit as usize, value.len(), alphabet) {
                        *word &= !(1 << bit);
                    }
                }
            }
        }
    }

    fn are_met(&self, check: usize, len: usize, alphabet: Alphabet) -> bool {
        let Bytes { min_len, first, count } = self.checks[check];
        let alphabets = &self.alphabets[first as usize..][..count as usize];
        len >= min_len && alphabets.iter().all(|needed| needed.meets(alphabet))
    }
}

/// Adds `more` to `set`, a set of the same filter.
pub(crate) fn unite(set: &mut [u64], more: &[u64]) {
    let blocks = set.as_chunks_mut::<BLOCK>().0.iter_mut().zip(more.as_chunks::<BLOCK>().0);
    for (set, more) in blocks {
        set.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
    }
}

fn insert(checks: &mut [u64], check: u32) {
    checks[check as usize / 64] |= 1 << (check % 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Captures, DataFiles, Operator};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    struct NoFiles;
    impl DataFiles for NoFiles {
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Err("no such file".to_owned())
        }
    }

    /// Checks whose needs differ in kind, each with what it is for.
    const CHECKS: &[(&str, &str)] = &[
        ("rx", r"(?i)union\s+select|insert[^;]*into"),
        ("rx", r"(?i)\b(?:ab|cd|x)y+[;=]"),
        ("rx", r"^[a-c]{2,3}$"),
        ("rx", r"<\?(?!xml)"),
        ("rx", r"(a|b*)c?"),
        ("rx", r"(?:^|;)(?:or|and)(?:$|=)"),
        ("rx", r#"(?i)s["']*e[\"]?l(?:\$x)*ect|(?:[;\n]|xml)\s*or"#),
        ("rx", r"(?:[;']|a)(?:[<\x80]b)*1|<"),
        ("rx", r"[\x80-\xff]a|\x00b"),
        ("rx", r"(\w)=\1"),
        ("rx", r"a{2}b{0,3}c{1,}"),
        ("rx", ""),
        ("rxGlobal", "(or)+"),
        ("pm", "union or ;x selectinto"),
        ("contains", "oR="),
        ("containsWord", "and"),
        ("beginsWith", "ab"),
        ("endsWith", "=x"),
        ("streq", "ab"),
        ("streq", ""),
        ("strmatch", ";"),
        ("within", "abc"),
        ("validateByteRange", "10,32-126"),
        ("validateUrlEncoding", ""),
        ("validateUtf8Encoding", ""),
        ("detectSQLi", ""),
        ("detectXSS", ""),
        ("ipMatch", "1.1.1.1"),
        ("eq", "0"),
        ("lt", "1"),
        ("unconditionalMatch", ""),
        ("verifyCC", r"\d{13,16}"),
    ];

    type Compiled = (Vec<(Operator, CheckId)>, Filter);
    static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
        let mut builder = FilterBuilder::default();
        let compiled = CHECKS.iter().map(|(name, argument)| {
            let operator = Operator::compile(name, argument, &NoFiles).unwrap();
            let check = builder.add(operator.need());
            (operator, check)
        });
        (compiled.collect(), builder.build())
    });

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let tokens = [
            "union",
            "sel",
            "ect",
            "e\"l",
            "$x",
            "\\",
            "select",
            "SELECT",
            "or",
            "AND",
            "a",
            "b",
            "c",
            "xy",
            "1",
            "'",
            "\"",
            "=",
            ";",
            " ",
            "<",
            "?",
            "xml",
            "/*",
            "--",
            "(",
            ")",
            "%",
            "%41",
            "\0",
            "\u{e9}",
            "insert",
            "into",
            "4111111111111111",
            "onload",
            "script",
            ">",
        ];
        let bytes = prop_oneof![
            prop::sample::select(tokens.to_vec()).prop_map(|token| token.as_bytes().to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(bytes, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_left_out_would_not_have_matched(value in value()) {
            let (checks, filter) = &*COMPILED;
            let mut may = vec![0; filter.words()];
            filter.scan(&value, Alphabet::of(&value), &mut may);
            for ((operator, check), named) in checks.iter().zip(CHECKS) {
                let answer = operator.matches(&value, &mut Captures::new());
                if !check.is_in(&may) {
                    prop_assert_eq!(answer, Ok(false), "{:?}", named);
                }
            }
        }
    }

    #[test]
    fn most_checks_are_left_out_for_plain_words() {
        let (checks, filter) = &*COMPILED;
        let mut may = vec![0; filter.words()];
        let value = b"plain-words";
        filter.scan(value, Alphabet::of(value), &mut may);
        let known = checks.iter().filter(|(operator, _)| operator.need() != Need::default());
        let (left, out): (Vec<_>, Vec<_>) = known.partition(|(_, check)| check.is_in(&may));
        assert!(left.len() <= 5 && out.len() > 16, "{} and {}", left.len(), out.len());
    }
}
