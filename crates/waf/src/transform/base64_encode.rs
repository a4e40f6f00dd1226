//! `base64Encode`: RFC 4648 Base64 with padding. Example: `TestCase` gives `VGVzdENhc2U=`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    if input.is_empty() { Cow::Borrowed(input) } else { Cow::Owned(STANDARD.encode(input).into_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn encodes_with_padding() {
        assert_eq!(&*apply(b"TestCase1"), b"VGVzdENhc2Ux");
        assert_eq!(&*apply(b"Test\0Case"), b"VGVzdABDYXNl");
        assert_eq!(&*apply(b"T"), b"VA==");
        assert_eq!(&*apply(b""), b"");
    }
}
