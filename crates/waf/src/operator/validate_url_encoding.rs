//! `@validateUrlEncoding`: some `%` of the input is not followed by two hexadecimal digits. Example: it matches `50%`.

use crate::transform::url_decode::has_invalid_escape;

pub(super) fn matches(input: &[u8]) -> bool {
    has_invalid_escape(input)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn what_is_valid_does_not_match() {
        assert!(matches(b"50%") && matches(b"%2g"));
        assert!(!matches(b"50%25") && !matches(b""));
    }
}
