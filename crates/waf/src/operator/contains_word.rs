//! `@containsWord`: the argument is in the input, with no ASCII letter on either side; digits and `_` are neighbours like
//! any other. Example: `@containsWord or` matches `1 or 1` and not `word`.

use memchr::memmem;

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    find(argument, input).is_some()
}

/// Where the word is.
pub(super) fn find(argument: &[u8], input: &[u8]) -> Option<usize> {
    if argument.is_empty() {
        return Some(0);
    }
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let mut from = 0;
    while let Some(at) = memmem::find(&input[from..], argument).map(|at| from + at) {
        let before = at.checked_sub(1).and_then(|before| input.get(before));
        if !is_letter(before) && !is_letter(input.get(at + argument.len())) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_word_has_no_letter_beside_it() {
        assert!(matches(b"def", b"abc def ghi") && matches(b"abc", b"abc1"));
        assert!(!matches(b"def", b"abcdefghi") && !matches(b"y", b"xy") && !matches(b"y", b"yz"));
    }

    #[test]
    fn a_later_occurrence_counts() {
        assert!(matches(b"aa", b"aaa aa") && matches(b"", b""));
    }
}
