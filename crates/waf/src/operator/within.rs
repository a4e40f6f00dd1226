//! `@within`: the input is somewhere in the argument, byte for byte. Example: `@within GET POST` matches `GET`.

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    memchr::memmem::find(argument, input).is_some()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_argument_is_the_haystack() {
        assert!(matches(b"GET POST", b"POST") && matches(b"GET", b""));
        assert!(!matches(b"GET POST", b"PUT") && !matches(b"", b"GET"));
    }
}
