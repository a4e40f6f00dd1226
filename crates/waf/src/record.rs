//! What a transaction leaves behind: which rules matched, on what, and what came of it.

use std::sync::Arc;

use crate::ruleset::Severity;
use crate::step::Step;

/// Everything one transaction did, for the event log. Values are as the client sent them: mask before storing.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Matches of rules that log, and of rules that refuse, in the order in which they happened.
    pub matches: Vec<Match>,
    /// Matches beyond [`limits::MATCHES`](crate::limits::MATCHES), counted only.
    pub dropped_matches: u64,
    /// CRS inbound anomaly score of the blocking level at the end; 0 without CRS.
    pub inbound_score: i64,
    /// CRS outbound anomaly score of the blocking level at the end; 0 without CRS.
    pub outbound_score: i64,
    /// The refusal, where there was one.
    pub refused: Option<Refusal>,
    /// The first refusal that detection mode held back.
    pub would_refuse: Option<Refusal>,
    /// What went wrong inside the engine, in words for the operator.
    pub internal_errors: Vec<String>,
    /// What judging cost.
    pub work: WorkDone,
    /// What the engine did, for a transaction that was to be [`explained`](crate::Transaction::explained).
    pub steps: Vec<Step>,
    /// Steps beyond [`limits::STEPS`](crate::limits::STEPS), counted only.
    pub dropped_steps: u64,
}

/// What judging cost, in units of the [work budget](crate::WorkBudget).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// All of it.
    pub units: u64,
    /// Whether more was asked for than the transaction was allowed: it was refused then, or not judged further.
    pub over_budget: bool,
    /// What single rules took of it, each time one ran; the rest was done for all together.
    pub rules: Vec<RuleWork>,
}

/// What one run of a rule cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleWork {
    /// The rule, as its place in [`Ruleset::rules`](crate::Ruleset::rules).
    pub index: u32,
    /// Units of the work budget.
    pub units: u64,
}

/// Who refused, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What caused it.
    pub cause: Cause,
    /// Status for the client.
    pub status: u16,
    /// The phase, 1-4.
    pub phase: u8,
    /// Whether the rule asked for the connection to be dropped.
    pub drop: bool,
    /// Where a `redirect` action sends the client.
    pub redirect: Option<Vec<u8>>,
}

/// Why a transaction was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A rule, by id.
    Rule(u32),
    /// A body longer than `SecRequestBodyLimit` or `SecResponseBodyLimit`, where the rules say `Reject`.
    BodyLimit,
    /// Judging would take more work than [the budget](crate::WorkBudget) allows.
    Budget,
    /// The engine could not finish judging: a panic, a limit or a failed operator.
    Internal(Internal),
}

/// What kept the engine from finishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Internal {
    /// A detector panicked.
    Panic,
    /// A bound of [`limits`](crate::limits) was hit.
    Limit,
    /// An operator gave up, for example on its step limit.
    Operator,
    /// The overlay was made by another rule set.
    Overlay,
}

/// One rule that matched one value.
#[derive(Debug, Clone)]
pub struct Match {
    /// The rule's id.
    pub rule_id: u32,
    /// The phase, 1-5.
    pub phase: u8,
    /// `msg`, macros expanded.
    pub message: String,
    /// `logdata`, macros expanded.
    pub data: String,
    /// `severity`, where the rule has one.
    pub severity: Option<Severity>,
    /// The rule's tags.
    pub tags: Arc<[Arc<str>]>,
    /// The matched variable, such as `ARGS:q`.
    pub variable: String,
    /// The matched value after transformations, cut to [`limits::RECORDED_BYTES`](crate::limits::RECORDED_BYTES).
    pub value: Vec<u8>,
    /// File of the rule.
    pub file: Arc<str>,
    /// Line of the rule, from 1.
    pub line: u32,
    /// Whether the rule is one that logs; `false` only for refusals by rules that carry `nolog`.
    pub logged: bool,
}
