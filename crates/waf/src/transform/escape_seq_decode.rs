//! `escapeSeqDecode`: ANSI C escapes (`\n`, `\x41`, `\101`, ...).
//!
//! An escape that means nothing loses its backslash; a backslash at the very end stays.
//! Example: `\x41\102\t` gives `AB` and a tab.

use super::bytes::{c_escape, hex_pair, octal};
use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [byte, tail @ ..] = rest {
        let (decoded, taken) = match tail {
            [escape, after @ ..] if *byte == b'\\' => {
                let (decoded, length) = decode(*escape, after, tail);
                (decoded, 1 + length)
            }
            _ => (*byte, 1),
        };
        output.push(decoded);
        rest = &rest[taken..];
    }
    output.finish()
}

/// The byte that an escape stands for and how long it is, without the backslash.
fn decode(escape: u8, after: &[u8], all: &[u8]) -> (u8, usize) {
    if let Some(byte) = c_escape(escape) {
        (byte, 1)
    } else if let (b'x' | b'X', Some(byte)) = (escape, hex_pair(after)) {
        (byte, 3)
    } else if let Some((value, digits)) = octal(all) {
        (value as u8, digits)
    } else {
        (escape, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn decodes_every_kind() {
        assert_eq!(&*apply(b"\\a\\b\\f\\n\\r\\t\\v\\?\\'\\\"\\\\"), b"\x07\x08\x0c\n\r\t\x0b?'\"\\");
        assert_eq!(&*apply(b"\\x41\\X42\\0\\12\\1234"), b"AB\0\nS4");
    }

    #[test]
    fn malformed_escapes_lose_their_backslash() {
        assert_eq!(&*apply(b"\\8\\xg0\\u0009 \\x4"), b"8xg0u0009 x4");
        assert_eq!(&*apply(b"end\\"), b"end\\");
    }

    #[test]
    fn octal_wraps_at_a_byte() {
        assert_eq!(&*apply(b"\\777"), b"\xff");
    }
}
