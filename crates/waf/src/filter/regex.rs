//! What every match of a regular expression holds, read off its syntax tree.
//!
//! The idea is that of Cox, "Regular Expression Matching with a Trigram Index" (2012): strings that a part can match
//! exactly are multiplied along a concatenation as long as they are few; where they end, they become something that
//! every match holds. Assertions match the empty string, which takes a condition away and never adds one.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::need::{Need, information, rarest};
use super::plain::plain;
use crate::alphabet::Alphabet;

/// Strings that a part of a pattern is taken to match exactly.
const MAX_EXACT: usize = 48;
/// Bytes of such a string.
const MAX_EXACT_BYTES: usize = 12;
/// Bytes of a class that is still taken for single strings.
const MAX_CLASS: usize = 8;
/// Texts of which every match holds one.
const MAX_ALTERNATIVES: usize = 2_000;

/// What every match of `pattern` holds; the pattern is one for `regex::bytes` with Unicode off.
pub(crate) fn need_of_regex(pattern: &str) -> Need {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
    let Ok(hir) = parsed else { return Need::default() };
    let min_len = hir.properties().minimum_len().unwrap_or(0);
    let facts = Facts::of(&hir);
    let alphabets = facts.alphabets.clone();
    let texts = facts.into_texts();
    let (plain, unusual) = plain(&hir);
    let plain_texts = Facts::of(&plain).into_texts().filter(|_| unusual != Alphabet::EMPTY);
    let information = |texts: &Option<Texts>| texts.as_ref().map_or(0, information_of);
    if information(&plain_texts) > information(&texts) {
        return Need::new(min_len, alphabets, plain_texts).or_byte_of(unusual);
    }
    Need::new(min_len, alphabets, texts)
}

/// Sets of bytes: every match of `hir` holds one of each.
pub(super) fn needed_bytes(hir: &Hir) -> Vec<Alphabet> {
    Facts::of(hir).alphabets
}

type Texts = Vec<Vec<u8>>;

/// What is known of a part of a pattern. Texts are in lower case and match in any case.
#[derive(Debug, Default)]
struct Facts {
    /// All that it matches.
    exact: Option<Texts>,
    /// Every match holds one of these. Used where `exact` is not.
    held: Option<Texts>,
    /// Every match has a byte of each.
    alphabets: Vec<Alphabet>,
}

impl Facts {
    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Self {
                exact: Some(vec![literal.0.to_ascii_lowercase()]),
                held: None,
                alphabets: literal.0.iter().map(|byte| Alphabet::of(&[*byte])).collect(),
            },
            HirKind::Class(Class::Bytes(class)) => {
                let ranges = class.ranges().iter().map(|range| (range.start(), range.end()));
                Self::of_class(ranges.map(|(first, last)| (char::from(first), char::from(last))))
            }
            // The parser's simplification makes one even with Unicode off, of ASCII alone.
            HirKind::Class(Class::Unicode(class)) if class.is_ascii() => {
                Self::of_class(class.ranges().iter().map(|range| (range.start(), range.end())))
            }
            HirKind::Class(Class::Unicode(_)) => Self::default(),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                let inner = Self::of(&repetition.sub);
                match (repetition.min, repetition.max) {
                    (0, Some(1)) => {
                        let exact = inner.exact.filter(|texts| texts.len() < MAX_EXACT);
                        Self {
                            exact: exact.map(|mut texts| {
                                texts.push(Vec::new());
                                texts
                            }),
                            ..Self::default()
                        }
                    }
                    (0, _) => Self::default(),
                    (1, Some(1)) => inner,
                    _ => {
                        let alphabets = inner.alphabets.clone();
                        Self { exact: None, held: inner.into_texts(), alphabets }
                    }
                }
            }
            HirKind::Concat(parts) => Self::concat(parts.iter().map(Self::of)),
            HirKind::Alternation(branches) => Self::either(branches.iter().map(Self::of).collect()),
        }
    }

    /// Of one byte in one of `ranges`, given as the characters of the same numbers.
    fn of_class(ranges: impl Iterator<Item = (char, char)>) -> Self {
        let bytes: Vec<u8> = ranges
            .flat_map(|(first, last)| first..=last)
            .filter_map(|character| u8::try_from(u32::from(character)).ok())
            .collect();
        let mut folded = bytes.to_ascii_lowercase();
        folded.sort_unstable();
        folded.dedup();
        let exact = (folded.len() <= MAX_CLASS).then(|| folded.into_iter().map(|byte| vec![byte]).collect());
        Self { exact, held: None, alphabets: vec![Alphabet::of(&bytes)] }
    }

    fn exactly(texts: Texts) -> Self {
        Self { exact: Some(texts), ..Self::default() }
    }

    /// The texts of which every match holds one; `None` where nothing is known.
    fn into_texts(self) -> Option<Texts> {
        self.exact.or(self.held).filter(|texts| information_of(texts) > 0)
    }

    fn concat(parts: impl Iterator<Item = Self>) -> Self {
        let mut run = vec![Vec::new()];
        let mut is_exact = true;
        let mut held: Option<Texts> = None;
        let mut alphabets = Vec::new();
        let better = |held: &mut Option<Texts>, texts: Texts| {
            if information_of(&texts) > held.as_ref().map_or(0, information_of) {
                *held = Some(texts);
            }
        };
        for part in parts {
            alphabets.extend(part.alphabets.iter().copied());
            if let Some(longer) = part.exact.as_ref().and_then(|texts| product(&run, texts)) {
                run = longer;
                continue;
            }
            is_exact = false;
            better(&mut held, std::mem::replace(&mut run, vec![Vec::new()]));
            match part {
                Self { exact: Some(texts), .. } => run = texts,
                Self { held: Some(texts), .. } => better(&mut held, texts),
                Self { .. } => {}
            }
        }
        if is_exact {
            return Self { exact: Some(run), held: None, alphabets };
        }
        better(&mut held, run);
        Self { exact: None, held, alphabets }
    }

    fn either(branches: Vec<Self>) -> Self {
        let one_each: Option<Vec<_>> =
            branches.iter().map(|branch| rarest(branch.alphabets.iter().copied())).collect();
        let mut alphabets: Vec<Alphabet> =
            one_each.map(|all| all.into_iter().fold(Alphabet::EMPTY, Alphabet::with)).into_iter().collect();
        if let Some((first, others)) = branches.split_first() {
            let in_all = |alphabet: &&Alphabet| others.iter().all(|other| other.alphabets.contains(alphabet));
            alphabets.extend(first.alphabets.iter().filter(in_all));
        }
        let exact: Option<Vec<&Texts>> = branches.iter().map(|branch| branch.exact.as_ref()).collect();
        let exact = exact.map(|all| all.into_iter().flatten().cloned().collect::<Texts>());
        if let Some(texts) = exact.filter(|texts| texts.len() <= MAX_ALTERNATIVES) {
            return Self { exact: Some(texts), held: None, alphabets };
        }
        let held: Option<Vec<Texts>> = branches.into_iter().map(Self::into_texts).collect();
        let held = held.map(|all| all.concat()).filter(|texts| texts.len() <= MAX_ALTERNATIVES);
        Self { exact: None, held, alphabets }
    }
}

/// Every one of `left` followed by every one of `right`, as long as they are few and short.
fn product(left: &Texts, right: &Texts) -> Option<Texts> {
    let longest = |texts: &Texts| texts.iter().map(Vec::len).max().unwrap_or(0);
    // The empty string alone changes nothing, whatever the size of the other side.
    let is_nothing = |texts: &Texts| texts.len() == 1 && texts[0].is_empty();
    if is_nothing(left) {
        return Some(right.clone());
    }
    if is_nothing(right) {
        return Some(left.clone());
    }
    if left.len() * right.len() > MAX_EXACT || longest(left) + longest(right) > MAX_EXACT_BYTES {
        return None;
    }
    Some(left.iter().flat_map(|start| right.iter().map(|end| [&start[..], end].concat())).collect())
}

/// How much it tells that a value holds one of `texts`: the least of them, less for each doubling of their number.
fn information_of(texts: &Texts) -> u32 {
    let least = texts.iter().map(|text| information(text)).min().unwrap_or(0);
    if least == 0 { 0 } else { least.saturating_sub(texts.len().ilog2()).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Vec<String> {
        let texts = need_of_regex(pattern).texts.unwrap_or_default();
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    #[test]
    fn texts_are_read_off_the_pattern() {
        assert_eq!(texts(r"[Uu][Nn][^a]"), ["un"]);
        assert_eq!(texts(r"a(?:bc|de)f[\x00-\xff]*"), ["abcf", "adef"]);
        assert_eq!(texts(r"(?m:^)\b(?:ab)?cd(?m:$)"), ["abcd", "cd"]);
        assert_eq!(texts(r"x*ab+"), Vec::<String>::new());
        assert_eq!(texts(r"[\x00-\xff]*(?:ab){2,}"), ["ab"]);
        assert_eq!(texts(r"ab|c"), Vec::<String>::new());
        assert_eq!(texts(r"(?:ab)*"), Vec::<String>::new());
    }

    #[test]
    fn bytes_and_length_too() {
        let need = need_of_regex(r"[0-9]+(?:\(|')x?");
        assert_eq!(need.min_len, 2);
        assert_eq!(need.alphabets, [Alphabet::of(b"('"), Alphabet::range(b'0', b'9')]);
        assert_eq!(need_of_regex("(?:[a-z]|)"), Need::default());
    }
}
