//! `replaceComments`: each C comment becomes one space, an unclosed one too. Example: `a/*x*/b` gives `a b`.

use super::output::Output;
use memchr::memmem;
use std::borrow::Cow;

pub(super) fn apply(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memmem::find(input, b"/*") else {
        return Cow::Borrowed(input);
    };
    let mut output = Output::starting_at(input, first);
    let mut rest = &input[first..];
    while let Some(open) = memmem::find(rest, b"/*") {
        output.extend(&rest[..open]);
        output.push(b' ');
        let inside = &rest[open + 2..];
        rest = memmem::find(inside, b"*/").map_or(&[], |close| &inside[close + 2..]);
    }
    output.extend(rest);
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::apply;
    use std::borrow::Cow;

    #[test]
    fn comments_become_spaces() {
        assert_eq!(&*apply(b"a/*x*/b/**/c"), b"a b c");
        assert_eq!(&*apply(b"a/*/b"), b"a ");
        assert!(matches!(apply(b"a*/b"), Cow::Borrowed(_)));
    }
}
