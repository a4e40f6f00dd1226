//! `removeCommentsChar`: the marks `/*`, `*/`, `<!--`, `-->`, `--` and `#`, but not what is between them.
//!
//! Example: `SEL/**/ECT--` gives `SELECT`.

use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|byte| matches!(byte, b'/' | b'*' | b'<' | b'-' | b'#')) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let [byte, tail @ ..] = rest {
        rest = match rest {
            [b'<', b'!', b'-', b'-', after @ ..]
            | [b'-', b'-', b'>', after @ ..]
            | [b'/', b'*', after @ ..]
            | [b'*', b'/', after @ ..]
            | [b'-', b'-', after @ ..]
            | [b'#', after @ ..] => after,
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
    fn marks_vanish_and_contents_stay() {
        assert_eq!(&*apply(b"SEL/**/ECT--"), b"SELECT");
        assert_eq!(&*apply(b"<!-- a --># b"), b" a  b");
        assert_eq!(&*apply(b"/*/"), b"/");
        assert!(matches!(apply(b"a/b*c-d<e"), Cow::Borrowed(_)));
    }
}
