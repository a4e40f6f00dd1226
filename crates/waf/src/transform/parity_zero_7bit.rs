//! `parityZero7bit`: seven data bits and, on top, a zero. Example: `0xe1` becomes `a`.

use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| byte & 0x7f)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_high_bit_completes_the_parity() {
        assert_eq!(&*super::apply(b"\xe1c"), b"ac");
    }
}
