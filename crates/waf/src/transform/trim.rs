//! `trim`, `trimLeft`, `trimRight`: white space at the ends. Example: ` a b ` gives `a b`.

use super::bytes::is_space;
use super::output::cut;
use std::borrow::Cow;

pub(super) fn both(input: &[u8]) -> Cow<'_, [u8]> {
    cut(input, without_leading(without_trailing(input)))
}

pub(super) fn left(input: &[u8]) -> Cow<'_, [u8]> {
    cut(input, without_leading(input))
}

pub(super) fn right(input: &[u8]) -> Cow<'_, [u8]> {
    cut(input, without_trailing(input))
}

fn without_leading(input: &[u8]) -> &[u8] {
    let start = input.iter().position(|&byte| !is_space(byte)).unwrap_or(input.len());
    &input[start..]
}

fn without_trailing(input: &[u8]) -> &[u8] {
    let end = input.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
    &input[..end]
}

#[cfg(test)]
mod tests {
    #[test]
    fn ends_lose_their_white_space() {
        assert_eq!(&*super::both(b" \t a b\r\n"), b"a b");
        assert_eq!(&*super::left(b" a "), b"a ");
        assert_eq!(&*super::right(b" a\x0b\x0c"), b" a");
        assert_eq!(&*super::both(b" \n"), b"");
    }
}
