//! `md5` and `sha1`: raw digests (RFC 1321, RFC 3174), usually followed by `hexEncode`.
//!
//! Example: `md5` of nothing is `d41d8cd98f00b204e9800998ecf8427e`, as 16 bytes.

use super::output::computed;
use md5::Digest as _;
use std::borrow::Cow;

pub(super) fn md5(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, md5::Md5::digest(input).to_vec())
}

pub(super) fn sha1(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, sha1::Sha1::digest(input).to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::hex_encode;

    #[test]
    fn known_digests() {
        assert_eq!(&*hex_encode::apply(&super::md5(b"")), b"d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(&*hex_encode::apply(&super::sha1(b"abc")), b"a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
