//! `@endsWith`: the input ends with the argument, byte for byte. Example: `@endsWith .php` matches `/x.php`.

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    input.ends_with(argument)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn case_counts() {
        assert!(matches(b"Case", b"TestCase") && matches(b"", b"x"));
        assert!(!matches(b"case", b"TestCase") && !matches(b"TestCase", b"Case"));
    }
}
