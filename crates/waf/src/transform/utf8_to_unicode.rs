//! `utf8toUnicode`: UTF-8 sequences written as `%uXXXX`, so that rules need not know UTF-8.
//!
//! As ModSecurity v3: at least four hexadecimal digits, five or six beyond the basic plane; the lead byte of an
//! overlong sequence or a surrogate is repeated after it, that of a broken sequence vanishes; stray continuation
//! bytes stay; NUL vanishes unless it is last. Example: `é` gives `%u00e9`.

use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|&byte| byte == 0 || !byte.is_ascii()) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [lead, tail @ ..] = rest {
        rest = tail;
        match lead {
            0 if !tail.is_empty() => {}
            0x00..=0xbf | 0xf8.. => output.push(*lead),
            0xc0..=0xdf => rest = sequence(&mut output, *lead, tail, 1),
            0xe0..=0xef => rest = sequence(&mut output, *lead, tail, 2),
            0xf0..=0xf7 => rest = sequence(&mut output, *lead, tail, 3),
        }
    }
    output.finish()
}

/// Writes the sequence of `lead` and `continuations` bytes of `tail`; gives what follows it.
fn sequence<'a>(output: &mut Output<'_>, lead: u8, tail: &'a [u8], continuations: usize) -> &'a [u8] {
    /// The first code point that needs this many continuation bytes.
    const SMALLEST: [u32; 4] = [0, 0x80, 0x800, 0x1_0000];
    /// The lead byte of a sequence beyond U+10FFFF.
    const BEYOND_UNICODE: u8 = 0xf5;

    if lead >= BEYOND_UNICODE {
        output.push(lead);
    }
    let Some((bytes, rest)) = tail.split_at_checked(continuations) else { return tail };
    if bytes.iter().any(|byte| byte & 0xc0 != 0x80) {
        return tail;
    }
    let lead_bits = u32::from(lead & (0x3f >> continuations));
    let code = bytes.iter().fold(lead_bits, |code, byte| code << 6 | u32::from(byte & 0x3f));
    output.extend(format!("%u{code:04x}").as_bytes());
    if (0xd800..=0xdfff).contains(&code) {
        output.push(lead);
    }
    if code < SMALLEST[continuations] {
        output.push(lead);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn sequences_become_escapes() {
        assert_eq!(&*apply("é € 😀".as_bytes()), b"%u00e9 %u20ac %u1f600");
        assert!(matches!(apply(b"plain %u0041"), Cow::Borrowed(_)));
    }

    #[test]
    fn broken_leads_vanish_and_strays_stay() {
        assert_eq!(&*apply(b"a\xc3b\xe2\x82c\x80"), b"ab\x82c\x80");
        assert_eq!(&*apply(b"\xff\xf8"), b"\xff\xf8");
    }

    #[test]
    fn overlong_and_surrogates_repeat_their_lead() {
        assert_eq!(&*apply(b"\xc0\xaf"), b"%u002f\xc0");
        assert_eq!(&*apply(b"\xed\xa0\x80"), b"%ud800\xed");
        assert_eq!(&*apply(b"\xf5\x80\x80\x80"), b"\xf5%u140000");
    }

    #[test]
    fn nul_stays_only_at_the_end() {
        assert_eq!(&*apply(b"a\0b\0"), b"ab\0");
    }
}
