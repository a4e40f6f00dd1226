//! `replaceNulls`: NUL bytes become spaces. Example: `a\0b` gives `a b`.

use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| if byte == 0 { b' ' } else { byte })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nulls_become_spaces() {
        assert_eq!(&*super::apply(b"\0a\0\0b\0"), b" a  b ");
    }
}
