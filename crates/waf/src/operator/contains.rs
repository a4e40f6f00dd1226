//! `@contains` and `@strmatch`: the argument is somewhere in the input, byte for byte. Example: `@contains ../`
//! matches `a/../b`.

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    memchr::memmem::find(input, argument).is_some()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn anywhere_is_enough() {
        assert!(matches(b"stC", b"TestCase") && matches(b"", b"x"));
        assert!(!matches(b"stc", b"TestCase") && !matches(b"x", b""));
    }
}
