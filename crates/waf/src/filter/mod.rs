//! Which checks a value may match, found in one pass over it: what need not be asked is not asked.
//!
//! For each check the compiler derives a [`Need`]: what every value that matches must have. The needed texts of all
//! checks are one automaton, which a value runs through once; needed bytes are compared with the value's
//! [`Alphabet`]. A check whose need is not met cannot match, so leaving it out changes no verdict; a check whose need
//! is met is asked as if there were no filter. Negated checks match where the operator does not and are never
//! filtered, and neither is a check that may fail on a value that lacks what it needs.
//!
//! Letter case: needed texts are kept in lower case and looked for without regard to ASCII case, so the filter is
//! wider than any check in this too.

mod need;
mod regex;

use std::collections::HashMap;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

use crate::alphabet::Alphabet;

pub(crate) use need::Need;
pub(crate) use regex::need_of_regex;

/// Texts of all checks together. With texts of four bytes the automaton stays under 40 MB whatever they are; checks
/// that come too late are filtered by their bytes alone.
const MAX_TEXTS: usize = 30_000;

/// A check's place in the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckId(u32);

impl CheckId {
    /// Whether it is in `checks`, a set that a [`Filter`] made.
    pub(crate) fn is_in(self, checks: &[u64]) -> bool {
        checks[self.0 as usize / 64] & (1 << (self.0 % 64)) != 0
    }
}

/// Gathers the needs of all checks.
#[derive(Default)]
pub(crate) struct FilterBuilder {
    texts: HashMap<Box<[u8]>, Vec<u32>>,
    checks: Vec<Bytes>,
    without_text: Vec<u32>,
}

/// What the filter compares without the automaton.
#[derive(Debug)]
struct Bytes {
    min_len: usize,
    /// One byte of each.
    alphabets: Box<[Alphabet]>,
}

impl FilterBuilder {
    /// Adds a check; `None` if nothing is known of what it needs.
    pub(crate) fn add(&mut self, need: Need) -> Option<CheckId> {
        let Need { min_len, alphabets, texts } = need;
        let texts = texts.filter(|texts| self.texts.len() + texts.len() <= MAX_TEXTS);
        if min_len == 0 && alphabets.is_empty() && texts.is_none() {
            return None;
        }
        let check = self.checks.len() as u32;
        self.checks.push(Bytes { min_len, alphabets: alphabets.into() });
        match texts {
            Some(texts) => {
                for text in texts {
                    self.texts.entry(text).or_default().push(check);
                }
            }
            None => self.without_text.push(check),
        }
        Some(CheckId(check))
    }

    /// The filter of all checks added; `Err` if the automaton cannot be built.
    pub(crate) fn build(self) -> Result<Filter, String> {
        // Sorted, so that the same rules give the same automaton.
        let mut texts: Vec<(Box<[u8]>, Vec<u32>)> = self.texts.into_iter().collect();
        texts.sort_unstable();
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(texts.iter().map(|(text, _)| text))
            .map_err(|error| error.to_string())?;
        let start = automaton.start_state(Anchored::No).map_err(|error| error.to_string())?;
        let words = self.checks.len().div_ceil(64);
        let mut without_text = vec![0; words];
        for check in self.without_text {
            insert(&mut without_text, check);
        }
        Ok(Filter {
            automaton,
            start,
            asked_by: texts.into_iter().map(|(_, checks)| checks.into()).collect(),
            checks: self.checks.into(),
            without_text: without_text.into(),
        })
    }
}

/// The needs of all checks of a rule set.
pub(crate) struct Filter {
    automaton: DFA,
    start: aho_corasick::automaton::StateID,
    /// Per text of the automaton, the checks that need it or another.
    asked_by: Box<[Box<[u32]>]>,
    checks: Box<[Bytes]>,
    /// Checks that need no text.
    without_text: Box<[u64]>,
}

impl Filter {
    /// Words of a set of checks.
    pub(crate) fn words(&self) -> usize {
        self.without_text.len()
    }

    /// Makes `checks`, a set of [`Filter::words`] words, the checks that `value` may match; `alphabet` is the value's.
    pub(crate) fn scan(&self, value: &[u8], alphabet: Alphabet, checks: &mut [u64]) {
        checks.copy_from_slice(&self.without_text);
        let mut state = self.start;
        for &byte in value {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let text = self.automaton.match_pattern(state, index);
                    self.asked_by[text.as_usize()].iter().for_each(|check| insert(checks, *check));
                }
            }
        }
        for (index, word) in checks.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !self.checks[index * 64 + bit as usize].are_met(value.len(), alphabet) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

impl Bytes {
    fn are_met(&self, len: usize, alphabet: Alphabet) -> bool {
        len >= self.min_len && self.alphabets.iter().all(|needed| needed.meets(alphabet))
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

    type Compiled = (Vec<(Operator, Option<CheckId>)>, Filter);
    static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
        let mut builder = FilterBuilder::default();
        let compiled = CHECKS.iter().map(|(name, argument)| {
            let operator = Operator::compile(name, argument, &NoFiles).unwrap();
            let check = builder.add(operator.need());
            (operator, check)
        });
        (compiled.collect(), builder.build().unwrap())
    });

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let tokens = [
            "union",
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
                if check.is_some_and(|check| !check.is_in(&may)) {
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
        let filtered: Vec<_> = checks.iter().filter_map(|(_, check)| *check).collect();
        let left = filtered.iter().filter(|check| check.is_in(&may)).count();
        assert!(filtered.len() > 20 && left <= 5, "{left} of {}", filtered.len());
    }
}
