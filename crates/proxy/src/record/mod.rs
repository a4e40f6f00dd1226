//! What is written down about requests: access entries and firewall events, as JSON lines.
//!
//! - Values from outside reach an entry only as [`Masked`], which only the [`Masker`] makes: no sink can see what
//!   was not masked.
//! - Writing never holds a request up. The request's core serialises the entry into a bounded buffer of its own; one
//!   thread writes what has gathered there. When the buffer is full the line is dropped and counted.

mod access;
mod client_event;
mod csp_event;
mod event;
mod limit_event;
mod mask;
mod origin;
mod request_id;
mod sink;
mod timestamp;

pub use access::{
    AccessEntry, ModeOutcome, ModeSummary, OriginSummary, Termination, TlsSession, WafCause, WafSummary,
    WafVerdict,
};
pub use client_event::ClientCertificateEvent;
pub use csp_event::CspEvent;
pub use event::{EventAction, FirewallEvent, RuleMatch};
pub use limit_event::{LimitEvent, LimitSummary};
pub use mask::{MaskNameError, Masked, Masker};
pub use origin::OriginEvent;
pub use request_id::RequestId;
pub use sink::{Entry, Lines, Sink, Target};
pub use timestamp::Timestamp;

/// Text of a buffer that is filled with ASCII only.
fn ascii(buffer: &[u8]) -> &str {
    std::str::from_utf8(buffer).unwrap_or_default()
}
