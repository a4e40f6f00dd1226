//! `md5`: the raw digest (RFC 1321), usually followed by `hexEncode`.
//!
//! Example: nothing gives `d41d8cd98f00b204e9800998ecf8427e`, as 16 bytes.

use super::output::computed;
use ::md5::Digest as _;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, ::md5::Md5::digest(input).to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::hex_encode;

    #[test]
    fn a_known_digest() {
        assert_eq!(&*hex_encode::apply(&super::apply(b"")), b"d41d8cd98f00b204e9800998ecf8427e");
    }
}
