//! The second argument of a rule: `!@rx pattern`.

use super::{Argument, Place};

/// An operator, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorText {
    /// `!`: matches where the operator does not.
    pub(crate) negated: bool,
    /// The name without `@`; `rx` where none is given.
    pub(crate) name: String,
    /// What is behind the name.
    pub(crate) argument: String,
    pub(crate) place: Place,
}

/// Reads an operator. Every text is one: without `@name` it is a pattern for `@rx`.
pub(crate) fn parse_operator(argument: &Argument) -> OperatorText {
    let place = argument.place();
    let text = argument.unescaped();
    let trimmed = text.trim_start();
    let (negated, rest) = match trimmed.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, trimmed),
    };
    let (name, argument) = match rest.trim_start().strip_prefix('@') {
        Some(named) => {
            let end = named.find(char::is_whitespace).unwrap_or(named.len());
            (&named[..end], named[end..].trim_start())
        }
        None => ("rx", rest),
    };
    OperatorText { negated, name: name.to_owned(), argument: argument.to_owned(), place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_every_form() {
        let show = |text: &str| {
            let operator = parse_operator(&Argument::standalone(text));
            (operator.negated, operator.name, operator.argument)
        };
        let owned = |negated, name: &str, argument: &str| (negated, name.to_owned(), argument.to_owned());
        assert_eq!(show("@rx a b "), owned(false, "rx", "a b "));
        assert_eq!(show("!@eq 0"), owned(true, "eq", "0"));
        assert_eq!(show("! @within  a"), owned(true, "within", "a"));
        assert_eq!(show(r#"^a\"@b"#), owned(false, "rx", "^a\"@b"));
        assert_eq!(show("!^$"), owned(true, "rx", "^$"));
        assert_eq!(show("@detectSQLi"), owned(false, "detectSQLi", ""));
        assert_eq!(show(""), owned(false, "rx", ""));
    }
}
