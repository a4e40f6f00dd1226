//! `length`: how many bytes there are, in decimal. Example: `abc` gives `3`.

use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, input.len().to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn counts_bytes() {
        assert_eq!(&*apply(b""), b"0");
        assert_eq!(&*apply("é\0".as_bytes()), b"3");
        assert!(matches!(apply(b"1"), Cow::Borrowed(_)));
    }
}
