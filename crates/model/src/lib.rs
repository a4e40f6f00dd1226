//! What an installation is told to do, as data that cannot be wrong.
//!
//! Two documents: [`Process`] (`veloflux.yaml`: listeners, limits, logs of one node) and [`Desired`]
//! (`state.yaml`: tenants with their domains, certificates, pools, routes and firewall). Both are read by
//! [`parse`](Document::parse), which accepts a document whole or says where and why not; whatever holds a
//! `Desired` may rely on names being unique, references leading somewhere and numbers being in range.
//!
//! No IO and no async: the caller reads the files.

pub mod addresses;
pub mod desired;
pub mod located;
pub mod problem;
pub mod process;
pub mod value;
mod yaml;

pub use desired::Desired;
pub use located::At;
pub use problem::{Problem, Report};
pub use process::Process;
pub use yaml::{Document, MAX_DOCUMENT_BYTES};

/// The JSON Schema of a document, as text with a line break at its end.
pub fn schema<D: Document + schemars::JsonSchema>() -> String {
    let mut text = format!("{:#}", schemars::schema_for!(D).as_value());
    text.push('\n');
    text
}
