//! `@beginsWith`, `@contains`, `@strmatch`, `@containsWord`, `@endsWith`, `@streq`, `@within`: bytes compared as
//! they are, case and all. Examples: `@contains ../` matches `a/../b`; `@within GET POST` matches `GET`.

use memchr::memmem;

pub(super) fn begins_with(argument: &[u8], input: &[u8]) -> bool {
    input.starts_with(argument)
}

pub(super) fn contains(argument: &[u8], input: &[u8]) -> bool {
    memmem::find(input, argument).is_some()
}

pub(super) fn ends_with(argument: &[u8], input: &[u8]) -> bool {
    input.ends_with(argument)
}

pub(super) fn equals(argument: &[u8], input: &[u8]) -> bool {
    argument == input
}

pub(super) fn within(argument: &[u8], input: &[u8]) -> bool {
    memmem::find(argument, input).is_some()
}

/// An occurrence counts when neither neighbour is an ASCII letter; digits and `_` are neighbours like any other.
pub(super) fn contains_word(argument: &[u8], input: &[u8]) -> bool {
    if argument.is_empty() {
        return true;
    }
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let mut from = 0;
    while let Some(at) = memmem::find(&input[from..], argument).map(|at| from + at) {
        let before = at.checked_sub(1).and_then(|before| input.get(before));
        if !is_letter(before) && !is_letter(input.get(at + argument.len())) {
            return true;
        }
        from = at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_as_they_are() {
        assert!(begins_with(b"Test", b"TestCase") && !begins_with(b"test", b"TestCase"));
        assert!(ends_with(b"Case", b"TestCase") && !ends_with(b"TestCase", b"Case"));
        assert!(contains(b"", b"x") && contains(b"stC", b"TestCase") && !contains(b"x", b""));
        assert!(equals(b"", b"") && !equals(b"a", b"A"));
        assert!(within(b"GET POST", b"POST") && within(b"GET", b"") && !within(b"", b"GET"));
    }

    #[test]
    fn a_word_has_no_letter_beside_it() {
        assert!(contains_word(b"def", b"abc def ghi") && contains_word(b"abc", b"abc1"));
        assert!(
            !contains_word(b"def", b"abcdefghi")
                && !contains_word(b"y", b"xy")
                && !contains_word(b"y", b"yz")
        );
        assert!(contains_word(b"aa", b"aaa aa") && contains_word(b"", b""));
    }
}
