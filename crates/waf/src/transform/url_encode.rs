//! `urlEncode`: all but ASCII letters, digits and `*` as `%xx`, a space as `+`. Example: `a b&` gives `a+b%26`.

use super::bytes::hex_digits;
use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let mut output = Output::starting_at(input, 0);
    for &byte in input {
        match byte {
            b' ' => output.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => output.push(byte),
            _ => {
                output.push(b'%');
                output.extend(&hex_digits(byte));
            }
        }
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn special_bytes_are_escaped() {
        assert_eq!(&*apply(b"a b&\xff*"), b"a+b%26%ff*");
        assert!(matches!(apply(b"Plain123"), Cow::Borrowed(_)));
    }
}
