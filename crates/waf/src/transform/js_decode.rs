//! `jsDecode`: JavaScript escapes (`\uHHHH`, `\xHH`, `\OOO`, `\n`, ...).
//!
//! `\uHHHH` gives its low byte, of full-width ASCII the ASCII character. An octal escape above 0377 is read as two
//! digits. Any other escaped byte loses its backslash; a backslash at the very end stays.
//! Example: `\u0041\x42\103` gives `ABC`.

use super::bytes::{best_fit, c_escape, hex_pair, octal};
use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [byte, tail @ ..] = rest {
        let (decoded, taken) = match byte {
            b'\\' if !tail.is_empty() => decode(tail),
            _ => (*byte, 0),
        };
        output.push(decoded);
        rest = &tail[taken..];
    }
    output.finish()
}

/// The byte that the escape at the front of `text` (after its backslash, not empty) stands for, and its length.
fn decode(text: &[u8]) -> (u8, usize) {
    let number = match text {
        [b'u', digits @ ..] => best_fit(digits).map(|byte| (byte, 5)),
        [b'x', digits @ ..] => hex_pair(digits).map(|byte| (byte, 3)),
        _ => octal(text).map(|(value, digits)| match u8::try_from(value) {
            Ok(byte) => (byte, digits),
            Err(_) => ((value >> 3) as u8, digits - 1),
        }),
    };
    number.unwrap_or_else(|| (c_escape(text[0]).unwrap_or(text[0]), 1))
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn decodes_every_kind() {
        assert_eq!(&*apply(b"\\u0041\\x42\\103\\uff1c"), b"ABC<");
        assert_eq!(&*apply(b"\\a\\b\\f\\n\\r\\t\\v\\'\\\\"), b"\x07\x08\x0c\n\r\t\x0b'\\");
    }

    #[test]
    fn octal_stays_within_a_byte() {
        assert_eq!(&*apply(b"\\377\\400\\08"), b"\xff\x200\x008");
    }

    #[test]
    fn malformed_escapes_lose_their_backslash() {
        assert_eq!(&*apply(b"\\uzzzz\\x4\\z"), b"uzzzzx4z");
        assert_eq!(&*apply(b"end\\"), b"end\\");
    }
}
