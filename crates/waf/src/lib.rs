//! A SecLang engine: parses ModSecurity rule sets, compiles them once, and judges HTTP transactions.
//!
//! Synchronous and free of IO: bytes in, verdict out. A [`Ruleset`] is compiled once per process and shared; an
//! [`Overlay`] holds what one tenant does differently; a [`Transaction`] is one request under one overlay, a
//! typestate that moves from request head to request body, response head, response body and log.
//!
//! Everything fails closed: an unknown directive, operator, variable, transformation or action is a compile
//! error that names file, line and text; an error while judging refuses the request.

mod base;
mod bits;
mod check;
mod compile;
pub mod crs;
mod engine;
mod error;
mod files;
pub mod limits;
mod overlay;
mod program;
mod record;
mod ruleset;
mod seclang;
mod template;
mod transaction;
mod variable;

pub mod body;
pub mod operator;
pub mod transform;

pub use base::base_config;
pub use error::{CompileError, CompileErrors, OverlayError};
pub use files::{Files, MemFiles};
pub use overlay::{Exclusion, Levels, Mode, Overlay, OverlaySettings};
pub use record::{Cause, Internal, Match, Record, Refusal};
pub use ruleset::{RuleInfo, Ruleset, Severity, Source};
pub use transaction::{Connection, Refused, RequestHead, ResponseHead, Transaction, Verdict, stage};
