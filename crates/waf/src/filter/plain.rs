//! What a pattern comes down to for values without unusual punctuation.
//!
//! Patterns against evasion allow quotes, backslashes and dollar signs between any two letters: `c["']*a["']*t`. No
//! text is in all their matches. But a value that holds none of those bytes can only match what is left without the
//! parts that need one: `cat`. So such a pattern is taken apart into a plain one and the bytes that make a value match in
//! other ways: a value that matches holds one of the bytes or a text of the plain pattern.

use regex_syntax::hir::{Capture, Hir, HirKind, Repetition};

use super::regex::needed_bytes;
use crate::alphabet::Alphabet;

/// Bytes that most values do without.
const UNUSUAL: Alphabet = Alphabet::of(b"\t\n\r!\"#$&'()*;<>[\\]^`{|}~");

/// The plain pattern and the bytes that every match of `hir` that is none of its own holds one of.
pub(super) fn plain(hir: &Hir) -> (Hir, Alphabet) {
    let mut unusual = Alphabet::EMPTY;
    let plain = without_unusual(hir, &mut unusual);
    (plain, unusual)
}

fn without_unusual(hir: &Hir, unusual: &mut Alphabet) -> Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            if repetition.min == 0
                && let Some(needed) = unusual_of(&repetition.sub)
            {
                *unusual = unusual.with(needed);
                return Hir::empty();
            }
            let sub = Box::new(without_unusual(&repetition.sub, unusual));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(without_unusual(&capture.sub, unusual));
            Hir::capture(Capture { sub, ..capture.clone() })
        }
        HirKind::Concat(parts) => {
            Hir::concat(parts.iter().map(|part| without_unusual(part, unusual)).collect())
        }
        HirKind::Alternation(branches) => {
            let (gone, left): (Vec<_>, Vec<_>) = branches
                .iter()
                .map(|branch| (branch, unusual_of(branch)))
                .partition(|(_, needed)| needed.is_some());
            if left.is_empty() {
                return hir.clone();
            }
            *unusual = gone.iter().filter_map(|(_, needed)| *needed).fold(*unusual, Alphabet::with);
            Hir::alternation(left.iter().map(|(branch, _)| without_unusual(branch, unusual)).collect())
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// Unusual bytes of which every match holds one.
fn unusual_of(hir: &Hir) -> Option<Alphabet> {
    needed_bytes(hir).into_iter().filter(|needed| needed.is_within(UNUSUAL)).min_by_key(|needed| needed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(pattern: &str) -> (String, Alphabet) {
        let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
        let (plain, unusual) = plain(&hir.unwrap());
        (plain.to_string(), unusual)
    }

    #[test]
    fn optional_and_alternative_parts_with_unusual_bytes_go() {
        assert_eq!(plain_of(r#"c["']*a\\?t"#), ("(?:cat)".to_owned(), Alphabet::of(b"\"'\\")));
        assert_eq!(plain_of(r"(?:x|[;|])ls"), ("(?:xls)".to_owned(), Alphabet::of(b";|")));
        assert_eq!(plain_of(r"a(?:\$b*)?c").1, Alphabet::of(b"$"));
    }

    #[test]
    fn what_must_be_there_stays() {
        for pattern in [r"(?-u:[;|])ls", r"a[b;]*c", r"(?:;|&)x"] {
            assert_eq!(plain_of(pattern).1, Alphabet::EMPTY, "{pattern}");
        }
    }
}
