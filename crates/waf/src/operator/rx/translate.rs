//! PCRE patterns rewritten for the `regex` and `fancy-regex` crates.
//!
//! Rule sets are written for PCRE in byte mode with `PCRE_DOTALL | PCRE_MULTILINE`, which is how ModSecurity v3
//! compiles them. Here a pattern is read byte by byte and written again in the small common dialect of both crates:
//! classes become explicit byte sets (so nothing in them can nest or be a set operator), letter case and `.`, `^`,
//! `$` are resolved from the flags in force, and every other byte is escaped. What only a backtracking engine can do
//! (lookaround, back references, atomic groups, possessive quantifiers) is kept for that engine and *widened* for the
//! linear one, which then matches at least whatever the exact pattern matches. What neither can do is an error.
//! Reference: pcrepattern(3).

use super::class::{self, ByteSet};
use crate::transform::bytes::hex_value;
use std::fmt;

/// Bytes of a pattern.
const MAX_PATTERN_BYTES: usize = 64 * 1024;
/// Groups open at once, as PCRE's default `parens_nest_limit`.
const MAX_GROUP_DEPTH: usize = 250;
/// Digits that a repeat count or a back reference can have; PCRE counts to 65535.
const MAX_COUNT_DIGITS: usize = 5;

/// Any byte at all, as a class.
const ANY_BYTE: &str = r"[\x00-\xff]";

/// A pattern rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// For the `regex` crate (bytes, Unicode off). Matches whatever the pattern matches, and more if `exact` is there.
    pub(super) linear: String,
    /// For `fancy-regex` in byte mode, where `linear` is not the pattern's equal.
    pub(super) exact: Option<String>,
}

/// Why a pattern cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TranslateError {
    /// Where in the pattern, in bytes.
    pub(super) offset: usize,
    /// What is wrong there.
    pub(super) message: &'static str,
}

impl fmt::Display for TranslateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {} of the pattern", self.message, self.offset)
    }
}

/// Rewrites `pattern`.
pub(super) fn translate(pattern: &[u8]) -> Result<Translated, TranslateError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(TranslateError { offset: MAX_PATTERN_BYTES, message: "the pattern is too long" });
    }
    Translator::new(pattern).run()
}

/// Options that `(?ims-x)` changes until the end of its group.
#[derive(Debug, Clone, Copy)]
struct Flags {
    caseless: bool,
    multiline: bool,
    dotall: bool,
    extended: bool,
}

/// As ModSecurity v3 compiles every pattern.
const INITIAL_FLAGS: Flags = Flags { caseless: false, multiline: true, dotall: true, extended: false };

/// An open group: what its `)` restores.
struct Open {
    flags: Flags,
    /// Its content is for the exact pattern only.
    is_lookaround: bool,
}

struct Translator<'a> {
    pattern: &'a [u8],
    at: usize,
    linear: String,
    exact: String,
    needs_exact: bool,
    flags: Flags,
    open: Vec<Open>,
    /// Lookaround groups open: their content is kept out of `linear`.
    hidden: usize,
    /// Capture groups opened so far.
    groups: usize,
    /// Names of capture groups, with their numbers.
    names: Vec<(&'a [u8], usize)>,
    /// Whether what was written last can take a quantifier.
    repeatable: bool,
}

type Step = Result<(), TranslateError>;

impl<'a> Translator<'a> {
    fn new(pattern: &'a [u8]) -> Self {
        Self {
            pattern,
            at: 0,
            linear: String::with_capacity(pattern.len() * 2),
            exact: String::with_capacity(pattern.len() * 2),
            needs_exact: false,
            flags: INITIAL_FLAGS,
            open: Vec::new(),
            hidden: 0,
            groups: 0,
            names: Vec::new(),
            repeatable: false,
        }
    }

    fn run(mut self) -> Result<Translated, TranslateError> {
        while let Some(byte) = self.next() {
            self.token(byte)?;
        }
        if !self.open.is_empty() {
            return Err(self.error("a group is not closed"));
        }
        Ok(Translated { linear: self.linear, exact: self.needs_exact.then_some(self.exact) })
    }

    fn token(&mut self, byte: u8) -> Step {
        match byte {
            b'\\' => return self.escape(),
            b'[' => {
                let set = class::parse(self.pattern, &mut self.at, self.flags.caseless)?;
                return self.set(&set);
            }
            b'(' => return self.open_group(),
            b')' => return self.close_group(),
            b'|' => {
                self.write("|", "|");
                self.repeatable = false;
            }
            b'.' if self.flags.dotall => self.atom(ANY_BYTE),
            b'.' => return self.set(&ByteSet::of(b"\n").complement()),
            b'^' => self.atom(if self.flags.multiline { "(?m:^)" } else { r"\A" }),
            b'$' if self.flags.multiline => self.atom("(?m:$)"),
            b'$' => self.before_final_newline(),
            b'*' | b'+' | b'?' => return self.quantifier(char::from(byte).to_string()),
            b'{' => {
                return match self.counts() {
                    Some(counts) => self.quantifier(counts),
                    None => self.literal(b'{'),
                };
            }
            b' ' | b'\t'..=b'\r' if self.flags.extended => {}
            b'#' if self.flags.extended => self.skip_past(b'\n'),
            _ => return self.literal(byte),
        }
        Ok(())
    }

    /// After a backslash, outside a class.
    fn escape(&mut self) -> Step {
        let Some(byte) = self.next() else { return Err(self.error("a backslash at the end")) };
        match byte {
            b'1'..=b'9' => return self.numbered(byte),
            b'b' => self.atom(r"\b"),
            b'B' => self.atom(r"\B"),
            b'A' => self.atom(r"\A"),
            b'z' => self.atom(r"\z"),
            b'Z' => self.before_final_newline(),
            b'R' => self.backtracking_atom(r"(?:\r\n|[\n\x0b\x0c\r\x85])", r"(?>\r\n|[\n\x0b\x0c\r\x85])"),
            b'N' => return self.set(&ByteSet::of(b"\n").complement()),
            b'Q' => return self.quoted(),
            b'E' => {}
            b'k' => return self.named_reference(),
            _ => {
                return if let Some(set) = class::shorthand(byte) {
                    self.set(&set)
                } else {
                    let literal = class::escaped_byte(self.pattern, &mut self.at, byte)?;
                    self.literal(literal)
                };
            }
        }
        Ok(())
    }

    /// `\1` to `\99999`: a back reference if there are as many groups, else an octal byte.
    fn numbered(&mut self, first: u8) -> Step {
        let start = self.at - 1;
        let digits =
            self.pattern[start..].iter().take(MAX_COUNT_DIGITS).take_while(|byte| byte.is_ascii_digit());
        let (number, count) = digits
            .fold((0, 0), |(number, count), digit| (number * 10 + usize::from(digit - b'0'), count + 1));
        if number <= self.groups {
            self.at = start + count;
            self.back_reference(number);
            return Ok(());
        }
        if number < 10 || first >= b'8' {
            return Err(self.error("a back reference to a group that has not been opened"));
        }
        let byte = class::escaped_byte(self.pattern, &mut self.at, first)?;
        self.literal(byte)
    }

    fn named_reference(&mut self) -> Step {
        let close = match self.next() {
            Some(b'<') => b'>',
            Some(b'{') => b'}',
            Some(b'\'') => b'\'',
            _ => return Err(self.error("\\k without a name")),
        };
        let name = self.name(close)?;
        self.reference_to(name)
    }

    fn reference_to(&mut self, name: &[u8]) -> Step {
        let known = self.names.iter().find(|(known, _)| *known == name).map(|&(_, number)| number);
        let number =
            known.ok_or_else(|| self.error("a back reference to a name that has not been defined"))?;
        self.back_reference(number);
        Ok(())
    }

    fn back_reference(&mut self, number: usize) {
        let flag = if self.flags.caseless { "i" } else { "" };
        self.backtracking_atom(&format!("(?:{ANY_BYTE}*)"), &format!("(?{flag}:\\{number})"));
    }

    /// `\Z`, and `$` without multiline: the end, or before a line feed that is last.
    fn before_final_newline(&mut self) {
        self.backtracking_atom("(?:)", r"(?=\n?\z)");
    }

    /// `\Q...\E`.
    fn quoted(&mut self) -> Step {
        while self.at < self.pattern.len() && !self.pattern[self.at..].starts_with(br"\E") {
            let byte = self.pattern[self.at];
            self.at += 1;
            self.literal(byte)?;
        }
        Ok(())
    }

    /// After `(`.
    fn open_group(&mut self) -> Step {
        if self.open.len() >= MAX_GROUP_DEPTH {
            return Err(self.error("groups are nested too deeply"));
        }
        match &self.pattern[self.at..] {
            [b'*', ..] => return Err(self.error("backtracking verbs are not supported")),
            [b'?', b'#', ..] => self.skip_past(b')'),
            [b'?', b':', ..] => self.enter(2, "(?:", "(?:"),
            [b'?', b'>', ..] => {
                self.needs_exact = true;
                self.enter(2, "(?:", "(?>");
            }
            [b'?', b'=', ..] => self.enter_lookaround(2, "(?="),
            [b'?', b'!', ..] => self.enter_lookaround(2, "(?!"),
            [b'?', b'<', b'=', ..] => self.enter_lookaround(3, "(?<="),
            [b'?', b'<', b'!', ..] => self.enter_lookaround(3, "(?<!"),
            [b'?', b'P', b'=', ..] => {
                self.at += 3;
                let name = self.name(b')')?;
                return self.reference_to(name);
            }
            [b'?', b'P', b'<', ..] => return self.enter_named(3, b'>'),
            [b'?', b'<', ..] => return self.enter_named(2, b'>'),
            [b'?', b'\'', ..] => return self.enter_named(2, b'\''),
            [b'?', ..] => return self.flags(),
            _ => self.enter_capture(),
        }
        Ok(())
    }

    fn enter_named(&mut self, skip: usize, close: u8) -> Step {
        self.at += skip;
        let name = self.name(close)?;
        self.names.push((name, self.groups + 1));
        self.enter_capture();
        Ok(())
    }

    fn enter_capture(&mut self) {
        self.groups += 1;
        self.enter(0, "(", "(");
    }

    fn enter_lookaround(&mut self, skip: usize, exact: &str) {
        self.needs_exact = true;
        self.enter(skip, "(?:)", exact);
        if let Some(group) = self.open.last_mut() {
            group.is_lookaround = true;
        }
        self.hidden += 1;
    }

    fn enter(&mut self, skip: usize, linear: &str, exact: &str) {
        self.at += skip;
        self.write(linear, exact);
        self.open.push(Open { flags: self.flags, is_lookaround: false });
        self.repeatable = false;
    }

    fn close_group(&mut self) -> Step {
        let Some(group) = self.open.pop() else { return Err(self.error("`)` without `(`")) };
        self.flags = group.flags;
        self.write(if group.is_lookaround { "" } else { ")" }, ")");
        self.hidden -= usize::from(group.is_lookaround);
        self.repeatable = true;
        Ok(())
    }

    /// `(?i)` and `(?i-s:`; `self.at` is at the `?`.
    fn flags(&mut self) -> Step {
        self.at += 1;
        let mut flags = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some(b'i') => flags.caseless = on,
                Some(b'm') => flags.multiline = on,
                Some(b's') => flags.dotall = on,
                Some(b'x') => flags.extended = on,
                Some(b'-') if on => on = false,
                Some(b')') => {
                    self.flags = flags;
                    return Ok(());
                }
                Some(b':') => {
                    self.enter(0, "(?:", "(?:");
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(self.error("this kind of group is not supported")),
            }
        }
    }

    /// A quantifier, with the `?` or `+` that may follow it.
    fn quantifier(&mut self, mut text: String) -> Step {
        if !self.repeatable {
            return Err(self.error("a quantifier with nothing to repeat"));
        }
        self.repeatable = false;
        match self.pattern.get(self.at) {
            Some(b'+') => {
                self.needs_exact = true;
                self.write(&text, &format!("{text}+"));
                self.at += 1;
                return Ok(());
            }
            Some(b'?') => {
                text.push('?');
                self.at += 1;
            }
            _ => {}
        }
        self.write(&text, &text);
        Ok(())
    }

    /// The counts after a `{`, as a quantifier, if they are one; otherwise nothing is taken.
    fn counts(&mut self) -> Option<String> {
        let rest = &self.pattern[self.at..];
        let length = memchr::memchr(b'}', rest)?;
        let text = std::str::from_utf8(&rest[..length]).ok()?;
        let is_count = |count: &str| {
            (1..=MAX_COUNT_DIGITS).contains(&count.len()) && count.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_quantifier = match text.split_once(',') {
            Some((least, most)) => is_count(least) && (most.is_empty() || is_count(most)),
            None => is_count(text),
        };
        self.at += if is_quantifier { length + 1 } else { 0 };
        is_quantifier.then(|| format!("{{{text}}}"))
    }

    fn literal(&mut self, byte: u8) -> Step {
        let mut set = ByteSet::of(&[byte]);
        if self.flags.caseless {
            set = set.fold_case();
        }
        self.set(&set)
    }

    fn set(&mut self, set: &ByteSet) -> Step {
        let text = set.to_pattern().ok_or_else(|| self.error("a class that matches nothing"))?;
        self.atom(&text);
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        self.write(text, text);
        self.repeatable = true;
    }

    fn backtracking_atom(&mut self, linear: &str, exact: &str) {
        self.needs_exact = true;
        self.write(linear, exact);
        self.repeatable = true;
    }

    fn write(&mut self, linear: &str, exact: &str) {
        if self.hidden == 0 {
            self.linear.push_str(linear);
        }
        self.exact.push_str(exact);
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.pattern.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn skip_past(&mut self, stop: u8) {
        let rest = &self.pattern[self.at..];
        self.at += memchr::memchr(stop, rest).map_or(rest.len(), |length| length + 1);
    }

    fn name(&mut self, close: u8) -> Result<&'a [u8], TranslateError> {
        let rest = &self.pattern[self.at..];
        match memchr::memchr(close, rest) {
            Some(length @ 1..)
                if rest[..length].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') =>
            {
                self.at += length + 1;
                Ok(&rest[..length])
            }
            _ => Err(self.error("a group name that is none")),
        }
    }

    fn error(&self, message: &'static str) -> TranslateError {
        TranslateError { offset: self.at, message }
    }
}

/// Reads the digits of `\xHH` and `\x{HH}`; `at` is after the `x`.
pub(super) fn hex_escape(pattern: &[u8], at: &mut usize) -> Result<u8, TranslateError> {
    let rest = &pattern[*at..];
    let value =
        |digits: &[u8]| digits.iter().filter_map(|&digit| hex_value(digit)).fold(0, |v, d| v << 4 | d);
    if rest.first() == Some(&b'{') {
        let error = |message| Err(TranslateError { offset: *at, message });
        let Some(close) = memchr::memchr(b'}', rest) else { return error("\\x{ is not closed") };
        let digits = &rest[1..close];
        let significant =
            digits.iter().position(|&digit| digit != b'0').map_or(&digits[..0], |first| &digits[first..]);
        if digits.is_empty() || digits.iter().any(|&digit| hex_value(digit).is_none()) {
            return error("\\x{ without hexadecimal digits");
        }
        if significant.len() > 2 {
            return error("a character that is no byte");
        }
        *at += close + 1;
        return Ok(value(significant));
    }
    let count = rest.iter().take(2).take_while(|&&digit| hex_value(digit).is_some()).count();
    *at += count;
    Ok(value(&rest[..count]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(pattern: &str) -> String {
        let translated = translate(pattern.as_bytes()).unwrap();
        assert_eq!(translated.exact, None, "{pattern}");
        translated.linear
    }

    fn both(pattern: &str) -> (String, String) {
        let translated = translate(pattern.as_bytes()).unwrap();
        (translated.linear, translated.exact.unwrap())
    }

    #[test]
    fn anchors_and_dot_follow_the_flags() {
        assert_eq!(linear("^a.b$"), r"(?m:^)a[\x00-\xff]b(?m:$)");
        assert_eq!(linear("(?-sm)^a.b"), r"\Aa[\x00-\x09\x0b-\xff]b");
        assert_eq!(linear("(?:(?-s).).|."), r"(?:[\x00-\x09\x0b-\xff])[\x00-\xff]|[\x00-\xff]");
        assert_eq!(linear(r"\Aab\z"), r"\Aab\z");
    }

    #[test]
    fn case_is_resolved_until_the_group_ends() {
        assert_eq!(linear("(?i)aB1"), "[Aa][Bb]1");
        assert_eq!(linear("(?i:a)b"), "(?:[Aa])b");
        assert_eq!(linear("(a(?i)b|c)d"), "(a[Bb]|[Cc])d");
    }

    #[test]
    fn bytes_are_bytes() {
        assert_eq!(linear(r"\x{c2}\x{b4}\xe2"), r"\xc2\xb4\xe2");
        assert_eq!(linear(r"\<\>\-\/\#"), "<>-/\\x23".replace('-', r"\x2d"));
        assert_eq!(linear("é+"), r"\xc3\xa9+");
        assert_eq!(linear(r"\012\0\e\cA"), r"\x0a\x00\x1b\x01");
        assert_eq!(linear(r"\Qa.b\E."), r"a\x2eb[\x00-\xff]");
    }

    #[test]
    fn braces_that_are_no_quantifier_are_literal() {
        assert_eq!(linear("a{2}b{3,}c{1,2}?"), "a{2}b{3,}c{1,2}?");
        assert_eq!(linear("a{x}{,2}"), r"a\x7bx\x7d\x7b,2\x7d");
        assert_eq!(linear("${a}"), r"(?m:$)\x7ba\x7d");
    }

    #[test]
    fn what_needs_backtracking_is_widened_for_the_linear_engine() {
        assert_eq!(both(r"<\?(?!xml)"), (r"<\x3f(?:)".to_owned(), r"<\x3f(?!xml)".to_owned()));
        assert_eq!(both("a*+b"), ("a*b".to_owned(), "a*+b".to_owned()));
        assert_eq!(both("(?>ab|a)c"), ("(?:ab|a)c".to_owned(), "(?>ab|a)c".to_owned()));
        assert_eq!(both(r"(a)\1"), (r"(a)(?:[\x00-\xff]*)".to_owned(), r"(a)(?:\1)".to_owned()));
        assert_eq!(both(r"(?<q>a)(?P=q)\k<q>").1, r"(a)(?:\1)(?:\1)");
        assert_eq!(both(r"(?<=(x|y)a)b(?=(c))"), ("(?:)b(?:)".to_owned(), "(?<=(x|y)a)b(?=(c))".to_owned()));
        assert_eq!(both(r"a\Z"), ("a(?:)".to_owned(), r"a(?=\n?\z)".to_owned()));
    }

    #[test]
    fn extended_patterns_lose_space_and_comments() {
        assert_eq!(linear("(?x) a b # no\n [ c]"), r"ab[\x20c]");
        assert_eq!(linear("a(?#note)b"), "ab");
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        for wrong in [
            "(",
            ")",
            "a\\",
            "[a",
            "*a",
            "a**",
            "(?R)",
            "(?|a)",
            "(*FAIL)",
            r"\1",
            r"\p{L}",
            r"\G",
            r"\K",
            r"\y",
            r"\x{100}",
            "[z-a]",
            "[[:nope:]]",
            r"[^\x00-\xff]",
            r"\x{}",
            "(?<>a)",
            "(?z)",
            r"\k<a>",
            "a|*",
        ] {
            assert!(translate(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(translate("(".repeat(MAX_GROUP_DEPTH + 1).as_bytes()).is_err());
    }
}
