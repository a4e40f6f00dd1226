//! `uppercase`: ASCII letters only. Example: `testà` gives `TESTà`.

use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| byte.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn only_ascii_letters_change() {
        assert_eq!(&*apply(b"te\xe0{z"), b"TE\xe0{Z");
    }
}
