//! `removeWhitespace`: white space, and the bytes of the non-breaking space (0xA0, and 0xC2 of its UTF-8 form).
//!
//! Example: `a \t b` gives `ab`.

use super::bytes::is_space;
use super::output::retain;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    retain(input, |byte| !is_space(byte) && byte != 0xa0 && byte != 0xc2)
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn white_space_vanishes() {
        assert_eq!(&*apply(b" a\t\r\n\x0b\x0cb\0 "), b"ab\0");
        assert_eq!(&*apply("a\u{a0}b".as_bytes()), b"ab");
    }
}
