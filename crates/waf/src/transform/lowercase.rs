//! `lowercase`: ASCII letters only. Example: `TestÀ` gives `testÀ`.

use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn only_ascii_letters_change() {
        assert_eq!(&*apply(b"Te\xc0[Z"), b"te\xc0[z");
        assert!(matches!(apply(b"plain 1"), Cow::Borrowed(_)));
    }
}
