//! `parityEven7bit`, `parityOdd7bit`, `parityZero7bit`: seven data bits with a parity bit on top.
//!
//! Example: `a` (three bits set) becomes `0xe1` under even parity and stays under odd.

use super::output::map_bytes;
use std::borrow::Cow;

const PARITY_BIT: u8 = 0x80;

pub(super) fn even(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| with_parity_bit(byte, byte.count_ones() % 2 == 1))
}

pub(super) fn odd(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| with_parity_bit(byte, byte.count_ones() % 2 == 0))
}

pub(super) fn zero(input: &[u8]) -> Cow<'_, [u8]> {
    map_bytes(input, |byte| with_parity_bit(byte, false))
}

fn with_parity_bit(byte: u8, set: bool) -> u8 {
    if set { byte | PARITY_BIT } else { byte & !PARITY_BIT }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_high_bit_completes_the_parity() {
        assert_eq!(&*super::even(b"ac"), b"\xe1c");
        assert_eq!(&*super::odd(b"ac"), b"a\xe3");
        assert_eq!(&*super::zero(b"\xe1c"), b"ac");
    }
}
