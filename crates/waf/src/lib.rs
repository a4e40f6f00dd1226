//! A SecLang engine: parses ModSecurity rule sets, compiles them once, and judges HTTP transactions.
//!
//! Synchronous and free of IO: bytes in, verdict out. A [`Ruleset`] is compiled once per process and shared; an
//! [`Overlay`] holds what one tenant does differently; a [`Transaction`] is one request under one overlay, a
//! typestate that moves from request head to request body, response head, response body and log.
//!
//! Everything fails closed: an unknown directive, operator, variable, transformation or action is a compile
//! error that names file, line and text.

pub mod body;
pub mod operator;
pub mod transform;

/// A compiled rule set: immutable, shared by every tenant that uses it.
#[derive(Debug)]
pub struct Ruleset {}

/// One tenant's (or route's) differences from the rule set.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Whether a match blocks.
    pub mode: Mode,
    /// Which rules run, and from which score on a request is blocked.
    pub levels: Levels,
}

/// Whether a match blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Refuse what the rules refuse.
    Block,
    /// Record what would have been refused.
    Detect,
}

/// A tenant's level and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Paranoia level, 1-4 (CRS `blocking_paranoia_level`; detection runs at the same level).
    pub paranoia: u8,
    /// CRS `inbound_anomaly_score_threshold`.
    pub inbound_threshold: u32,
    /// CRS `outbound_anomaly_score_threshold`.
    pub outbound_threshold: u32,
}
