//! `removeNulls` and `replaceNulls`: NUL bytes vanish or become spaces. Example: `a\0b` gives `ab` or `a b`.

use super::output::{map_bytes, retain};
use std::borrow::Cow;

pub(super) fn remove(input: &[u8]) -> Cow<'_, [u8]> {
    retain(input, |byte| byte != 0)
}

pub(super) fn replace(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| if byte == 0 { b' ' } else { byte })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nulls_vanish_or_become_spaces() {
        assert_eq!(&*super::remove(b"\0a\0\0b\0"), b"ab");
        assert_eq!(&*super::replace(b"\0a\0\0b\0"), b" a  b ");
    }
}
