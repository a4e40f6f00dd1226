//! What asking an operator costs, in the units of the [work budget](crate::WorkBudget): one for about eight bytes
//! looked through once. The weights follow measurements over the Core Rule Set's operators on ordinary texts, attack
//! tokens and random bytes.

use super::{Kind, Operator, RuntimeOperator};

/// A pass by a regular expression, a phrase matcher or any other automaton.
const PASS_BYTES: u64 = 8;

impl Operator {
    /// Units for a value of `bytes`.
    pub(crate) fn units(&self, bytes: usize) -> u64 {
        let bytes = bytes as u64;
        match &self.kind {
            // Tokens are folded again and again, in several contexts.
            Kind::DetectSqli => 2 * bytes,
            Kind::DetectXss => bytes / 2,
            // Bounded by steps, not by bytes alone.
            Kind::Rx(pattern) | Kind::RxGlobal(pattern) if pattern.backtracks() => 2 * bytes,
            Kind::Verify(_) => bytes,
            Kind::Runtime(operator, argument) => operator.units(argument.len(), bytes as usize),
            _ => bytes / PASS_BYTES,
        }
    }
}

impl RuntimeOperator {
    /// Units for a value of `bytes` and an argument of `argument` bytes.
    pub(crate) fn units(self, argument: usize, bytes: usize) -> u64 {
        /// A pattern that a macro made has to be compiled first, unless it is the same as one before.
        const COMPILED_BYTE: u64 = 64;
        let (argument, bytes) = (argument as u64, bytes as u64);
        let prepared = match self {
            Self::Rx | Self::RxGlobal => argument * COMPILED_BYTE,
            _ => argument / PASS_BYTES,
        };
        prepared + bytes / PASS_BYTES
    }
}
