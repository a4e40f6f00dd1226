//! `trim`: white space at both ends vanishes. Example: ` a b ` gives `a b`.

use super::bytes::{without_leading_space, without_trailing_space};
use super::output::cut;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    cut(input, without_leading_space(without_trailing_space(input)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn white_space_at_the_end_vanishes() {
        assert_eq!(&*super::apply(b" \t a b\r\n"), b"a b");
        assert_eq!(&*super::apply(b" \n"), b"");
    }
}
