//! `@rx` and `@rxGlobal`: Perl-compatible regular expressions over bytes.
//!
//! Almost every pattern runs on the `regex` crate, in time linear in the input. A pattern that needs backtracking
//! has two forms: a linear one that matches at least as much, asked first, and the exact one on `fancy-regex` under a
//! step limit, asked only where the first says yes. Running into the limit is a failure, never "no match".
//! An empty pattern matches everything and captures nothing. One difference from PCRE is left: `^` also matches after a
//! line feed that ends the input, where PCRE sees no further line. Example: `@rx ^(\d+)$` matches `42`, `TX:1` is `42`.

mod cache;
mod class;
mod translate;

use super::{Captures, MAX_CAPTURES, OperatorFailure};
use crate::filter::{Need, need_of_regex};
use std::ops::Range;

pub(super) use cache::with_cached;

/// Bytes of one compiled program; the largest of the Core Rule Set needs a tenth of it.
const MAX_PROGRAM_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the lazily built automaton of one pattern, per thread that runs it.
const MAX_AUTOMATON_BYTES: usize = 2 * 1024 * 1024;
/// Backtracking steps on one value.
const MAX_BACKTRACKS: usize = 250_000;
/// Instructions of a pattern that backtracks.
const MAX_BACKTRACKING_PROGRAM: usize = 100_000;

/// Patterns with which rules capture whatever there is: a dot stands for a line feed too.
const TAKES_ALL: [&[u8]; 3] = [b"^.*$", b"^.*", b".*"];

/// What patterns may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternLimits {
    /// Bytes of the compiled automaton, which bound the work per byte of input.
    pub program_bytes: usize,
    /// Bytes of the lazily built automaton, per thread that runs it.
    pub automaton_bytes: usize,
    /// Whether a pattern may need a backtracking engine.
    pub backtracking: bool,
}

impl Default for PatternLimits {
    fn default() -> Self {
        Self { program_bytes: MAX_PROGRAM_BYTES, automaton_bytes: MAX_AUTOMATON_BYTES, backtracking: true }
    }
}

/// A compiled regular expression.
#[derive(Debug)]
pub(super) struct Pattern {
    matches_all: bool,
    /// Whether the first match is always the whole of the input.
    takes_all: bool,
    linear: regex::bytes::Regex,
    exact: Option<fancy_regex::Regex>,
}

impl Pattern {
    /// Compiles a PCRE pattern; the error says what is wrong with it.
    pub(super) fn compile(pattern: &[u8]) -> Result<Self, String> {
        Self::compile_within(pattern, PatternLimits::default())
    }

    /// The same; one that costs more than `limits` is an error.
    pub(super) fn compile_within(pattern: &[u8], limits: PatternLimits) -> Result<Self, String> {
        let translated = translate::translate(pattern).map_err(|error| error.to_string())?;
        if translated.exact.is_some() && !limits.backtracking {
            return Err("it needs a backtracking engine (back references, lookaround, possessive)".to_owned());
        }
        let linear = regex::bytes::RegexBuilder::new(&translated.linear)
            .unicode(false)
            .size_limit(limits.program_bytes)
            .dfa_size_limit(limits.automaton_bytes)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(most) => format!("its automaton takes more than {most} bytes"),
                other => other.to_string(),
            })?;
        let exact = translated.exact.as_deref().map(compile_exact).transpose()?;
        let takes_all = TAKES_ALL.contains(&pattern);
        Ok(Self { matches_all: pattern.is_empty(), takes_all, linear, exact })
    }

    /// Whether what the linear form lets through is left to backtracking.
    pub(super) fn backtracks(&self) -> bool {
        self.exact.is_some()
    }

    /// What an input must hold to match. Where there are two forms, the linear one matches at least as much and is
    /// asked first.
    pub(super) fn need(&self) -> Need {
        need_of_regex(self.linear.as_str())
    }

    /// `@rx`: whether it matches somewhere; the first match and its groups are captured.
    pub(super) fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, OperatorFailure> {
        Ok(self.matches_all || self.find_at(input, 0, 0, captures)?.is_some())
    }

    /// `@rxGlobal`: as `@rx`, but the groups of further matches follow in the next captures, as long as there are any.
    pub(super) fn matches_global(
        &self,
        input: &[u8],
        captures: &mut Captures,
    ) -> Result<bool, OperatorFailure> {
        let mut from = 0;
        while !self.matches_all && from <= input.len() && captures.len() < MAX_CAPTURES {
            let Some(found) = self.find_at(input, from, captures.len(), captures)? else { break };
            from = if found.is_empty() { found.end + 1 } else { found.end };
        }
        Ok(self.matches_all || !captures.is_empty())
    }

    /// The first match at or after `from`; its groups are captured from number `first` on.
    pub(super) fn find_at(
        &self,
        input: &[u8],
        from: usize,
        first: usize,
        captures: &mut Captures,
    ) -> Result<Option<Range<usize>>, OperatorFailure> {
        if self.takes_all && from == 0 {
            return Ok(keep(std::iter::once(Some(0..input.len())), first, captures));
        }
        if !self.linear.is_match_at(input, from) {
            return Ok(None);
        }
        if let Some(exact) = &self.exact {
            let found = exact.captures_from_pos(input, from).map_err(|_| OperatorFailure::StepLimit)?;
            return Ok(found.and_then(|groups| {
                keep(
                    (0..groups.len()).map(|number| groups.get(number).map(|group| group.range())),
                    first,
                    captures,
                )
            }));
        }
        if self.linear.captures_len() == 1 {
            let found = self.linear.find_at(input, from).map(|found| found.range());
            return Ok(keep(std::iter::once(found), first, captures));
        }
        let found = self.linear.captures_at(input, from);
        Ok(found.and_then(|groups| {
            keep(
                (0..groups.len()).map(|number| groups.get(number).map(|group| group.range())),
                first,
                captures,
            )
        }))
    }
}

/// Captures the groups of one match; gives where the whole of it lies.
fn keep(
    groups: impl Iterator<Item = Option<Range<usize>>>,
    first: usize,
    captures: &mut Captures,
) -> Option<Range<usize>> {
    let mut whole = None;
    for (number, group) in groups.enumerate() {
        let Some(range) = group else { continue };
        if number == 0 {
            whole = Some(range.clone());
        }
        captures.set(first + number, range);
    }
    whole
}

fn compile_exact(pattern: &str) -> Result<fancy_regex::Regex, String> {
    fancy_regex::RegexBuilder::new(pattern)
        .bytes_mode(fancy_regex::BytesMode::Ascii)
        .backtrack_limit(MAX_BACKTRACKS)
        .delegate_size_limit(MAX_PROGRAM_BYTES)
        .delegate_dfa_size_limit(MAX_AUTOMATON_BYTES)
        .max_prog_size(MAX_BACKTRACKING_PROGRAM)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_all_does_so_without_a_search() {
        for pattern in TAKES_ALL {
            let quick = Pattern::compile(pattern).unwrap();
            let slow = Pattern { takes_all: false, ..Pattern::compile(pattern).unwrap() };
            assert!(quick.takes_all);
            for input in ["", "a", "\n", "a\nb\n", "\r\n\0"] {
                let (mut one, mut other) = (Captures::new(), Captures::new());
                for (captures, pattern) in [(&mut one, &quick), (&mut other, &slow)] {
                    assert_eq!(pattern.matches(input.as_bytes(), captures), Ok(true));
                }
                assert_eq!(groups(input.as_bytes(), &one), groups(input.as_bytes(), &other), "{input:?}");
            }
        }
    }

    type Groups<'a> = Vec<Option<&'a [u8]>>;

    fn groups<'a>(input: &'a [u8], captures: &'a Captures) -> Groups<'a> {
        (0..captures.len()).map(|number| captures.get(number, input)).collect()
    }

    fn is_match(pattern: &str, input: &[u8]) -> bool {
        Pattern::compile(pattern.as_bytes()).unwrap().matches(input, &mut Captures::new()).unwrap()
    }

    #[test]
    fn groups_are_captured() {
        let mut captures = Captures::new();
        let pattern = Pattern::compile(br"(a)|(b)(c)").unwrap();
        assert!(pattern.matches(b"xbc", &mut captures).unwrap());
        assert_eq!(groups(b"xbc", &captures), [Some(&b"bc"[..]), None, Some(b"b"), Some(b"c")]);
        captures.clear();
        assert!(!pattern.matches(b"x", &mut captures).unwrap() && captures.is_empty());
    }

    #[test]
    fn further_matches_follow() {
        let mut captures = Captures::new();
        let pattern = Pattern::compile(b"(^|a)(b|c)(d)").unwrap();
        assert!(pattern.matches_global(b"bdacd", &mut captures).unwrap());
        let expected: Groups<'_> =
            [&b"bd"[..], b"", b"b", b"d", b"acd", b"a", b"c", b"d"].into_iter().map(Some).collect();
        assert_eq!(groups(b"bdacd", &captures), expected);
    }

    #[test]
    fn an_empty_match_does_not_stop_the_search() {
        let mut captures = Captures::new();
        assert!(Pattern::compile(b"x*").unwrap().matches_global(b"aaxx", &mut captures).unwrap());
        assert!(groups(b"aaxx", &captures).contains(&Some(b"xx")));
    }

    #[test]
    fn bytes_beyond_ascii_are_bytes() {
        assert!(is_match(r"^\x{c2}\xb4$", b"\xc2\xb4"));
        assert!(!is_match(r"\x{c2}", "Â".as_bytes().split_at(1).1));
        assert!(is_match(r"[^a]", b"\xff") && is_match(".", b"\xff"));
        assert!(is_match(r"a\b", b"a\xe9") && !is_match(r"\w", b"\xe9"));
        assert!(!is_match("(?i)\u{212a}", b"k") && !is_match("(?i)\\xe0", b"\xc0"));
    }

    #[test]
    fn lines_and_their_ends() {
        assert!(is_match("^b$", b"a\nb\nc") && is_match("a.b", b"a\nb"));
        assert!(!is_match(r"a\z", b"a\n") && is_match(r"a\Z", b"a\n") && !is_match(r"a\Z", b"a\nb"));
        assert!(is_match("(?-m)a$", b"a\n") && !is_match("(?-m)a$", b"a\nb"));
    }

    #[test]
    fn backtracking_patterns_are_exact() {
        assert!(is_match(r"<\?(?!xml)", b"\xff<?php") && !is_match(r"<\?(?!xml)", b"<?xml"));
        assert!(is_match(r"(?<![a-z])b", b"\xe9b") && !is_match(r"(?<![a-z])b", b"ab"));
        assert!(is_match(r"(?i)(\w+)=\1$", b"x1=X1") && !is_match(r"(\w+)=\1$", b"x1=x2"));
        assert!(
            !is_match("a++a", b"aaa") && !is_match("(?>ab|a)bc", b"abc") && is_match("(?:ab|a)bc", b"abc")
        );
        assert!(is_match(r"a\Bb(?=\xff)", b"ab\xff") && !is_match(r"b\B(?=\xe9)", b"b\xe9"));
    }

    #[test]
    fn captures_of_backtracking_patterns_are_byte_ranges() {
        let mut captures = Captures::new();
        assert!(Pattern::compile(br"(\w)(?=\1)").unwrap().matches(b"\xe9\xe9abb", &mut captures).unwrap());
        assert_eq!(captures.range(1), Some(3..4));
    }

    #[test]
    fn too_many_steps_is_a_failure() {
        let pattern = Pattern::compile(br"(?:(a|aa)+\1)+(?!\x00)$").unwrap();
        let input = [b"a".repeat(60).as_slice(), b"b"].concat();
        assert_eq!(pattern.matches(&input, &mut Captures::new()), Err(OperatorFailure::StepLimit));
    }

    #[test]
    fn an_empty_pattern_matches_everything() {
        let mut captures = Captures::new();
        assert!(Pattern::compile(b"").unwrap().matches(b"", &mut captures).unwrap());
        assert!(Pattern::compile(b"").unwrap().matches_global(b"x", &mut captures).unwrap());
        assert!(captures.is_empty());
    }

    #[test]
    fn a_program_that_is_too_large_does_not_compile() {
        assert!(Pattern::compile(b"(?:[a-z]{9000}){9000}").is_err());
    }
}
