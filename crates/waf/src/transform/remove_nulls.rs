//! `removeNulls`: NUL bytes vanish. Example: `a\0b` gives `ab`.

use super::output::retain;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    retain(input, |byte| byte != 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nulls_vanish() {
        assert_eq!(&*super::apply(b"\0a\0\0b\0"), b"ab");
    }
}
