//! Records written by a service that is told in JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use veloflux_model::value::ServiceUrl;

use super::super::http::Http;
use super::{Action, DnsError};

/// The service.
pub(crate) struct Webhook {
    pub(crate) url: ServiceUrl,
    pub(crate) http: Http,
    /// Sent as `Authorization: Bearer`.
    pub(crate) token: Option<String>,
    /// How long a call may take.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.url)
    }
}

#[derive(Serialize)]
struct Change<'a> {
    action: &'static str,
    name: &'a str,
    value: &'a str,
}

impl Webhook {
    pub(super) async fn change(&self, action: Action, name: &str, value: &str) -> Result<(), DnsError> {
        let change = Change { action: action.name(), name, value };
        let body = serde_json::to_vec(&change).map_err(DnsError::new)?;
        let call = self.http.post(&self.url, self.token.as_deref(), body);
        let status = tokio::time::timeout(self.timeout, call)
            .await
            .map_err(|_| DnsError::new(format!("{}: no answer in {:?}", self.url, self.timeout)))?
            .map_err(|error| DnsError::new(format!("{}: {error}", self.url)))?;
        if status.is_success() {
            return Ok(());
        }
        Err(DnsError::new(format!("{}: status {}", self.url, status.as_u16())))
    }
}
