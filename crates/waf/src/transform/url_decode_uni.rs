//! `urlDecodeUni`: as `urlDecode`, and IIS's `%uXXXX`.
//!
//! A UTF-16 unit becomes its low byte; full-width ASCII (U+FF01-U+FF5E) becomes the ASCII character it looks like.
//! A code page of `SecUnicodeMapFile` is asked first. Example: `%u0041%uff1c` gives `A<`.

use super::UnicodeMap;
use super::bytes::{best_fit, hex_pair};
use super::url_decode::decode;
use std::borrow::Cow;

/// As [`apply`], asking a code page first.
pub(crate) fn apply_mapped<'a>(input: &'a [u8], map: &UnicodeMap) -> Cow<'a, [u8]> {
    decode(input, |after| match after {
        [b'u' | b'U', digits @ ..] => {
            let unit = u16::from_be_bytes([hex_pair(digits)?, hex_pair(digits.get(2..)?)?]);
            map.byte(unit).or_else(|| best_fit(digits)).map(|byte| (byte, 5))
        }
        _ => None,
    })
}

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, |after| match after {
        [b'u' | b'U', digits @ ..] => best_fit(digits).map(|byte| (byte, 5)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn iis_escapes_give_their_best_fit() {
        assert_eq!(&*apply(b"%u0041%U0142%uff1c%uFF1E"), b"AB<>");
        assert_eq!(&*apply(b"a+%62"), b"a b");
    }

    #[test]
    fn a_code_page_is_asked_first() {
        let map = crate::transform::UnicodeMap::parse("1251\n0434:64 ff1c:28", 1251).unwrap();
        assert_eq!(&*super::apply_mapped(b"%u0434%uff1c%uff1e%u0141%u043%zz", &map), b"d(>A%u043%zz");
    }

    #[test]
    fn malformed_escapes_stay() {
        assert!(matches!(apply(b"%u004%uzzzz%u"), Cow::Borrowed(_)));
    }
}
