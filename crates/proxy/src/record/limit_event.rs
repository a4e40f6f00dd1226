//! The event log's entry of a request that was over a limit.

use std::net::IpAddr;

use serde::Serialize;

use super::{Masked, RequestId, Timestamp};

/// A request that was over a limit.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "limit")]
pub struct LimitEvent<'a> {
    /// When the request's head had been read.
    pub time: Timestamp,
    /// The request's id, as in the access log.
    pub request_id: RequestId,
    /// The tenant's id.
    pub tenant: &'a str,
    /// The route's name; none where no route took the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// Whose limit it is: `plan`, `ceiling`, `tenant` or `route`.
    pub set_by: &'a str,
    /// The limit's name.
    pub limit: &'a str,
    /// What was done: `rejected`, `delayed`, `logged` or `dry_run`.
    pub outcome: &'static str,
    /// How long the request was made to wait, or when it could have come again, in milliseconds.
    pub time_ms: u64,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The method.
    pub method: Masked<'a>,
    /// The host asked for.
    pub host: Masked<'a>,
    /// The path as received.
    pub path: Masked<'a>,
}

/// The same in short, for the access log.
#[derive(Debug, Serialize)]
pub struct LimitSummary<'a> {
    /// Whose limit it is: `plan`, `ceiling`, `tenant` or `route`.
    pub set_by: &'a str,
    /// The limit's name.
    pub name: &'a str,
    /// What was done: `rejected`, `delayed`, `logged` or `dry_run`.
    pub outcome: &'static str,
    /// How long the request was made to wait, or when it could have come again, in milliseconds.
    pub time_ms: u64,
}
