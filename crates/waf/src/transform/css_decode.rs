//! `cssDecode`: CSS 2.x escapes (CSS 2.1 section 4.1.3), as far as they stand for one byte.
//!
//! A backslash and one to six hexadecimal digits give the byte of the last two digits (of full-width ASCII, the
//! ASCII character); one white-space byte after them is part of the escape. A backslash before a line feed
//! vanishes with it, before anything else it vanishes alone, at the end too. Example: `ja\vascript` gives
//! `javascript`, `\ff1c ` gives `<`.

use super::bytes::{hex_value, is_space, narrow};
use super::output::Output;
use std::borrow::Cow;

/// Digits that one escape can hold.
const MAX_DIGITS: usize = 6;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut at = first;
    while at < input.len() {
        if input[at] != b'\\' {
            output.push(input[at]);
            at += 1;
            continue;
        }
        at += 1;
        let rest = &input[at..];
        let digits = rest.iter().take(MAX_DIGITS).take_while(|&&byte| hex_value(byte).is_some()).count();
        match rest.first() {
            None => break,
            Some(_) if digits > 0 => {
                output.push(decode(&rest[..digits]));
                at += digits;
                if input.get(at).copied().is_some_and(is_space) {
                    at += 1;
                }
            }
            Some(b'\n') => at += 1,
            Some(&byte) => {
                output.push(byte);
                at += 1;
            }
        }
    }
    output.finish()
}

/// The byte of one to six hexadecimal digits.
fn decode(digits: &[u8]) -> u8 {
    let value =
        digits.iter().filter_map(|&digit| hex_value(digit)).fold(0, |v, digit| v << 4 | u32::from(digit));
    let low = value as u8;
    let full_width = digits.len() >= 4 && value >> 8 == 0xff;
    if full_width { narrow(low) } else { low }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn escapes_give_their_low_byte() {
        assert_eq!(&*apply(b"ja\\vascript"), b"javascript");
        assert_eq!(&*apply(b"\\6a\\61 v"), b"jav");
        assert_eq!(&*apply(b"\\a\\0041"), b"\nA");
    }

    #[test]
    fn full_width_becomes_ascii_only_from_four_digits() {
        assert_eq!(&*apply(b"\\ff1c"), b"<");
        assert_eq!(&*apply(b"\\0ff1cx"), b"<x");
        assert_eq!(&*apply(b"\\00ff1c"), b"<");
        assert_eq!(&*apply(b"\\f1cz"), b"\x1cz");
        assert_eq!(&*apply(b"\\1ff1cz"), b"\x1cz");
    }

    #[test]
    fn line_continuation_and_trailing_backslash_vanish() {
        assert_eq!(&*apply(b"ab\\\ncd\\"), b"abcd");
    }
}
