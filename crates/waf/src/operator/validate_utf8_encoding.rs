//! `@validateUtf8Encoding`: the input is not UTF-8 (RFC 3629).
//!
//! Overlong sequences, surrogates and code points beyond U+10FFFF are none. Example: it matches `\xc0\xaf`.

pub(super) fn matches(input: &[u8]) -> bool {
    std::str::from_utf8(input).is_err()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn only_well_formed_sequences_are_utf8() {
        for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80", b"a\xff"] {
            assert!(matches(bad), "{bad:?}");
        }
        assert!(!matches("aé€😀\0".as_bytes()));
    }
}
