//! A SecLang engine: parses ModSecurity rule sets, compiles them once, and judges HTTP transactions.
//!
//! Synchronous and free of IO: bytes in, verdict out. A [`Ruleset`] is compiled once per process and shared; an
//! [`Overlay`] holds what one tenant does differently; a [`Transaction`] is one request under one overlay, a
//! typestate that moves from request head to request body, response head, response body and log.
//!
//! Everything fails closed: an unknown directive, operator, variable, transformation or action is a compile
//! error that names file, line and text; an error while judging refuses the request.
//!
//! ```
//! use veloflux_waf::{
//!     Connection, Levels, MemFiles, Mode, OverlaySettings, RequestHead, Ruleset, Source, Transaction, Verdict,
//! };
//!
//! let rules = r#"SecRule ARGS:q "@contains <script" "id:1,phase:1,deny,t:lowercase,msg:'Script in %{MATCHED_VAR_NAME}'""#;
//! let source = Source { name: "my.conf".into(), text: rules.into() };
//! let ruleset = Ruleset::compile(&[source], &MemFiles::new())?;
//!
//! let levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };
//! let overlay = ruleset.overlay(&OverlaySettings::new(Mode::Block, levels))?;
//!
//! let address = ([192, 0, 2, 1], 443).into();
//! let connection = Connection { client: address, server: address, request_id: "1", now_unix_us: 0 };
//! let head = RequestHead { method: b"GET", target: b"/?q=%3CScript%3E", protocol: b"HTTP/1.1", headers: &[] };
//! let transaction = Transaction::begin(&ruleset, &overlay, &connection);
//! let Verdict::Refuse(refused) = transaction.request_head(&head) else { panic!("an attack passed") };
//! assert_eq!(refused.status(), 403);
//! assert_eq!(refused.finish().matches[0].message, "Script in ARGS:q");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alphabet;
mod base;
mod bits;
mod check;
pub mod collections;
mod compile;
mod costs;
pub mod crs;
mod engine;
mod error;
mod files;
mod filter;
mod hash;
pub mod limits;
mod overlay;
mod program;
mod record;
mod ruleset;
mod seclang;
mod step;
mod template;
mod transaction;
mod variable;
mod walk;

pub mod body;
pub mod operator;
pub mod sqli;
pub mod transform;

/// Forgets what this thread remembers of values that come again and again, such as header fields: the next transaction
/// judges all of its values anew. Changes no verdict; for measurement.
pub fn forget_values() {
    engine::forget_values();
}

pub use base::base_config;
pub use costs::RuleCost;
pub use engine::WorkBudget;
pub use error::{CompileError, CompileErrors, OverlayError, OverlayErrors, Part};
pub use files::{Files, MemFiles};
pub use overlay::{
    Condition, Exclusion, Levels, Mode, Overlay, OverlaySettings, PathCondition, RuleMode, RuleSelector,
    Tunable, Tuning,
};
pub use record::{Cause, Internal, Match, Record, Refusal, RuleWork, WorkDone};
pub use ruleset::{Note, RuleInfo, Ruleset, Severity, Source};
pub use step::{Skip, Step};
pub use transaction::{Connection, Refused, RequestHead, ResponseHead, Transaction, Verdict, stage};
