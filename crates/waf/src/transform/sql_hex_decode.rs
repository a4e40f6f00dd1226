//! `sqlHexDecode`: `0x` and an even number of hexadecimal digits, as MySQL reads them. Example: `0x414243` gives
//! `ABC`.

use super::bytes::hex_pair;
use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'0', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [byte, tail @ ..] = rest {
        rest = match rest {
            [b'0', b'x' | b'X', digits @ ..] if hex_pair(digits).is_some() => {
                let mut digits = digits;
                while let Some(decoded) = hex_pair(digits) {
                    output.push(decoded);
                    digits = &digits[2..];
                }
                digits
            }
            _ => {
                output.push(*byte);
                tail
            }
        };
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn decodes_even_runs() {
        assert_eq!(&*apply(b"a=0x414243 0X4"), b"a=ABC 0X4");
        assert_eq!(&*apply(b"0x414"), b"A4");
        assert!(matches!(apply(b"10x4 0xg0"), Cow::Borrowed(_)));
    }
}
