//! The one place where values from outside are masked before anything is written.
//!
//! - The value of a parameter, header or cookie whose *name* looks secret is shown by its length alone.
//!   Case does not count. A name is secret if it contains a word of [`SECRET_WORDS`] or a configured one,
//!   separators left out, or if a part of it is one of [`SECRET_NAMES`]. Assignments inside other text (`password=…`, `"token": "…"`,
//!   `;jsessionid=…`) count too.
//! - Whatever the name, masked but for a few leading characters are: card numbers (13 to 19 digits that pass the
//!   Luhn check, also when grouped by blanks or dashes), runs of [`LONG_DIGIT_RUN`] or more digits, JSON web
//!   tokens, and credentials after `Bearer` or `Basic`.
//! - A value that a firewall rule matched is always shown by its start and length only ([`Masker::matched`]).
//! - Percent-encoding does not hide anything: encoded parts are judged decoded, twice over.
//!
//! A masked value reads `abc***(17)`: what is shown of it, and how many bytes it had.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use aho_corasick::AhoCorasick;
use serde::{Serialize, Serializer};

/// A name is secret if it contains one of these.
const SECRET_WORDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "apikey",
    "session",
    "credential",
    "privatekey",
    "accesskey",
    "signature",
    "creditcard",
];

/// A name is secret if it is one of these, or one of its parts between separators is (`user[pin]`, `x-auth`).
const SECRET_NAMES: [&str; 15] = [
    "auth",
    "code",
    "cvc",
    "cvv",
    "jwt",
    "key",
    "otp",
    "pass",
    "pin",
    "sid",
    "sig",
    "ssn",
    "iban",
    "cardnumber",
    "pan",
];

/// From this many digits in a row on a number may identify a person or an account.
const LONG_DIGIT_RUN: usize = 9;

/// Longest name that is judged, in bytes; longer ones count as secret.
const MAX_NAME_LEN: usize = 128;

/// Most leading characters shown of a masked part of a text.
const SHOWN_OF_PART: usize = 4;

/// Most leading characters shown of a value that a rule matched.
const SHOWN_OF_MATCH: usize = 8;

/// Bytes looked at beyond a text's limit, so that the cut does not keep a secret from being recognised.
const LOOKAHEAD: usize = 256;

/// Text that may be written down. Only a [`Masker`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked<'a>(Cow<'a, str>);

impl Masked<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Decides what is masked.
#[derive(Debug, Clone)]
pub struct Masker {
    secret_words: AhoCorasick,
}

/// A configured name that cannot be used: the operator's configuration is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskNameError {
    /// No letter or digit in it: every name would match.
    Empty,
    /// More or longer names than can be compared with.
    TooMany,
}

impl std::fmt::Display for MaskNameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name to mask needs at least one letter or digit",
            Self::TooMany => "too many names to mask",
        })
    }
}

impl std::error::Error for MaskNameError {}

impl Masker {
    /// With `more_words` beside the built-in ones.
    pub fn new<'w>(more_words: impl IntoIterator<Item = &'w str>) -> Result<Self, MaskNameError> {
        let mut words: Vec<Vec<u8>> = SECRET_WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
        for word in more_words {
            let word: Vec<u8> = plain_bytes(word.as_bytes()).collect();
            if word.is_empty() {
                return Err(MaskNameError::Empty);
            }
            words.push(word);
        }
        Ok(Self { secret_words: AhoCorasick::new(words).map_err(|_| MaskNameError::TooMany)? })
    }

    /// Free text (a user agent, a host), cut to `max_len` bytes.
    pub fn text<'a>(&self, text: &'a (impl AsRef<[u8]> + ?Sized), max_len: usize) -> Masked<'a> {
        within(text.as_ref(), max_len, |text| self.mask_parts(text))
    }

    /// A path as received, percent-encoded, cut to `max_len` bytes.
    pub fn path<'a>(&self, path: &'a (impl AsRef<[u8]> + ?Sized), max_len: usize) -> Masked<'a> {
        within(path.as_ref(), max_len, |path| mask_each(path, '/', |segment| self.mask_encoded(segment)))
    }

    /// A query string as received (without `?`), cut to `max_len` bytes. Names stay, values are judged by them.
    pub fn query<'a>(&self, query: &'a (impl AsRef<[u8]> + ?Sized), max_len: usize) -> Masked<'a> {
        within(query.as_ref(), max_len, |query| mask_each(query, '&', |pair| self.mask_pair(pair)))
    }

    /// A value that a rule matched in `variable` (`ARGS:name`, `REQUEST_HEADERS:Cookie`, `REQUEST_BODY`): its
    /// first characters and its length, or its length alone where the variable's name looks secret.
    pub fn matched(&self, variable: &str, value: &[u8]) -> Masked<'static> {
        let name = variable.split_once(':').map_or(variable, |(_, selector)| selector);
        let shown = if self.is_secret_name(name) { 0 } else { SHOWN_OF_MATCH };
        // No character is longer than four bytes.
        let start = String::from_utf8_lossy(&value[..value.len().min(4 * (SHOWN_OF_MATCH + 1))]);
        Masked(Cow::Owned(abridged(&start, value.len(), shown)))
    }

    /// Masks `name=value`, percent-encoded.
    fn mask_pair<'a>(&self, pair: &'a str) -> Cow<'a, str> {
        let Some((name, value)) = pair.split_once('=') else { return self.mask_encoded(pair) };
        let value = if self.is_secret_name(&decode(name)) {
            Cow::Owned(abridged(value, value.len(), 0))
        } else {
            self.mask_encoded(value)
        };
        match (self.mask_encoded(name), value) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(pair),
            (name, value) => Cow::Owned(format!("{name}={value}")),
        }
    }

    fn is_secret_name(&self, name: &str) -> bool {
        let mut buffer = [0; MAX_NAME_LEN];
        let mut len = 0;
        for byte in plain_bytes(name.as_bytes()) {
            let Some(place) = buffer.get_mut(len) else { return true };
            *place = byte;
            len += 1;
        }
        self.secret_words.is_match(&buffer[..len])
            || name
                .split(|c: char| !c.is_alphanumeric())
                .any(|part| SECRET_NAMES.iter().any(|secret| secret.eq_ignore_ascii_case(part)))
    }

    /// Masks a percent-encoded part: whole, if decoding brings something to light.
    fn mask_encoded<'a>(&self, part: &'a str) -> Cow<'a, str> {
        match decode(part) {
            Cow::Borrowed(_) => self.mask_parts(part),
            Cow::Owned(decoded) if self.first_secret(&decoded, 0).is_none() => self.mask_parts(part),
            Cow::Owned(_) => Cow::Owned(abridged(part, part.len(), SHOWN_OF_PART)),
        }
    }

    fn mask_parts<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(mut secret) = self.first_secret(text, 0) else { return Cow::Borrowed(text) };
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        loop {
            masked.push_str(&text[done..secret.start]);
            let value = &text[secret.start..secret.end];
            masked.push_str(&abridged(value, value.len(), secret.shown));
            done = secret.end;
            match self.first_secret(text, done) {
                Some(next) => secret = next,
                None => break,
            }
        }
        masked.push_str(&text[done..]);
        Cow::Owned(masked)
    }

    /// The first part of `text` at or after `from` that must not be shown. Its ends are character boundaries:
    /// parts begin and end at ASCII characters or at the text's ends.
    fn first_secret(&self, text: &str, from: usize) -> Option<Secret> {
        let bytes = text.as_bytes();
        let mut at = from;
        while at < bytes.len() {
            let found = match bytes[at] {
                b'0'..=b'9' => {
                    let end = at + digit_group_len(&bytes[at..]);
                    if is_sensitive_number(&bytes[at..end]) {
                        return Some(Secret { start: at, end, shown: SHOWN_OF_PART });
                    }
                    at = end;
                    continue;
                }
                b'e' => web_token(bytes, at),
                b'b' | b'B' => credentials(bytes, at),
                b'=' | b':' => self.assignment(text, at),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
            at += 1;
        }
        None
    }

    /// The value of an assignment to a secret name, whose `=` or `:` stands at `at`.
    fn assignment(&self, text: &str, at: usize) -> Option<Secret> {
        let bytes = text.as_bytes();
        let before = text[..at].trim_end_matches([' ', '"', '\'', '\\']);
        let is_name = |c: char| c.is_alphanumeric() || "_-.[]".contains(c);
        let name = &before[before.trim_end_matches(is_name).len()..];
        if name.is_empty() || !self.is_secret_name(name) {
            return None;
        }
        let lead = text[at + 1..].trim_start_matches([' ', '"', '\'', '\\']);
        let start = text.len() - lead.len();
        let quote = bytes[at + 1..start].iter().copied().find(|byte| matches!(byte, b'"' | b'\''));
        let ends = |byte: u8| match quote {
            Some(quote) => byte == quote,
            // `name: value` may hold blanks (`Authorization: Basic abc`), `name=value` may not.
            None if bytes[at] == b':' => matches!(byte, b'\r' | b'\n' | b',' | b';' | b'}'),
            None => {
                matches!(byte, b'&' | b';' | b',' | b'}' | b'"' | b'\'' | b'<') || byte.is_ascii_whitespace()
            }
        };
        let end = bytes[start..].iter().position(|&byte| ends(byte)).map_or(bytes.len(), |len| start + len);
        (end > start).then_some(Secret { start, end, shown: 0 })
    }
}

/// Masks what may reach into the first `max_len` bytes, and cuts the result to them. Bytes that are not UTF-8
/// become U+FFFD.
fn within(bytes: &[u8], max_len: usize, mask: impl Fn(&str) -> Cow<'_, str>) -> Masked<'_> {
    let window = &bytes[..bytes.len().min(max_len.saturating_add(LOOKAHEAD))];
    let masked = match std::str::from_utf8(window) {
        Ok(text) => mask(text),
        Err(_) => Cow::Owned(mask(&String::from_utf8_lossy(window)).into_owned()),
    };
    let end = masked.floor_char_boundary(max_len);
    Masked(match masked {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    })
}

/// Masks each part of a text that is split by `separator`. Ordinary text is borrowed whole, not put together
/// again.
fn mask_each<'a>(text: &'a str, separator: char, mask: impl Fn(&'a str) -> Cow<'a, str>) -> Cow<'a, str> {
    let mut masked = String::new();
    // Up to where `text` has been taken over into `masked`.
    let mut done = 0;
    let mut part_at = 0;
    for part in text.split(separator) {
        if let Cow::Owned(shown) = mask(part) {
            masked.push_str(&text[done..part_at]);
            masked.push_str(&shown);
            done = part_at + part.len();
        }
        part_at += part.len() + separator.len_utf8();
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// A part of a text that must not be shown.
struct Secret {
    start: usize,
    end: usize,
    /// Most leading characters that may be shown.
    shown: usize,
}

/// Length of the digits at the start, with single blanks or dashes between them.
fn digit_group_len(bytes: &[u8]) -> usize {
    let mut len = 1;
    loop {
        len += match bytes[len..] {
            [b'0'..=b'9', ..] => 1,
            [b' ' | b'-', b'0'..=b'9', ..] => 2,
            _ => return len,
        };
    }
}

fn is_sensitive_number(group: &[u8]) -> bool {
    if group.len() < LONG_DIGIT_RUN {
        return false;
    }
    if group.split(|byte| !byte.is_ascii_digit()).any(|run| run.len() >= LONG_DIGIT_RUN) {
        return true;
    }
    // A card number begins and ends where a run of digits does: other windows would pass the check by chance.
    const CARD_DIGITS: RangeInclusive<usize> = 13..=19;
    let runs: Vec<&[u8]> = group.split(|byte| !byte.is_ascii_digit()).collect();
    (0..runs.len()).any(|first| {
        let mut digits = Vec::with_capacity(CARD_DIGITS.end() + LONG_DIGIT_RUN);
        runs[first..].iter().any(|run| {
            digits.extend(run.iter().map(|byte| u32::from(byte - b'0')));
            CARD_DIGITS.contains(&digits.len()) && passes_luhn(&digits)
        })
    })
}

/// The check digit of card numbers (ISO/IEC 7812-1 annex B).
fn passes_luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weigh = |(place, &digit): (usize, &u32)| if place % 2 == 1 { doubled(digit) } else { digit };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

/// A JSON web token (RFC 7519): `eyJ` is how base64url of `{"` begins.
fn web_token(bytes: &[u8], at: usize) -> Option<Secret> {
    const SHORTEST: usize = 16;
    if !bytes[at..].starts_with(b"eyJ") {
        return None;
    }
    let len = token_len(&bytes[at..]);
    (len >= SHORTEST).then_some(Secret { start: at, end: at + len, shown: SHOWN_OF_PART })
}

/// What follows `Bearer` or `Basic` (RFC 6750, RFC 7617).
fn credentials(bytes: &[u8], at: usize) -> Option<Secret> {
    const SHORTEST: usize = 8;
    let rest = &bytes[at..];
    let scheme_len = ["bearer", "basic"].into_iter().find_map(|scheme| {
        let len = scheme.len();
        (rest.get(..len)?.eq_ignore_ascii_case(scheme.as_bytes()) && rest.get(len) == Some(&b' '))
            .then_some(len)
    })?;
    let start = at + scheme_len + bytes[at + scheme_len..].iter().take_while(|&&byte| byte == b' ').count();
    let len = token_len(&bytes[start..]);
    (len >= SHORTEST).then_some(Secret { start, end: start + len, shown: 0 })
}

/// Length of a `token68` with dots (RFC 9110 section 11.2) at the start.
fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)).count()
}

/// Letters and digits alone, in lower case; bytes that are not ASCII as they are.
fn plain_bytes(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii()).map(u8::to_ascii_lowercase)
}

/// Shows at most `shown` leading characters, and never more than a third, of a value of `len` bytes that begins
/// with `start`.
fn abridged(start: &str, len: usize, shown: usize) -> String {
    let shown = start.chars().take(shown.min(len / 3)).map(char::len_utf8).sum();
    let mut text = String::with_capacity(shown + "***(1234567)".len());
    text.push_str(&start[..shown]);
    // Writing to a String cannot fail.
    let _ = write!(text, "***({len})");
    text
}

/// Undoes percent-encoding and `+`, twice at most. Borrowed: there was nothing to undo.
fn decode(text: &str) -> Cow<'_, str> {
    const ROUNDS: usize = 2;
    let mut decoded = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        if memchr::memchr2(b'%', b'+', decoded.as_bytes()).is_none() {
            break;
        }
        decoded = Cow::Owned(decode_once(&decoded));
    }
    decoded
}

fn decode_once(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        rest = tail;
        bytes.push(match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = &tail[2..];
                (high * 16 + low) as u8
            }
            (b'+', ..) => b' ',
            _ => first,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masker() -> Masker {
        Masker::new(["X-Internal"]).unwrap()
    }

    fn query(text: &str) -> String {
        masker().query(text, 1_000).as_str().to_owned()
    }

    fn text(text: &str) -> String {
        masker().text(text, 1_000).as_str().to_owned()
    }

    #[test]
    fn ordinary_text_is_borrowed_as_it_is() {
        for plain in
            ["", "a=1&b=two&c", "q=caf%C3%A9+au+lait", "page=12&size=50&sort=-date", "=", "&&=&", "%", "%zz"]
        {
            let masked = masker().query(plain, 1_000).0;
            assert!(matches!(masked, Cow::Borrowed(text) if text == plain), "{plain}: {masked}");
        }
        for plain in ["/", "/a/b.html", "/users/1234/orders/2024-11-24", "/a:b/c=d"] {
            assert!(matches!(masker().path(plain, 1_000).0, Cow::Borrowed(text) if text == plain), "{plain}");
        }
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(text(agent), agent);
    }

    #[test]
    fn secret_parameters_are_shown_by_length() {
        assert_eq!(query("user=ann&password=hunter22&x=1"), "user=ann&password=***(8)&x=1");
        for name in [
            "PASSWD",
            "user[password]",
            "access_token",
            "api-key",
            "apiKey",
            "pass%77ord",
            "%70ass",
            "JSESSIONID",
            "X-Internal-Thing",
            "client.secret",
            "otp",
            "pass%2577ord",
            "user_auth",
            "card[pin]",
        ] {
            assert_eq!(query(&format!("{name}=abc")), format!("{name}=***(3)"), "{name}");
        }
        for name in ["passenger", "author", "keyboard", "shopping", "decode"] {
            assert_eq!(query(&format!("{name}=abc")), format!("{name}=abc"), "{name}");
        }
    }

    #[test]
    fn an_overlong_name_counts_as_secret() {
        let name = "n".repeat(MAX_NAME_LEN + 1);
        assert_eq!(query(&format!("{name}=abc")), format!("{name}=***(3)"));
    }

    #[test]
    fn numbers_that_identify_are_masked() {
        assert_eq!(text("card 4111111111111111!"), "card 4111***(16)!");
        assert_eq!(text("4111 1111-1111 1111"), "4111***(19)");
        assert_eq!(text("call 491701234567 now"), "call 4917***(12) now");
        assert_eq!(text("4111 1111 1111 1112 is no card"), "4111 1111 1111 1112 is no card");
        assert_eq!(text("12345678"), "12345678");
        assert_eq!(query("card=4111+1111+1111+1111"), "card=4111***(19)");
        assert_eq!(query("card=%34111111111111111"), "card=%341***(18)");
        assert_eq!(masker().path("/pay/4111111111111111/x", 100).as_str(), "/pay/4111***(16)/x");
    }

    #[test]
    fn tokens_and_credentials_are_masked() {
        assert_eq!(text("t eyJhbGciOiJIUzI1NiJ9.e30.abc_def x"), "t eyJh***(32) x");
        assert_eq!(text("Bearer abcdefgh12345"), "Bearer ***(13)");
        assert_eq!(text("basic  dXNlcjpwYXNz"), "basic  ***(12)");
        assert_eq!(text("a basic idea"), "a basic idea");
    }

    #[test]
    fn assignments_inside_text_are_masked() {
        assert_eq!(text("{\"password\": \"hunter2\", \"a\": 1}"), "{\"password\": \"***(7)\", \"a\": 1}");
        assert_eq!(text("authorization: digest abc def"), "authorization: ***(14)");
        assert_eq!(masker().path("/a;jsessionid=AB12/b", 100).as_str(), "/a;jsessionid=***(4)/b");
        assert_eq!(query("next=/login?token=abc;x=1"), "next=/login?token=***(3);x=1");
        assert_eq!(query("next=%2Flogin%3Ftoken%3Dabc"), "next=%2Fl***(22)");
        assert_eq!(query("data=%7B%22secret%22%3A%22abc%22%7D"), "data=%7B%***(30)");
    }

    #[test]
    fn matched_values_are_abridged_and_secret_ones_hidden() {
        let matched = |variable: &str, value: &[u8]| masker().matched(variable, value).as_str().to_owned();
        assert_eq!(matched("ARGS:id", b"1' OR '1'='1' UNION SELECT 1"), "1' OR '1***(28)");
        assert_eq!(matched("ARGS:id", b"1=1"), "1***(3)");
        assert_eq!(matched("ARGS:id", b""), "***(0)");
        assert_eq!(matched("ARGS:password", b"1' OR '1'='1' UNION SELECT 1"), "***(28)");
        assert_eq!(matched("REQUEST_HEADERS:Cookie", b"a=b; c=d"), "***(8)");
        assert_eq!(matched("ARGS:x", b"\xff\xfe\xfd\xfc\xfb\xfa"), "\u{fffd}\u{fffd}***(6)");
    }

    #[test]
    fn the_limit_cuts_and_does_not_uncover() {
        assert_eq!(masker().text("\u{e9}\u{e9}\u{e9}", 3).as_str(), "\u{e9}");
        assert_eq!(masker().text("card 4111111111111111", 13).as_str(), "card 4111***(");
        assert_eq!(masker().query("a=1&password=hunter2", 16).as_str(), "a=1&password=***");
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_and_still_masked() {
        assert_eq!(
            masker().query(b"\xff=1&password=hunter2".as_slice(), 100).as_str(),
            "\u{fffd}=1&password=***(7)"
        );
        assert_eq!(masker().text(b"ok \xc3".as_slice(), 100).as_str(), "ok \u{fffd}");
    }

    #[test]
    fn a_configured_name_must_name_something() {
        assert_eq!(Masker::new(["-_-"]).unwrap_err(), MaskNameError::Empty);
    }

    proptest! {
        #[test]
        fn a_secret_value_never_shows(
            value in "[g-z]{6,20}", name in "(user_)?(password|api-key|SessionId|auth)", before in "[a-f0-9&=%+ ]{0,30}",
        ) {
            let masked = query(&format!("{before}&{name}={value}"));
            prop_assert!(!masked.contains(&value[..4]), "{}", masked);
        }

        #[test]
        fn any_text_is_survived_within_the_limit(input in ".{0,300}", max in 0_usize..200) {
            let masker = masker();
            for masked in [masker.text(&input, max), masker.path(&input, max), masker.query(&input, max)] {
                prop_assert!(masked.as_str().len() <= max);
            }
            masker.matched(&input, input.as_bytes());
        }

        #[test]
        fn text_of_the_masked_alphabet_is_survived(
            input in "(eyJ|Bearer |basic |password|token|[0-9 -]|=|:|\"|%3D|\u{e9}|&|;){0,40}",
        ) {
            let masker = masker();
            masker.text(&input, 500);
            masker.query(&input, 500);
            masker.path(&input, 500);
        }
    }
}
