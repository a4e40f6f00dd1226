//! `@eq`, `@ge`, `@gt`, `@le`, `@lt`: both sides read as decimal numbers.
//!
//! A number is what C's `atoll` reads: leading white space, a sign, digits; what follows is ignored, no digits at
//! all is 0, and what does not fit saturates. Example: `@ge 5` matches `7 items`.

use crate::transform::bytes::is_space;

pub(super) fn eq(argument: &[u8], input: &[u8]) -> bool {
    value(input) == value(argument)
}

pub(super) fn ge(argument: &[u8], input: &[u8]) -> bool {
    value(input) >= value(argument)
}

pub(super) fn gt(argument: &[u8], input: &[u8]) -> bool {
    value(input) > value(argument)
}

pub(super) fn le(argument: &[u8], input: &[u8]) -> bool {
    value(input) <= value(argument)
}

pub(super) fn lt(argument: &[u8], input: &[u8]) -> bool {
    value(input) < value(argument)
}

fn value(text: &[u8]) -> i64 {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0_i64, |value, byte| {
        let digit = i64::from(byte - b'0');
        let shifted = value.saturating_mul(10);
        if negative { shifted.saturating_sub(digit) } else { shifted.saturating_add(digit) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(value(b" \t-12x"), -12);
        assert_eq!(value(b"+7.9"), 7);
        assert_eq!((value(b""), value(b"abc"), value(b"- 5")), (0, 0, 0));
        assert_eq!(value(b"99999999999999999999"), i64::MAX);
        assert_eq!(value(b"-99999999999999999999"), i64::MIN);
    }

    #[test]
    fn the_input_stands_on_the_left() {
        assert!(ge(b"5", b"5") && ge(b"5", b"6") && !ge(b"5", b"4"));
        assert!(gt(b"5", b"6") && !gt(b"5", b"5"));
        assert!(le(b"5", b"5") && le(b"5", b"4") && !le(b"5", b"6"));
        assert!(lt(b"5", b"4") && !lt(b"5", b"5"));
        assert!(eq(b"5", b"05") && !eq(b"5", b"6"));
    }
}
