//! `lowercase` and `uppercase`: ASCII letters only. Example: `TestCÀse` gives `testcÀse`.

use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn lowercase(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| byte.to_ascii_lowercase())
}

pub(super) fn uppercase(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| byte.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    #[test]
    fn only_ascii_letters_change() {
        assert_eq!(&*super::lowercase(b"Te\xc0[Z"), b"te\xc0[z");
        assert_eq!(&*super::uppercase(b"te\xe0{z"), b"TE\xe0{Z");
        assert!(matches!(super::lowercase(b"plain 1"), Cow::Borrowed(_)));
    }
}
