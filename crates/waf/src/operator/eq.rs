//! `@eq`: the input's number equals the argument's. Example: `@eq 5` matches `05`.

use super::number::value;

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    value(input) == value(argument)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_input_stands_on_the_left() {
        assert!(matches(b"5", b"05"));
        assert!(!matches(b"5", b"6"));
        assert!(!matches(b"5", b"4"));
    }
}
