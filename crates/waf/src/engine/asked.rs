//! A link's check, made ready for the values of one evaluation.

use std::ops::Range;

use super::Failure;
use crate::operator::{Captures, Operator, OperatorFailure, RuntimeOperator};

/// An operator with its argument at hand.
pub(super) enum Asked<'p> {
    Always,
    Compiled(&'p Operator),
    Expanded(RuntimeOperator, Vec<u8>),
}

impl Asked<'_> {
    /// The argument that macros made.
    pub(super) fn argument(&self) -> Option<&[u8]> {
        match self {
            Self::Expanded(_, argument) => Some(argument),
            Self::Always | Self::Compiled(_) => None,
        }
    }

    /// What of `input`, which it matched, it found: what it captured, or its argument.
    pub(super) fn spans(&self, input: &[u8], captures: &Captures) -> Vec<Range<usize>> {
        if !captures.is_empty() {
            return (0..captures.len()).filter_map(|number| captures.range(number)).collect();
        }
        let found = match self {
            Self::Expanded(operator, argument) => operator.find(argument, input),
            Self::Compiled(operator) => operator.find(input),
            Self::Always => None,
        };
        found.into_iter().collect()
    }

    /// What asking about a value of `bytes` costs.
    pub(super) fn units(&self, bytes: usize) -> u64 {
        match self {
            Self::Always => 0,
            Self::Compiled(operator) => operator.units(bytes),
            Self::Expanded(operator, argument) => operator.units(argument.len(), bytes),
        }
    }

    /// Whether `input` matches; what is captured goes to `captures`.
    pub(super) fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, Failure> {
        let answer = match self {
            Self::Always => {
                captures.clear();
                Ok(true)
            }
            Self::Compiled(operator) => operator.matches(input, captures),
            Self::Expanded(operator, argument) => operator.matches(argument, input, captures),
        };
        answer.map_err(|failure| match failure {
            OperatorFailure::Panicked { .. } => Failure::Panic,
            other => Failure::Operator(other.to_string()),
        })
    }
}
