//! SecLang as text: from a file to directives with spans, and back.
//!
//! Reads what ModSecurity reads (reference manual, "Configuration Directives"): one directive per logical line, `\`
//! before the line's end continues it, `#` comments a whole line, arguments are bare or quoted, `\"` is a quote
//! inside one. What the words mean is not decided here but by the compiler.

mod actions;
mod argument;
mod operator;
mod reader;
mod targets;

use std::sync::Arc;

pub(crate) use actions::{Action, parse_actions};
pub(crate) use argument::Argument;
pub(crate) use operator::{OperatorText, parse_operator};
pub(crate) use reader::read;
pub(crate) use targets::{Selector, TargetText, parse_targets};

/// A place in a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file's name.
    pub(crate) file: Arc<str>,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in bytes, from 1.
    pub(crate) column: u32,
}

/// One directive: its name as written and its arguments.
#[derive(Debug)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) arguments: Vec<Argument>,
}

/// A mistake in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    pub(crate) text: String,
    pub(crate) message: String,
}

/// A list cut short by the first mistake in it.
pub(crate) type Parsed<T> = Result<T, Mistake>;
