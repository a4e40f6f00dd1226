//! Operators that need no compiling, for arguments that change from one evaluation to the next.

use super::{
    Captures, OperatorFailure, begins_with, contains, contains_word, ends_with, eq, ge, gt, le, lt, rx,
    streq, within,
};

use std::ops::Range;

/// An operator whose argument may hold macros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeOperator {
    /// The input begins with the argument.
    BeginsWith,
    /// The argument is somewhere in the input.
    Contains,
    /// The argument is in the input, with no ASCII letter on either side.
    ContainsWord,
    /// The input ends with the argument.
    EndsWith,
    /// The input is the argument.
    StrEq,
    /// The argument is somewhere in the input.
    StrMatch,
    /// The input is somewhere in the argument.
    Within,
    /// The input's number equals the argument's.
    Eq,
    /// The input's number is greater or equal.
    Ge,
    /// The input's number is greater.
    Gt,
    /// The input's number is less or equal.
    Le,
    /// The input's number is less.
    Lt,
    /// The argument, a regular expression, matches somewhere in the input.
    Rx,
    /// As `Rx`; further matches are captured too.
    RxGlobal,
}

const NAMES: [(&str, RuntimeOperator); 14] = [
    ("beginsWith", RuntimeOperator::BeginsWith),
    ("contains", RuntimeOperator::Contains),
    ("containsWord", RuntimeOperator::ContainsWord),
    ("endsWith", RuntimeOperator::EndsWith),
    ("streq", RuntimeOperator::StrEq),
    ("strmatch", RuntimeOperator::StrMatch),
    ("within", RuntimeOperator::Within),
    ("eq", RuntimeOperator::Eq),
    ("ge", RuntimeOperator::Ge),
    ("gt", RuntimeOperator::Gt),
    ("le", RuntimeOperator::Le),
    ("lt", RuntimeOperator::Lt),
    ("rx", RuntimeOperator::Rx),
    ("rxGlobal", RuntimeOperator::RxGlobal),
];

impl RuntimeOperator {
    /// The operator that SecLang calls `name` (without `@`, whatever the case of its letters), if its argument may
    /// hold macros.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, operator)| operator)
    }

    /// Whether `input` matches under `argument`. `captures` is emptied, then holds what was captured.
    pub fn matches(
        self,
        argument: &[u8],
        input: &[u8],
        captures: &mut Captures,
    ) -> Result<bool, OperatorFailure> {
        captures.clear();
        match self {
            Self::BeginsWith => Ok(begins_with::matches(argument, input)),
            Self::Contains | Self::StrMatch => Ok(contains::matches(argument, input)),
            Self::ContainsWord => Ok(contains_word::matches(argument, input)),
            Self::EndsWith => Ok(ends_with::matches(argument, input)),
            Self::StrEq => Ok(streq::matches(argument, input)),
            Self::Within => Ok(within::matches(argument, input)),
            Self::Eq => Ok(eq::matches(argument, input)),
            Self::Ge => Ok(ge::matches(argument, input)),
            Self::Gt => Ok(gt::matches(argument, input)),
            Self::Le => Ok(le::matches(argument, input)),
            Self::Lt => Ok(lt::matches(argument, input)),
            Self::Rx => rx_matches(argument, |pattern| pattern.matches(input, captures)),
            Self::RxGlobal => rx_matches(argument, |pattern| pattern.matches_global(input, captures)),
        }
    }

    /// Where in `input` an operator that looks for its argument finds it.
    pub(crate) fn find(self, argument: &[u8], input: &[u8]) -> Option<Range<usize>> {
        let start = match self {
            Self::BeginsWith => begins_with::matches(argument, input).then_some(0),
            Self::Contains | Self::StrMatch => memchr::memmem::find(input, argument),
            Self::ContainsWord => contains_word::find(argument, input),
            Self::EndsWith => ends_with::matches(argument, input).then(|| input.len() - argument.len()),
            _ => None,
        }?;
        Some(start..start + argument.len())
    }
}

fn rx_matches(
    argument: &[u8],
    matches: impl FnOnce(&rx::Pattern) -> Result<bool, OperatorFailure>,
) -> Result<bool, OperatorFailure> {
    rx::with_cached(argument, matches)
        .unwrap_or_else(|message| Err(OperatorFailure::Argument { operator: "rx", message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_may_change_each_time() {
        let mut captures = Captures::new();
        for (argument, expected) in [("a", true), ("b", false), ("(", false)] {
            let rx = RuntimeOperator::Rx.matches(argument.as_bytes(), b"xa", &mut captures);
            assert_eq!(rx.unwrap_or(false), expected);
            let contains = RuntimeOperator::Contains.matches(argument.as_bytes(), b"xa", &mut captures);
            assert_eq!(contains, Ok(expected));
        }
        let unusable = RuntimeOperator::Rx.matches(b"(", b"xa", &mut captures);
        assert!(matches!(unusable, Err(OperatorFailure::Argument { operator: "rx", .. })));
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(RuntimeOperator::from_name("STREQ"), Some(RuntimeOperator::StrEq));
        assert_eq!(RuntimeOperator::from_name("ipMatch"), None);
    }
}
