//! `hexEncode`: two lowercase hexadecimal digits a byte. Example: `Test` gives `54657374`.

use super::bytes::hex_digits;
use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, input.iter().flat_map(|&byte| hex_digits(byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn bytes_become_digits() {
        assert_eq!(&*apply(b"Te\0\xff"), b"546500ff");
        assert_eq!(&*apply(b""), b"");
    }
}
