//! `removeComments`: comments of C (`/* */`), HTML (`<!-- -->`), SQL (`--`) and shell (`#`).
//!
//! Either closing mark ends either kind. After `--` or `#` nothing is kept. As in ModSecurity v3 the byte after a
//! closing mark is copied unseen (a NUL stands for it at the end of the input), and an unclosed comment leaves a
//! space. Example: `SEL/*x*/ECT` gives `SELECT`.

use super::output::Output;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|byte| matches!(byte, b'/' | b'<' | b'-' | b'#')) else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    let mut inside = false;
    while let [byte, after @ ..] = rest {
        rest = match rest {
            [b'*', b'/', tail @ ..] | [b'-', b'-', b'>', tail @ ..] if inside => {
                inside = false;
                let (&byte, tail) = tail.split_first().unwrap_or((&0, &[]));
                output.push(byte);
                tail
            }
            _ if inside => after,
            [b'/', b'*', tail @ ..] | [b'<', b'!', b'-', b'-', tail @ ..] => {
                inside = true;
                tail
            }
            [b'-', b'-', ..] | [b'#', ..] => break,
            _ => {
                output.push(*byte);
                after
            }
        };
    }
    if inside {
        output.push(b' ');
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn comments_vanish() {
        assert_eq!(&*apply(b"SEL/*x*/ECT"), b"SELECT");
        assert_eq!(&*apply(b"a<!-- x -->b"), b"ab");
        assert_eq!(&*apply(b"a<!-- x */b"), b"ab");
        assert_eq!(&*apply(b"1 -- rest"), b"1 ");
        assert_eq!(&*apply(b"1 # rest"), b"1 ");
    }

    #[test]
    fn unclosed_leaves_a_space_and_a_closing_end_a_nul() {
        assert_eq!(&*apply(b"a/*b"), b"a ");
        assert_eq!(&*apply(b"/*b*/"), b"\0");
        assert_eq!(&*apply(b"/*b*/#x"), b"#x");
    }

    #[test]
    fn no_comment_no_change() {
        assert!(matches!(apply(b"a */ b -> c / d <! e"), Cow::Borrowed(_)));
    }
}
