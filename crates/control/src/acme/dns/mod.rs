//! TXT records for DNS challenges: one that is added, and the same one taken away afterwards. Others under the same name
//! stay, since a domain and its wildcard may be proved at once.

mod exec;
mod rfc2136;
mod webhook;

use std::fmt;

pub(super) use exec::Exec;
pub(super) use rfc2136::Rfc2136;
pub(super) use webhook::Webhook;

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Add it.
    Present,
    /// Take it away.
    Cleanup,
}

impl Action {
    /// Its name towards programs and services.
    fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Cleanup => "cleanup",
        }
    }
}

/// Why a record was not changed.
#[derive(Debug)]
pub(super) struct DnsError(String);

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl DnsError {
    fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// Who writes records.
#[derive(Debug)]
pub(super) enum Provider {
    /// A name server.
    Rfc2136(Box<Rfc2136>),
    /// A program.
    Exec(Exec),
    /// A service.
    Webhook(Webhook),
}

impl Provider {
    /// Adds the TXT record `value` at `name`, or takes it away.
    pub(super) async fn change(&self, action: Action, name: &str, value: &str) -> Result<(), DnsError> {
        match self {
            Self::Rfc2136(server) => server.change(action, name, value).await,
            Self::Exec(program) => program.change(action, name, value).await,
            Self::Webhook(service) => service.change(action, name, value).await,
        }
    }
}
