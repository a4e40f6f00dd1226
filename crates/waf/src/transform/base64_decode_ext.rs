//! `base64DecodeExt`: forgiving Base64, for payloads with foreign bytes strewn in.
//!
//! Bytes outside the alphabet are skipped; what is left of an unfinished group is dropped, as ModSecurity v3 does.
//! A `=` straight after the first digit of a group, unless another `=` follows, makes the result empty.
//! Example: `P.HNjcmlwdD4=` gives `<script>`.

use super::bytes::base64_value;
use super::output::computed;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    computed(input, decode(input).unwrap_or_default())
}

fn decode(input: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(input.len() / 4 * 3);
    let (mut bits, mut digits) = (0_u32, 0_usize);
    for (at, &byte) in input.iter().enumerate() {
        if byte == b'=' {
            if digits % 4 == 1 && input.get(at + 1) != Some(&b'=') {
                return None;
            }
            continue;
        }
        let Some(value) = base64_value(byte) else { continue };
        bits = bits << 6 | u32::from(value);
        digits += 1;
        match digits % 4 {
            2 => decoded.push((bits >> 4) as u8),
            3 => decoded.push((bits >> 2) as u8),
            0 => decoded.push(bits as u8),
            _ => {}
        }
    }
    let ends_with_padding = input.last() == Some(&b'=');
    (!(ends_with_padding && digits % 4 == 1)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn skips_foreign_bytes() {
        assert_eq!(&*apply(b"P.HNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="), b"<script>alert(1)</script>");
        assert_eq!(&*apply(b"VG Vz\xffdA"), b"Test");
        assert_eq!(&*apply(b""), b"");
    }

    #[test]
    fn padding_in_the_wrong_place_gives_nothing() {
        assert_eq!(&*apply(b"VGVzdA=A"), b"Test\0");
        assert_eq!(&*apply(b"V=GVz"), b"");
        assert_eq!(&*apply(b"VGVzd=="), b"");
    }
}
