//! `@gt`: the input's number is greater than the argument's. Example: `@gt 5` matches `6`.

use super::number::value;

pub(super) fn matches(argument: &[u8], input: &[u8]) -> bool {
    value(input) > value(argument)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_input_stands_on_the_left() {
        assert!(matches(b"5", b"6"));
        assert!(!matches(b"5", b"5"));
    }
}
