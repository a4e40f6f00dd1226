//! `htmlEntityDecode`: the entities that stand for one byte.
//!
//! What libmodsecurity v3 decodes: `&#x` and up to two hexadecimal digits, `&#` and up to three decimal digits (modulo
//! 256), both after any number of zeros, and names that *begin* with `quot`, `amp`, `lt`, `gt` or `nbsp` (0xA0),
//! whatever their case; the semicolon is optional. All else stays. Example: `&lt;a&#x3d;&quot` gives `<a="`.

use super::bytes::hex_value;
use super::output::Output;
use std::borrow::Cow;

/// A named entity is recognised by how it begins, as in the C original.
const NAMED: [(&[u8], u8); 5] =
    [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];

/// Digits of the largest byte in either base.
const MAX_HEX_DIGITS: usize = 2;
const MAX_DECIMAL_DIGITS: usize = 3;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'&', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let Some(at) = memchr::memchr(b'&', rest) {
        output.extend(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((byte, length)) = decode(rest) {
            output.push(byte);
            let tail = &rest[length..];
            rest = tail.strip_prefix(b";").unwrap_or(tail);
        } else {
            output.push(b'&');
        }
    }
    output.extend(rest);
    output.finish()
}

/// The byte that the entity at the front of `text` (after its `&`) stands for and its length without a semicolon.
fn decode(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, MAX_HEX_DIGITS, 16, 2),
        [b'#', digits @ ..] => number(digits, MAX_DECIMAL_DIGITS, 10, 1),
        _ => {
            let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let named = NAMED.iter().find(|(name, _)| {
                text[..length].get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            });
            named.map(|&(_, byte)| (byte, length))
        }
    }
}

fn number(text: &[u8], max_digits: usize, base: u16, prefix: usize) -> Option<(u8, usize)> {
    let zeros = text.iter().take_while(|&&byte| byte == b'0').count();
    let digits = text[zeros..].iter().take(max_digits).map_while(|&byte| hex_value(byte).map(u16::from));
    let (value, count) = digits
        .take_while(|&digit| digit < base)
        .fold((0, zeros), |(value, count), digit| (value * base + digit, count + 1));
    (count > 0).then_some((value as u8, prefix + count))
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn numbers_and_names() {
        assert_eq!(&*apply(b"&lt;a&#x3d;&quot;&#62&AMP;&nbsp;"), b"<a=\">&\xa0");
        assert_eq!(&*apply(b"&#x3cscript"), b"<script");
        assert_eq!(&*apply(b"&#300;"), b"\x2c");
    }

    #[test]
    fn names_count_by_how_they_begin() {
        assert_eq!(&*apply(b"&ltfoo;x"), b"<x");
        assert!(matches!(apply(b"&l;&copy;&;&#;&#x;&#xg;& &"), Cow::Borrowed(_)));
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(&*apply(b"&#0000000065;&#x0000041;&#00;"), b"AA\0");
    }

    #[test]
    fn digits_beyond_a_byte_stay_text() {
        assert_eq!(&*apply(b"&#x4100;"), b"A00;");
        assert_eq!(&*apply(b"&#6553;"), b"\x8f3;");
    }
}
