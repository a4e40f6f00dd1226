//! Operators: what a rule asks of a value.
//!
//! Each is ModSecurity v3's of the same name (reference: ModSecurity Reference Manual v3, "Operators"). An
//! operator with a fixed argument is compiled once ([`Operator`]); one whose argument holds macros is evaluated
//! with the expanded argument ([`RuntimeOperator`]). Negation (`!@rx`) is the caller's. An operator that cannot
//! answer says so ([`OperatorFailure`]): a failure is never "no match".

mod captures;
mod error;
mod ip_match;
mod number;
mod text;
mod validate;

use std::fmt;

pub use captures::{Captures, MAX_CAPTURES};
pub use error::{OperatorError, OperatorFailure};

/// What operators need from outside the engine when they are compiled.
pub trait DataFiles {
    /// The content of the file that `path` names in the rules, relative to whatever the caller resolves it
    /// against; the error says what went wrong, for the operator of the edge.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// A compiled operator with its argument.
#[derive(Debug)]
pub struct Operator {
    kind: Kind,
}

impl Operator {
    /// Compiles the operator that SecLang calls `name` (without `@`, whatever the case of its letters).
    pub fn compile(name: &str, argument: &str, files: &dyn DataFiles) -> Result<Self, OperatorError> {
        if let Some(operator) = RuntimeOperator::from_name(name) {
            return Ok(Self { kind: Kind::Runtime(operator, argument.as_bytes().into()) });
        }
        let kind = match name.to_ascii_lowercase().as_str() {
            "ipmatch" => Kind::IpMatch(ip_match::Networks::from_argument(argument)?),
            "ipmatchf" | "ipmatchfromfile" => Kind::IpMatch(ip_match::Networks::from_file(argument, files)?),
            "nomatch" => Kind::NoMatch,
            "unconditionalmatch" => Kind::UnconditionalMatch,
            "validatebyterange" => Kind::ByteRange(validate::ByteRange::compile(argument)?),
            "validateurlencoding" => Kind::UrlEncoding,
            "validateutf8encoding" => Kind::Utf8Encoding,
            _ => return Err(error::unusable(name)),
        };
        Ok(Self { kind })
    }

    /// Whether `input` matches. `captures` is emptied, then holds what the operator captured.
    pub fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, OperatorFailure> {
        captures.clear();
        Ok(match &self.kind {
            Kind::Runtime(operator, argument) => return operator.matches(argument, input, captures),
            Kind::IpMatch(networks) => networks.contain(input),
            Kind::NoMatch => false,
            Kind::UnconditionalMatch => true,
            Kind::ByteRange(range) => range.is_left_by(input),
            Kind::UrlEncoding => validate::is_bad_url_encoding(input),
            Kind::Utf8Encoding => validate::is_bad_utf8(input),
        })
    }
}

#[derive(Debug)]
enum Kind {
    Runtime(RuntimeOperator, Box<[u8]>),
    IpMatch(ip_match::Networks),
    NoMatch,
    UnconditionalMatch,
    ByteRange(validate::ByteRange),
    UrlEncoding,
    Utf8Encoding,
}

/// Declares the operators that need no compiling: names, meaning, function.
macro_rules! runtime_operators {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $matches:path;)*) => {
        /// An operator whose argument may change from one evaluation to the next.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RuntimeOperator {
            $($(#[$doc])* $variant,)*
        }

        impl RuntimeOperator {
            /// The operator that SecLang calls `name` (without `@`, whatever the case of its letters), if its
            /// argument may hold macros.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) {
                    return Some(Self::$variant);
                })*
                None
            }

            /// The name that ModSecurity's manual uses.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether `input` matches under `argument`. `captures` is emptied, then holds what was captured.
            pub fn matches(
                self,
                argument: &[u8],
                input: &[u8],
                captures: &mut Captures,
            ) -> Result<bool, OperatorFailure> {
                captures.clear();
                Ok(match self {
                    $(Self::$variant => $matches(argument, input),)*
                })
            }
        }
    };
}

runtime_operators! {
    /// The input begins with the argument.
    BeginsWith = "beginsWith" => text::begins_with;
    /// The argument is somewhere in the input.
    Contains = "contains" => text::contains;
    /// The argument is in the input, with no ASCII letter on either side.
    ContainsWord = "containsWord" => text::contains_word;
    /// The input ends with the argument.
    EndsWith = "endsWith" => text::ends_with;
    /// The input is the argument.
    StrEq = "streq" => text::equals;
    /// The argument is somewhere in the input.
    StrMatch = "strmatch" => text::contains;
    /// The input is somewhere in the argument.
    Within = "within" => text::within;
    /// The input's number equals the argument's.
    Eq = "eq" => number::eq;
    /// The input's number is greater or equal.
    Ge = "ge" => number::ge;
    /// The input's number is greater.
    Gt = "gt" => number::gt;
    /// The input's number is less or equal.
    Le = "le" => number::le;
    /// The input's number is less.
    Lt = "lt" => number::lt;
}

impl fmt::Display for RuntimeOperator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
