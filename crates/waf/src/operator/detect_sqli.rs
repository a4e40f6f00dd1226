//! `@detectSQLi`: libinjection takes the input for an SQL injection; its fingerprint is captured.
//!
//! Example: it matches `1' OR 1=1--`, `TX:0` is `s&1c`.

use super::detector::{Detector, guarded};
use super::{Captures, OperatorFailure};

pub(super) fn matches(
    detector: &dyn Detector,
    input: &[u8],
    captures: &mut Captures,
) -> Result<bool, OperatorFailure> {
    if is_word_or_number(input) {
        return Ok(false);
    }
    let fingerprint = guarded("SQL injection", || detector.sql_injection(input))?;
    if let Some(fingerprint) = &fingerprint {
        let length = fingerprint.iter().position(|&byte| byte == 0).unwrap_or(fingerprint.len());
        captures.set_text(&fingerprint[..length]);
    }
    Ok(fingerprint.is_some())
}

/// Whether the input is a word or a number, as most values are. To libinjection a word is a single token, and digits and
/// points are nothing but numbers and points; no fingerprint of an injection is made of these alone.
fn is_word_or_number(input: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match input.first() {
        Some(first) if first.is_ascii_alphabetic() => input.iter().all(is_word),
        _ => input.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'),
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::{Libinjection, Panics};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fingerprint_is_captured() {
        let mut captures = Captures::new();
        assert_eq!(matches(&Libinjection, b"1' OR 1=1--", &mut captures), Ok(true));
        assert_eq!(captures.get(0, b""), Some(&b"s&1c"[..]));
        for harmless in [&b""[..], b"this is not isqli", b"\0\xff"] {
            assert_eq!(matches(&Libinjection, harmless, &mut Captures::new()), Ok(false));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn words_and_numbers_are_no_injections(
            word in "(union|select|or|x|sp_password|0x|e|[a-zA-Z])[a-zA-Z0-9_]{0,40}",
            number in "[0-9.]{0,40}",
        ) {
            for input in [word, number] {
                prop_assert!(!is_word_or_number(input.as_bytes()) || Libinjection.sql_injection(input.as_bytes()).is_none());
            }
        }
    }

    #[test]
    fn a_number_ends_where_a_letter_begins() {
        assert!(is_word_or_number(b"union_1") && is_word_or_number(b"1.5") && !is_word_or_number(b"1e5"));
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert!(matches!(
            matches(&Panics, b"'", &mut Captures::new()),
            Err(OperatorFailure::Panicked { .. })
        ));
    }
}
