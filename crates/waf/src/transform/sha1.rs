//! `sha1`: the raw digest (RFC 3174), usually followed by `hexEncode`.
//!
//! Example: `abc` gives `a9993e364706816aba3e25717850c26c9cd0d89d`, as 20 bytes.

use super::output::computed;
use ::sha1::Digest as _;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, ::sha1::Sha1::digest(input).to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::hex_encode;

    #[test]
    fn a_known_digest() {
        assert_eq!(&*hex_encode::apply(&super::apply(b"abc")), b"a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
