//! `@streq`: the input is the argument, byte for byte. Example: `@streq GET` matches `GET`.

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    argument == input
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn nothing_more_and_nothing_less() {
        assert!(matches(b"GET", b"GET") && matches(b"", b""));
        assert!(!matches(b"GET", b"get") && !matches(b"GET", b"GET "));
    }
}
