//! `parityOdd7bit`: seven data bits and, on top, a bit that makes the parity odd. Example: `c` (four bits set) becomes `0xe3`.

use super::bytes::with_parity_bit;
use super::output::map_bytes;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| with_parity_bit(byte, byte.count_ones().is_multiple_of(2)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_high_bit_completes_the_parity() {
        assert_eq!(&*super::apply(b"ac"), b"a\xe3");
    }
}
