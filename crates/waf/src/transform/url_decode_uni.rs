//! `urlDecodeUni`: as `urlDecode`, and IIS's `%uXXXX`.
//!
//! A UTF-16 unit becomes its low byte; full-width ASCII (U+FF01-U+FF5E) becomes the ASCII character it looks like.
//! That is ModSecurity without `SecUnicodeMapFile`; a best-fit table of a code page would be asked here, before
//! [`best_fit`]. Example: `%u0041%uff1c` gives `A<`.

use super::bytes::best_fit;
use super::url_decode::decode;
use std::borrow::Cow;

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
    fn malformed_escapes_stay() {
        assert!(matches!(apply(b"%u004%uzzzz%u"), Cow::Borrowed(_)));
    }
}
