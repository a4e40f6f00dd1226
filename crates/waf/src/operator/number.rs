//! Numbers as `@eq`, `@ge`, `@gt`, `@le` and `@lt` read them.

use crate::transform::bytes::without_leading_space;

/// What C's `atoll` reads: leading white space, a sign, digits. What follows is ignored, no digits at all is 0, and
/// what does not fit saturates.
pub(crate) fn value(text: &[u8]) -> i64 {
    let (negative, digits) = match without_leading_space(text) {
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
    use super::value;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(value(b" \t-12x"), -12);
        assert_eq!(value(b"+7.9"), 7);
        assert_eq!((value(b""), value(b"abc"), value(b"- 5")), (0, 0, 0));
        assert_eq!(value(b"99999999999999999999"), i64::MAX);
        assert_eq!(value(b"-99999999999999999999"), i64::MIN);
    }
}
