//! What the engine did, step by step: the answer to "why?" that a record's matches are too short for.
//!
//! Steps are taken down for transactions that ask for it ([`Transaction::explained`](crate::Transaction::explained)),
//! and change no verdict. They hold values as the client sent them.

use std::ops::Range;

/// One thing that the engine did. Rules are named by id, links of a chain by their place, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A rule did not run.
    Skipped {
        /// The rule.
        rule_id: u32,
        /// What kept it from running.
        why: Skip,
    },
    /// No further rule of the phase ran, because the engine is off.
    EngineOff {
        /// The phase, 1-5.
        phase: u8,
    },
    /// An operator was asked about one value.
    Judged {
        /// The rule.
        rule_id: u32,
        /// The link.
        link: usize,
        /// The operator's argument, where macros make it, cut to
        /// [`limits::RECORDED_BYTES`](crate::limits::RECORDED_BYTES).
        argument: Option<Vec<u8>>,
        /// The variable, such as `ARGS:q`.
        variable: String,
        /// The value before transformations, cut likewise.
        before: Vec<u8>,
        /// Each transformation's name and what it made of the value, cut likewise.
        forms: Vec<(&'static str, Vec<u8>)>,
        /// Whether the value matches (negation counted in).
        matched: bool,
        /// Of a value that matches: what the operator found in its last form, groups of a pattern behind the whole.
        spans: Vec<Range<usize>>,
        /// Of a value that matches and is the request's: where it stands there, in bytes of the request written out
        /// with a line feed behind the request line, behind each header and before the body. More than one place
        /// where the value sums up others.
        places: Vec<Range<usize>>,
    },
    /// A link has looked at all its values.
    Returned {
        /// The rule.
        rule_id: u32,
        /// The link.
        link: usize,
        /// Whether the link matches.
        matched: bool,
    },
    /// A capture went into `TX`.
    Captured {
        /// The rule.
        rule_id: u32,
        /// Which, 0-9.
        number: usize,
        /// What it holds, cut likewise.
        value: Vec<u8>,
    },
    /// A rule set or deleted a variable.
    Set {
        /// The rule.
        rule_id: u32,
        /// The variable, such as `TX:score`.
        variable: String,
        /// The value, cut likewise; `None` where it was deleted.
        value: Option<Vec<u8>>,
    },
    /// A rule changed how the transaction is judged.
    Controlled {
        /// The rule.
        rule_id: u32,
        /// What changed, as `ctl` writes it, such as `ruleEngine=Off`.
        control: String,
    },
    /// All links of a rule matched.
    Matched {
        /// The rule.
        rule_id: u32,
        /// `msg`, macros expanded.
        message: String,
        /// `logdata`, macros expanded.
        data: String,
        /// What the rule does to the transaction: `pass`, `allow`, `deny`, `drop` or `redirect`.
        outcome: &'static str,
    },
}

/// Why a rule did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The tenant's overlay or a `ctl` removed it.
    Removed,
    /// An earlier rule's `allow`.
    Allowed,
    /// An earlier rule's `skip` or `skipAfter`.
    Jumped,
}
