//! `@le`: the input's number is less than or equals the argument's. Example: `@le 5` matches `5`.

use super::number::value;

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    value(input) <= value(argument)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_input_stands_on_the_left() {
        assert!(matches(b"5", b"5"));
        assert!(matches(b"5", b"4"));
        assert!(!matches(b"5", b"6"));
    }
}
