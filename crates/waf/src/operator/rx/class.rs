//! Sets of bytes: PCRE's character classes and shorthands, resolved to what they contain.

use super::translate::{TranslateError, hex_escape};
use crate::transform::bytes::octal;

/// A set of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ByteSet {
    has: [bool; 256],
}

impl ByteSet {
    fn empty() -> Self {
        Self { has: [false; 256] }
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut set = Self::empty();
        for &byte in bytes {
            set.has[usize::from(byte)] = true;
        }
        set
    }

    fn filled_by(accept: impl Fn(u8) -> bool) -> Self {
        Self { has: std::array::from_fn(|byte| accept(byte as u8)) }
    }

    pub(super) fn complement(&self) -> Self {
        Self { has: self.has.map(|has| !has) }
    }

    /// With the other case of every ASCII letter in it.
    pub(super) fn fold_case(&self) -> Self {
        let has = |byte: u8| self.has[usize::from(byte)];
        Self::filled_by(|byte| has(byte) || has(byte.to_ascii_lowercase()) || has(byte.to_ascii_uppercase()))
    }

    fn add(&mut self, other: &Self) {
        for (has, other) in self.has.iter_mut().zip(other.has) {
            *has |= other;
        }
    }

    /// As a literal or a class of the common dialect; `None` for the empty set, which neither has.
    pub(super) fn to_pattern(&self) -> Option<String> {
        let ranges = self.ranges();
        match ranges[..] {
            [] => None,
            [(only, last)] if only == last => Some(literal(only)),
            _ => {
                let mut text = String::from("[");
                for (first, last) in ranges {
                    text.push_str(&literal(first));
                    if last > first {
                        if last > first + 1 {
                            text.push('-');
                        }
                        text.push_str(&literal(last));
                    }
                }
                text.push(']');
                Some(text)
            }
        }
    }

    fn ranges(&self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=u8::MAX).filter(|&byte| self.has[usize::from(byte)]) {
            match ranges.last_mut() {
                Some((_, last)) if u16::from(*last) + 1 == u16::from(byte) => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }
}

/// A byte that stands for itself in both crates, in and outside a class.
fn literal(byte: u8) -> String {
    match byte {
        b'0'..=b'9'
        | b'A'..=b'Z'
        | b'a'..=b'z'
        | b'_'
        | b'<'
        | b'>'
        | b'/'
        | b':'
        | b';'
        | b','
        | b'='
        | b'"'
        | b'%' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// What `\d`, `\W` and their like stand for.
pub(super) fn shorthand(letter: u8) -> Option<ByteSet> {
    let set = match letter.to_ascii_lowercase() {
        b'd' => ByteSet::filled_by(|byte| byte.is_ascii_digit()),
        b'w' => ByteSet::filled_by(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        b's' => ByteSet::of(b"\t\n\x0b\x0c\r "),
        b'h' => ByteSet::of(b"\t \xa0"),
        b'v' => ByteSet::of(b"\n\x0b\x0c\r\x85"),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() { set.complement() } else { set })
}

/// The byte that the escape of `letter` stands for; `at` is after the letter.
pub(super) fn escaped_byte(pattern: &[u8], at: &mut usize, letter: u8) -> Result<u8, TranslateError> {
    Ok(match letter {
        b'a' => 0x07,
        b'e' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' => hex_escape(pattern, at)?,
        b'0'..=b'7' => {
            let (value, digits) = octal(&pattern[*at - 1..]).unwrap_or_default();
            *at += digits - 1;
            u8::try_from(value)
                .map_err(|_| TranslateError { offset: *at, message: "an octal escape above 377" })?
        }
        b'c' => {
            let control = pattern.get(*at).filter(|byte| byte.is_ascii_graphic());
            *at += 1;
            control
                .ok_or(TranslateError { offset: *at, message: "\\c without a character" })?
                .to_ascii_uppercase()
                ^ 0x40
        }
        letter if letter.is_ascii_alphanumeric() => {
            return Err(TranslateError { offset: *at, message: "this escape is not supported" });
        }
        other => other,
    })
}

/// Parses a class; `at` is after its `[` and ends after its `]`.
pub(super) fn parse(pattern: &[u8], at: &mut usize, caseless: bool) -> Result<ByteSet, TranslateError> {
    let start = *at;
    let negated = pattern.get(*at) == Some(&b'^');
    *at += usize::from(negated);
    let first = *at;
    let mut set = ByteSet::empty();
    loop {
        match pattern.get(*at) {
            None => return Err(TranslateError { offset: start, message: "a class is not closed" }),
            Some(b']') if *at > first => break,
            Some(_) => {}
        }
        let from = match item(pattern, at)? {
            Item::Set(more) => {
                set.add(&more);
                continue;
            }
            Item::Nothing => continue,
            Item::Byte(byte) => byte,
        };
        let is_range = matches!(pattern[*at..], [b'-', next, ..] if next != b']');
        if !is_range {
            set.has[usize::from(from)] = true;
            continue;
        }
        *at += 1;
        match item(pattern, at)? {
            Item::Byte(to) if from <= to => set.has[usize::from(from)..=usize::from(to)].fill(true),
            Item::Byte(_) => {
                return Err(TranslateError { offset: *at, message: "a range that runs backwards" });
            }
            // As PCRE: a hyphen before a shorthand is a hyphen.
            Item::Set(more) => {
                set.add(&more);
                set.add(&ByteSet::of(&[from, b'-']));
            }
            Item::Nothing => return Err(TranslateError { offset: *at, message: "a range without an end" }),
        }
    }
    *at += 1;
    let set = if caseless { set.fold_case() } else { set };
    Ok(if negated { set.complement() } else { set })
}

enum Item {
    Byte(u8),
    Set(Box<ByteSet>),
    /// `\E`, which PCRE ignores.
    Nothing,
}

fn item(pattern: &[u8], at: &mut usize) -> Result<Item, TranslateError> {
    let byte = pattern[*at];
    *at += 1;
    match (byte, pattern.get(*at)) {
        (b'\\', Some(&letter)) => {
            *at += 1;
            match letter {
                b'b' => Ok(Item::Byte(0x08)),
                b'E' => Ok(Item::Nothing),
                _ => match shorthand(letter) {
                    Some(set) => Ok(Item::Set(Box::new(set))),
                    None => escaped_byte(pattern, at, letter).map(Item::Byte),
                },
            }
        }
        (b'\\', None) => Err(TranslateError { offset: *at, message: "a backslash at the end" }),
        (b'[', Some(b':')) => match posix(pattern, at)? {
            Some(set) => Ok(Item::Set(Box::new(set))),
            None => Ok(Item::Byte(b'[')),
        },
        _ => Ok(Item::Byte(byte)),
    }
}

/// `[:name:]`; `at` is at the first colon. Not one at all: `None`, nothing taken.
fn posix(pattern: &[u8], at: &mut usize) -> Result<Option<ByteSet>, TranslateError> {
    let inside = &pattern[*at + 1..];
    let negated = inside.first() == Some(&b'^');
    let name = &inside[usize::from(negated)..];
    let letters = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if !name[letters..].starts_with(b":]") {
        return Ok(None);
    }
    let set = match &name[..letters] {
        b"alnum" => ByteSet::filled_by(|byte| byte.is_ascii_alphanumeric()),
        b"alpha" => ByteSet::filled_by(|byte| byte.is_ascii_alphabetic()),
        b"ascii" => ByteSet::filled_by(|byte| byte.is_ascii()),
        b"blank" => ByteSet::of(b" \t"),
        b"cntrl" => ByteSet::filled_by(|byte| byte.is_ascii_control()),
        b"digit" => ByteSet::filled_by(|byte| byte.is_ascii_digit()),
        b"graph" => ByteSet::filled_by(|byte| byte.is_ascii_graphic()),
        b"lower" => ByteSet::filled_by(|byte| byte.is_ascii_lowercase()),
        b"print" => ByteSet::filled_by(|byte| byte.is_ascii_graphic() || byte == b' '),
        b"punct" => ByteSet::filled_by(|byte| byte.is_ascii_punctuation()),
        b"space" => ByteSet::of(b"\t\n\x0b\x0c\r "),
        b"upper" => ByteSet::filled_by(|byte| byte.is_ascii_uppercase()),
        b"word" => ByteSet::filled_by(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        b"xdigit" => ByteSet::filled_by(|byte| byte.is_ascii_hexdigit()),
        _ => return Err(TranslateError { offset: *at, message: "an unknown POSIX class" }),
    };
    *at += 1 + usize::from(negated) + letters + 2;
    Ok(Some(if negated { set.complement() } else { set }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str, caseless: bool) -> String {
        let mut at = 1;
        let set = parse(text.as_bytes(), &mut at, caseless).unwrap();
        assert_eq!(at, text.len(), "{text}");
        set.to_pattern().unwrap()
    }

    #[test]
    fn nothing_in_a_class_nests() {
        assert_eq!(class("[[a]", false), r"[\x5ba]");
        assert_eq!(class("[]a]", false), r"[\x5da]");
        assert_eq!(class("[a&&+--c~~d-]", false), r"[\x26\x2b-\x2dacd\x7e]");
        assert_eq!(class("[^]]", false), r"[\x00-\x5c\x5e-\xff]");
        assert_eq!(class("[[:x]", false), r"[:\x5bx]");
    }

    #[test]
    fn ranges_escapes_and_shorthands() {
        assert_eq!(class(r"[a-c\x{e2}\]\-z-]", false), r"[\x2d\x5da-cz\xe2]");
        assert_eq!(class(r"[\w-.]", false), r"[\x2d\x2e0-9A-Z_a-z]");
        assert_eq!(class(r"[+-\d]", false), r"[\x2b\x2d0-9]");
        assert_eq!(class(r"[\b\n\t\v]", false), r"[\x08-\x0d\x85]");
        assert_eq!(class("[[:alpha:][:^ascii:]_]", false), r"[A-Z_a-z\x80-\xff]");
        assert_eq!(class(r"[\d\D]", false), r"[\x00-\xff]");
    }

    #[test]
    fn case_folds_before_negation() {
        assert_eq!(class("[a-c]", true), "[A-Ca-c]");
        assert_eq!(class("[^A]", true), r"[\x00-\x40B-\x60b-\xff]");
    }
}
