//! JSON bodies (RFC 8259), flattened to arguments as libmodsecurity v3 names them.
//!
//! A member is named by the path to it, from `json`: `json.user.name`; an array's elements are `.array_0`,
//! `.array_1` and so on; an empty key is `empty-key`. Strings are decoded, numbers and `true`/`false` stay as they are
//! written, `null` is empty; empty objects and arrays give nothing. Members of the same name are all kept. The grammar
//! is the RFC's, strictly: UTF-8 only, no byte order mark, no comments, nothing after the value. A lone surrogate,
//! which the grammar allows, becomes U+FFFD. An empty body is no JSON text.
//! Example: `{"a":[1,{"b":"x"}]}` gives `json.a.array_0` = `1`, `json.a.array_1.b` = `x`.

use super::{Argument, Arguments, BodyError, Limits};
use crate::transform::bytes::hex_pair;
use std::borrow::Cow;

/// Reads a JSON text.
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Arguments<'a> {
    let mut parser =
        Parser { body, at: 0, limits, name: b"json".to_vec(), open: Vec::new(), found: Arguments::default() };
    let result = parser.text();
    parser.found.error = result.err();
    parser.found
}

struct Parser<'a, 'l> {
    body: &'a [u8],
    at: usize,
    limits: &'l Limits,
    /// The name of the value that is read next.
    name: Vec<u8>,
    open: Vec<Container>,
    found: Arguments<'a>,
}

/// An object or array that is not closed yet.
#[derive(Clone, Copy)]
struct Container {
    /// Length of the name that all its members' names begin with.
    prefix: usize,
    /// The index of an array's next element; `None` for an object.
    next_index: Option<usize>,
}

type Step<T = ()> = Result<T, BodyError>;

impl<'a> Parser<'a, '_> {
    fn text(&mut self) -> Step {
        loop {
            self.value()?;
            if !self.next_value()? {
                break;
            }
        }
        self.skip_space();
        if self.at < self.body.len() { self.malformed("data after the JSON value") } else { Ok(()) }
    }

    /// Reads a scalar, or opens a container up to its first value.
    fn value(&mut self) -> Step {
        loop {
            self.skip_space();
            let start = self.at;
            let value = match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if self.open_container(bracket == b'{')? {
                        continue;
                    }
                    return Ok(());
                }
                Some(b'"') => self.string()?,
                Some(b't') => Cow::Borrowed(self.word(b"true")?),
                Some(b'f') => Cow::Borrowed(self.word(b"false")?),
                Some(b'n') => Cow::Borrowed(&self.word(b"null")?[..0]),
                Some(b'-' | b'0'..=b'9') => Cow::Borrowed(self.number()?),
                _ => return self.malformed("a JSON value is missing"),
            };
            let argument = Argument { name: Cow::Owned(self.name.clone()), value };
            return self.found.push(argument, start, self.limits);
        }
    }

    /// After a value: closes what is complete; whether another value follows (its name is set then).
    fn next_value(&mut self) -> Step<bool> {
        while let Some(container) = self.open.last().copied() {
            self.skip_space();
            match (self.peek(), container.next_index) {
                (Some(b','), Some(index)) => {
                    self.at += 1;
                    self.enter_element(container.prefix, index)?;
                    return Ok(true);
                }
                (Some(b','), None) => {
                    self.at += 1;
                    self.skip_space();
                    self.enter_member(container.prefix)?;
                    return Ok(true);
                }
                (Some(b']'), Some(_)) | (Some(b'}'), None) => {
                    self.at += 1;
                    self.open.pop();
                }
                _ => return self.malformed("a comma or the end of the object or array is missing"),
            }
        }
        Ok(false)
    }

    /// At `{` or `[`: whether a first member or element follows.
    fn open_container(&mut self, is_object: bool) -> Step<bool> {
        if self.open.len() >= self.limits.max_json_depth {
            return Err(BodyError::limit(self.at, "objects and arrays are nested too deeply"));
        }
        self.at += 1;
        self.skip_space();
        if self.skip_if(if is_object { b"}" } else { b"]" }) {
            return Ok(false);
        }
        if is_object {
            self.name.push(b'.');
        }
        let prefix = self.name.len();
        self.open.push(Container { prefix, next_index: None });
        if is_object {
            self.enter_member(prefix)?;
        } else {
            self.enter_element(prefix, 0)?;
        }
        Ok(true)
    }

    fn enter_element(&mut self, prefix: usize, index: usize) -> Step {
        if let Some(array) = self.open.last_mut() {
            array.next_index = Some(index + 1);
        }
        self.rename(prefix, format!(".array_{index}").as_bytes())
    }

    fn enter_member(&mut self, prefix: usize) -> Step {
        if self.peek() != Some(b'"') {
            return self.malformed("the name of a member is missing");
        }
        let key = self.string()?;
        self.rename(prefix, if key.is_empty() { b"empty-key" } else { &key })?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.malformed("a colon is missing");
        }
        self.at += 1;
        Ok(())
    }

    fn rename(&mut self, prefix: usize, rest: &[u8]) -> Step {
        if prefix + rest.len() > self.limits.max_json_name_bytes {
            return Err(BodyError::limit(self.at, "the path to a value is too long"));
        }
        self.name.truncate(prefix);
        self.name.extend_from_slice(rest);
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Step<&'a [u8]> {
        let rest = &self.body[self.at..];
        if !rest.starts_with(word) {
            return self.malformed("a word that is no JSON value");
        }
        self.at += word.len();
        Ok(&rest[..word.len()])
    }

    fn number(&mut self) -> Step<&'a [u8]> {
        let start = self.at;
        self.skip_if(b"-");
        if !self.skip_if(b"0") {
            self.digits()?;
        }
        if self.skip_if(b".") {
            self.digits()?;
        }
        if self.skip_if(b"eE") {
            self.skip_if(b"+-");
            self.digits()?;
        }
        Ok(&self.body[start..self.at])
    }

    fn digits(&mut self) -> Step {
        let count = self.body[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { self.malformed("a digit is missing") } else { Ok(()) }
    }

    /// A string, decoded; at its opening quote.
    fn string(&mut self) -> Step<Cow<'a, [u8]>> {
        self.at += 1;
        let mut decoded: Option<Vec<u8>> = None;
        loop {
            let run = self.plain_run()?;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(run),
                        Some(mut decoded) => {
                            decoded.extend_from_slice(run);
                            Cow::Owned(decoded)
                        }
                    });
                }
                Some(b'\\') => {
                    let decoded = decoded.get_or_insert_with(Vec::new);
                    decoded.extend_from_slice(run);
                    let character = self.escape()?;
                    decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return self.malformed("a string is not closed"),
            }
        }
    }

    /// The bytes up to the next quote or backslash.
    fn plain_run(&mut self) -> Step<&'a [u8]> {
        let rest = &self.body[self.at..];
        let run = &rest[..memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
        if let Some(control) = run.iter().position(|&byte| byte < b' ') {
            self.at += control;
            return self.malformed("a control character in a string");
        }
        if let Err(error) = std::str::from_utf8(run) {
            self.at += error.valid_up_to();
            return self.malformed("a string that is not UTF-8");
        }
        self.at += run.len();
        Ok(run)
    }

    fn escape(&mut self) -> Step<char> {
        let letter = self.body.get(self.at + 1).copied();
        let character = match letter {
            Some(b'"' | b'\\' | b'/') => letter.map_or('/', char::from),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.malformed("an escape that is none"),
        };
        self.at += 2;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Step<char> {
        let Some(unit) = unit_at(self.body, self.at) else { return self.malformed("an escape that is none") };
        self.at += UNIT_BYTES;
        if !(0xd800..0xdc00).contains(&unit) {
            return Ok(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        match unit_at(self.body, self.at) {
            Some(low) if (0xdc00..0xe000).contains(&low) => {
                self.at += UNIT_BYTES;
                let code = 0x1_0000 + ((u32::from(unit) & 0x3ff) << 10 | u32::from(low) & 0x3ff);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            _ => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn skip_if(&mut self, any_of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.body[self.at..].iter().take_while(space).count();
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn malformed<T>(&self, message: &'static str) -> Step<T> {
        Err(BodyError::malformed(self.at, message))
    }
}

/// Bytes of `\uXXXX`.
const UNIT_BYTES: usize = 6;

/// The UTF-16 unit that `\uXXXX` at `at` stands for.
fn unit_at(body: &[u8], at: usize) -> Option<u16> {
    match body.get(at..at + UNIT_BYTES)? {
        [b'\\', b'u', digits @ ..] => Some(u16::from_be_bytes([hex_pair(digits)?, hex_pair(&digits[2..])?])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyErrorKind;
    use proptest::prelude::*;

    fn pairs(body: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let parsed = parse(body.as_bytes(), &Limits::default());
        assert_eq!(parsed.error, None, "{body}");
        parsed.list.iter().map(|argument| (text(&argument.name), text(&argument.value))).collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn members_are_named_by_their_path() {
        let body = r#"{"a":{"b":"x","c":[1,[true,null],{"d":false}]},"":2, "a":-0.5e+3}"#;
        let names = [
            ("json.a.b", "x"),
            ("json.a.c.array_0", "1"),
            ("json.a.c.array_1.array_0", "true"),
            ("json.a.c.array_1.array_1", ""),
            ("json.a.c.array_2.d", "false"),
            ("json.empty-key", "2"),
            ("json.a", "-0.5e+3"),
        ];
        assert_eq!(pairs(body), expected(&names));
    }

    #[test]
    fn any_value_may_be_the_whole() {
        assert_eq!(pairs(" \"x\" "), expected(&[("json", "x")]));
        assert_eq!(pairs("[{}, [] , [[]]]"), expected(&[]));
        assert_eq!(pairs("[[1]]"), expected(&[("json.array_0.array_0", "1")]));
        assert_eq!(pairs("{}\n"), expected(&[]));
    }

    #[test]
    fn strings_are_decoded() {
        assert_eq!(
            pairs(r#""\"\\\/\b\f\n\r\t\u0041é\u20ac\ud83d\ude00""#)[0].1,
            "\"\\/\u{8}\u{c}\n\r\tAé€😀"
        );
        assert_eq!(pairs(r#""\ud83dx\ude00""#)[0].1, "\u{fffd}x\u{fffd}");
    }

    #[test]
    fn plain_strings_are_borrowed() {
        let parsed = parse(br#"["plain","esc\n"]"#, &Limits::default());
        assert!(matches!(parsed.list[0].value, Cow::Borrowed(_)));
        assert!(matches!(parsed.list[1].value, Cow::Owned(_)));
    }

    #[test]
    fn the_grammar_is_strict() {
        for wrong in [
            "",
            " ",
            "{",
            "[",
            "\"",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            ".5",
            "nul",
            "True",
            "NaN",
            "'a'",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "/**/1",
            "\"\t\"",
            "\"\\x41\"",
            "\"\\u12\"",
            "{\"a\"}",
            "{,}",
            "[,]",
            "\u{feff}1",
            "\"\\",
            "]",
            "{]",
        ] {
            assert!(parse(wrong.as_bytes(), &Limits::default()).error.is_some(), "{wrong}");
        }
        assert!(parse(b"\"\xff\"", &Limits::default()).error.is_some());
    }

    #[test]
    fn an_error_says_where_and_keeps_what_came_before() {
        let parsed = parse(br#"{"a":1,"b":?}"#, &Limits::default());
        assert_eq!(parsed.list.len(), 1);
        assert_eq!(parsed.error, Some(BodyError::malformed(11, "a JSON value is missing")));
    }

    #[test]
    fn limits_hold() {
        let limits =
            Limits { max_arguments: 2, max_json_depth: 2, max_json_name_bytes: 12, ..Limits::default() };
        let kind = |body: &str| parse(body.as_bytes(), &limits).error.map(|error| error.kind);
        assert_eq!((kind("[1,2]"), kind("[1,2,3]")), (None, Some(BodyErrorKind::Limit)));
        assert_eq!(
            (kind("[[1]]"), kind("[[[1]]]")),
            (Some(BodyErrorKind::Limit), Some(BodyErrorKind::Limit))
        );
        assert_eq!((kind(r#"{"a":{"b":1}}"#), kind(r#"{"a":{"b":[]}}"#)), (None, Some(BodyErrorKind::Limit)));
        assert_eq!(kind(r#"{"1234567":1}"#), None);
        assert_eq!(kind(r#"{"12345678":1}"#), Some(BodyErrorKind::Limit));
        let deep = "[".repeat(1_000_000);
        assert_eq!(
            parse(deep.as_bytes(), &Limits::default()).error.map(|error| error.kind),
            Some(BodyErrorKind::Limit)
        );
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z]{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(elements) => elements.iter().map(leaves).sum(),
            serde_json::Value::Object(members) => members.values().map(leaves).sum(),
            _ => 1,
        }
    }

    proptest! {
        #[test]
        fn every_leaf_is_found(value in any_value()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let parsed = parse(text.as_bytes(), &Limits::default());
            prop_assert_eq!(parsed.error, None);
            prop_assert_eq!(parsed.list.len(), leaves(&value));
        }

        #[test]
        fn accepts_what_another_parser_accepts(body in r#"[\[\]{}:,"\\ue0-9tfalsenr +.-]{0,24}"#) {
            let ours = parse(body.as_bytes(), &Limits::default()).error;
            let theirs = serde_json::from_str::<serde_json::Value>(&body);
            // serde_json refuses lone surrogates and numbers beyond f64, which the grammar allows.
            if theirs.is_ok() {
                prop_assert_eq!(ours, None, "{}", body);
            } else if !body.contains("\\u") && !body.contains(['e', 'E']) {
                prop_assert!(ours.is_some(), "{}", body);
            }
        }

        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let parsed = parse(&body, &Limits::default());
            prop_assert!(parsed.error.is_none_or(|error| error.offset <= body.len()));
        }
    }
}
