//! What can be wrong with an operator: in the rule (compile time) or in the evaluation (run time).

use std::fmt;

/// Why an operator does not compile: the rule set's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorError {
    /// There is no operator of this name.
    Unknown {
        /// The name as written.
        name: String,
    },
    /// ModSecurity has it and this engine does not.
    NotSupported {
        /// The name as ModSecurity writes it.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The operator cannot use this argument.
    Argument {
        /// The operator's name.
        operator: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A data file could not be read.
    File {
        /// The path as written in the rule.
        path: String,
        /// What went wrong.
        message: String,
    },
}

/// Operators of ModSecurity that this engine refuses to compile, each with the reason.
const NOT_SUPPORTED: [(&str, &str); 7] = [
    ("fuzzyHash", "it needs the ssdeep library and its hash files"),
    ("gsbLookup", "it needs a copy of the Google Safe Browsing database"),
    ("inspectFile", "it runs a program for each uploaded file"),
    ("rsub", "it rewrites request and response bodies"),
    ("validateDTD", "it makes an XML parser follow a document type definition"),
    ("validateHash", "it needs ModSecurity's link signing, which libmodsecurity v3 has not either"),
    ("validateSchema", "it needs an XML Schema processor"),
];

/// The error for a name that compiles to nothing.
pub(super) fn unusable(name: &str) -> OperatorError {
    let known = NOT_SUPPORTED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    match known {
        Some(&(name, reason)) => OperatorError::NotSupported { name, reason },
        None => OperatorError::Unknown { name: name.to_owned() },
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(formatter, "unknown operator @{name}"),
            Self::NotSupported { name, reason } => write!(formatter, "@{name} is not supported: {reason}"),
            Self::Argument { operator, message } => write!(formatter, "@{operator}: {message}"),
            Self::File { path, message } => write!(formatter, "cannot read {path}: {message}"),
        }
    }
}

impl std::error::Error for OperatorError {}

/// Why an operator has no answer for this input. The request must not pass as if nothing had matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorFailure {
    /// A regular expression took more backtracking steps than it may on one value.
    StepLimit,
    /// A detector panicked on the input.
    Panicked {
        /// Which one.
        detector: &'static str,
    },
    /// The operator needs something from outside that the engine was not given.
    Unavailable {
        /// The operator's name.
        operator: &'static str,
        /// What is missing.
        reason: &'static str,
    },
    /// An argument that was expanded at run time is not usable.
    Argument {
        /// The operator's name.
        operator: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for OperatorFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepLimit => write!(formatter, "a regular expression ran into its step limit"),
            Self::Panicked { detector } => write!(formatter, "the {detector} detector panicked"),
            Self::Unavailable { operator, reason } => {
                write!(formatter, "@{operator} has no answer: {reason}")
            }
            Self::Argument { operator, message } => write!(formatter, "@{operator}: {message}"),
        }
    }
}

impl std::error::Error for OperatorFailure {}
