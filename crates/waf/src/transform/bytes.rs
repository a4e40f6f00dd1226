//! Byte classes and digits, as C's "C" locale and ModSecurity's helpers see them.

/// C `isspace` in the "C" locale: space, `\t`, `\n`, `\v`, `\f`, `\r`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Without the white space that `text` begins with.
pub(crate) fn without_leading_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

/// Without the white space that `text` ends in.
pub(crate) fn without_trailing_space(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// A byte's low seven bits below a parity bit.
pub(super) fn with_parity_bit(byte: u8, set: bool) -> u8 {
    const PARITY_BIT: u8 = 0x80;
    if set { byte | PARITY_BIT } else { byte & !PARITY_BIT }
}

/// The value of one hexadecimal digit.
pub(crate) fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits at the front of `bytes` spell.
pub(crate) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

/// Two lowercase hexadecimal digits of a byte.
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]
}

/// The six bits of one Base64 digit (RFC 4648 section 4).
pub(super) fn base64_value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Reads up to three octal digits at the front of `bytes`: their value, and how many there were.
pub(crate) fn octal(bytes: &[u8]) -> Option<(u16, usize)> {
    let digits = bytes.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let value = bytes[..digits].iter().fold(0, |value, digit| value * 8 + u16::from(digit - b'0'));
    (digits > 0).then_some((value, digits))
}

/// What C's simple escapes stand for (`\n`, `\t`, ...).
pub(super) fn c_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

/// The byte that four hexadecimal digits of a UTF-16 unit become: the low byte, and for full-width ASCII
/// (U+FF01-U+FF5E) the ASCII character that it looks like.
pub(super) fn best_fit(digits: &[u8]) -> Option<u8> {
    let high = hex_pair(digits)?;
    let low = hex_pair(digits.get(2..)?)?;
    Some(if high == 0xff { narrow(low) } else { low })
}

/// The ASCII character of the full-width one whose low byte is `low`.
pub(super) fn narrow(low: u8) -> u8 {
    if (0x01..0x5f).contains(&low) { low + 0x20 } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_classes() {
        assert_eq!(hex_pair(b"fF0"), Some(0xff));
        assert_eq!(hex_pair(b"f"), None);
        assert_eq!(hex_pair(b"fg"), None);
        assert_eq!(hex_digits(0x0a), *b"0a");
        assert_eq!(octal(b"0178"), Some((0o17, 3)));
        assert_eq!(octal(b"8"), None);
        assert!(is_space(0x0b) && !is_space(0x1c) && !is_space(0xa0));
    }

    #[test]
    fn full_width_ascii_becomes_ascii() {
        assert_eq!(best_fit(b"ff1c"), Some(b'<'));
        assert_eq!(best_fit(b"FF00"), Some(0));
        assert_eq!(best_fit(b"ff5f"), Some(0x5f));
        assert_eq!(best_fit(b"0141"), Some(b'A'));
    }
}
