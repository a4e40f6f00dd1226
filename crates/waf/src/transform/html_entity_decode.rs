//! `htmlEntityDecode`: the entities that stand for one byte.
//!
//! What libmodsecurity decodes: `&#x` and hexadecimal digits, `&#` and decimal digits, any number of them, of whose
//! value the low byte counts; and names that *begin* with `quot`, `amp`, `lt`, `gt` or `nbsp` (0xA0), whatever their
//! case, which are taken whole. The semicolon is optional. All else stays. Example: `&lt;a&#x3d;&quot` gives `<a="`.

use super::bytes::hex_value;
use super::output::Output;
use std::borrow::Cow;

const NAMED: [(&[u8], u8); 5] =
    [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];

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
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16).map(|(byte, count)| (byte, 2 + count)),
        [b'#', digits @ ..] => number(digits, 10).map(|(byte, count)| (byte, 1 + count)),
        _ => {
            let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let begins = |name: &[u8]| {
                text[..length].get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            let named = NAMED.iter().find(|(name, _)| begins(name));
            named.map(|&(_, byte)| (byte, length))
        }
    }
}

/// The low byte of a number in the given base, and its digits. A number beyond what C's `long` holds is its largest.
fn number(text: &[u8], base: i64) -> Option<(u8, usize)> {
    let digits =
        text.iter().map_while(|&byte| hex_value(byte).map(i64::from)).take_while(|&digit| digit < base);
    let (value, count) = digits.fold((0_i64, 0), |(value, count), digit| {
        (value.saturating_mul(base).saturating_add(digit), count + 1)
    });
    (count > 0).then_some((value as u8, count))
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn numbers_and_names() {
        assert_eq!(&*apply(b"&lt;a&#x3d;&quot;&#62&AMP;&nbsp;"), b"<a=\">&\xa0");
        assert_eq!(&*apply(b"&#60script&#x3E"), b"<script>");
    }

    #[test]
    fn names_count_by_how_they_begin() {
        assert_eq!(&*apply(b"&ltfoo;x&quotrl(&ampx;"), b"<x\"(&");
        assert!(matches!(apply(b"&l;&copy;&;&#;&#x;&#xg;& &"), Cow::Borrowed(_)));
        assert_eq!(&*apply(b"&lt-&gt"), b"<->");
    }

    #[test]
    fn any_number_of_digits_gives_a_byte() {
        assert_eq!(&*apply(b"&#0000000065;&#x0000041;&#00;"), b"AA\0");
        assert_eq!(&*apply(b"&#65345;&#x1f600"), b"A\0");
        assert_eq!(&*apply(b"&#99999999999999999999999;"), b"\xff");
    }
}
