//! `base64Decode`: strict RFC 4648 Base64.
//!
//! ModSecurity v3 decodes with mbedTLS: the input ends at the first NUL; line ends and spaces before them are skipped.
//! What is not Base64 stays as it is: a foreign byte, data after `=`, a third `=`, a last group that is not complete.
//! Example: `VGVzdENhc2U=` gives `TestCase`.

use super::bytes::base64_value;
use super::output::computed;
use std::borrow::Cow;

/// Padding bytes that a Base64 text may end with.
const MAX_PADDING: usize = 2;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let text = &input[..memchr::memchr(0, input).unwrap_or(input.len())];
    decode(text).map_or(Cow::Borrowed(input), |decoded| computed(input, decoded))
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut digits, mut padding) = (0_u32, 0, 0);
    let mut at = 0;
    while at < text.len() {
        let spaces = text[at..].iter().take_while(|&&byte| byte == b' ').count();
        at += spaces;
        match &text[at..] {
            [] => break,
            [b'\n', ..] => {
                at += 1;
                continue;
            }
            [b'\r', b'\n', ..] => {
                at += 2;
                continue;
            }
            [byte, ..] if spaces == 0 => {
                group <<= 6;
                if *byte == b'=' {
                    padding += 1;
                } else if padding == 0 {
                    group |= u32::from(base64_value(*byte)?);
                } else {
                    return None;
                }
                at += 1;
            }
            _ => return None,
        }
        if padding > MAX_PADDING {
            return None;
        }
        digits += 1;
        if digits == 4 {
            let [_, bytes @ ..] = group.to_be_bytes();
            decoded.extend_from_slice(&bytes[..3 - padding]);
            (group, digits) = (0, 0);
        }
    }
    (digits == 0).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn decodes() {
        assert_eq!(&*apply(b"VGVzdENhc2U="), b"TestCase");
        assert_eq!(&*apply(b"VGVz\r\ndENh \nc2U= "), b"TestCase");
        assert_eq!(&*apply(b"VGVzdA=="), b"Test");
    }

    #[test]
    fn ends_at_nul() {
        assert_eq!(&*apply(b"VGVzdA==\0!!!"), b"Test");
    }

    #[test]
    fn what_is_malformed_stays() {
        for malformed in [
            &b"VGV.zdA=="[..],
            b"VG VzdA==",
            b"VGVzdA==VGVz",
            b"VGVzd===",
            b"VGVzdA",
            b"VGVzdA=",
            b"a",
            b"====",
            b"foo=new+Function+(",
            b"\xff\xff\xff\xff",
        ] {
            assert!(matches!(apply(malformed), Cow::Borrowed(_)), "{malformed:?}");
        }
    }
}
