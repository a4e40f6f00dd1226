//! `trimRight`: white space at the right end vanishes. Example: ` a b ` gives ` a b`.

use super::bytes::without_trailing_space;
use super::output::cut;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    cut(input, without_trailing_space(input))
}

#[cfg(test)]
mod tests {
    #[test]
    fn white_space_at_the_end_vanishes() {
        assert_eq!(&*super::apply(b" a\x0b\x0c"), b" a");
    }
}
