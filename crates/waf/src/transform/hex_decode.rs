//! `hexDecode`: each two bytes are read as hexadecimal digits. Example: `54657374` gives `Test`.
//!
//! A lone last byte is dropped. Bytes that are no digits are read as ModSecurity's arithmetic reads them (from `A`
//! on as letters, before that as distance to `0`), because rules that ran on it saw that.

use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let decoded =
        input.chunks_exact(2).map(|pair| digit(pair[0]).wrapping_mul(16).wrapping_add(digit(pair[1])));
    computed(input, decoded.collect())
}

fn digit(byte: u8) -> u8 {
    if byte >= b'A' { (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10) } else { byte.wrapping_sub(b'0') }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn pairs_become_bytes() {
        assert_eq!(&*apply(b"546573740043617365"), b"Test\0Case");
        assert_eq!(&*apply(b"fFz"), b"\xff");
        assert_eq!(&*apply(b"a"), b"");
    }

    #[test]
    fn foreign_bytes_count_from_the_nearest_digit() {
        assert_eq!(&*apply(b"0z"), b"\x23");
    }
}
