//! `urlDecode`: `%XX` and `+` (WHATWG URL, application/x-www-form-urlencoded). Malformed escapes stay as they are.
//!
//! Example: `a%20b+c%zz` gives `a b c%zz`.

use super::bytes::hex_pair;
use super::output::Output;
use std::borrow::Cow;

pub(crate) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, |_| None)
}

/// Whether some `%` is not followed by two hexadecimal digits; what `@validateUrlEncoding` matches, such as `50%`.
pub(crate) fn has_invalid_escape(input: &[u8]) -> bool {
    memchr::memchr_iter(b'%', input).any(|at| hex_pair(&input[at + 1..]).is_none())
}

/// Decodes `%XX` and `+`, and before those whatever `extension` knows: it gets what follows a `%` and answers with
/// the bytes that it stands for and how much it took.
pub(super) fn decode(input: &[u8], extension: impl Fn(&[u8]) -> Option<(u8, usize)>) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', input) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [byte, tail @ ..] = rest {
        let (decoded, taken) = match byte {
            b'%' => match extension(tail).or_else(|| hex_pair(tail).map(|byte| (byte, 2))) {
                Some((decoded, taken)) => (decoded, taken),
                None => (b'%', 0),
            },
            b'+' => (b' ', 0),
            _ => (*byte, 0),
        };
        output.push(decoded);
        rest = &tail[taken..];
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::{apply, has_invalid_escape};
    use std::borrow::Cow;

    #[test]
    fn escapes_and_plus() {
        assert_eq!(&*apply(b"a%20b+c%00%fF"), b"a b c\0\xff");
    }

    #[test]
    fn malformed_escapes_stay() {
        assert!(matches!(apply(b"%zz%4%"), Cow::Borrowed(_)));
        assert_eq!(&*apply(b"%%41%u0041"), b"%A%u0041");
        assert!(matches!(apply(b"plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn invalid_escapes_are_noticed() {
        for bad in [&b"%"[..], b"%2", b"a%zz", b"%20%", b"%%20"] {
            assert!(has_invalid_escape(bad), "{bad:?}");
        }
        assert!(!has_invalid_escape(b"a%20b%FF+") && !has_invalid_escape(b""));
    }
}
