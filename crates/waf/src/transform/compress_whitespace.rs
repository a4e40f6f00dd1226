//! `compressWhitespace`: each run of white space becomes one space. Example: `a \t\n b` gives `a b`.

use super::bytes::is_space;
use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|&byte| is_space(byte)) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut after_space = false;
    for &byte in &input[first..] {
        match is_space(byte) {
            true if after_space => {}
            true => output.push(b' '),
            false => output.push(byte),
        }
        after_space = is_space(byte);
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn runs_become_one_space() {
        assert_eq!(&*apply(b"  Test \t\x0b  Case\r\n"), b" Test Case ");
        assert_eq!(&*apply(b"a\tb"), b"a b");
    }

    #[test]
    fn single_spaces_stay() {
        assert!(matches!(apply(b"a b c"), Cow::Borrowed(_)));
        assert!(matches!(apply(b"a\0\xa0b"), Cow::Borrowed(_)));
    }
}
