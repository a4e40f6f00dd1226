//! `@beginsWith`: the input begins with the argument, byte for byte. Example: `@beginsWith /admin` matches
//! `/admin/x`.

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    input.starts_with(argument)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn case_counts() {
        assert!(matches(b"Test", b"TestCase") && matches(b"", b""));
        assert!(!matches(b"test", b"TestCase") && !matches(b"TestCase", b"Test"));
    }
}
