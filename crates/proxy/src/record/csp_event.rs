//! The event log's entry of what a browser reported that a Content-Security-Policy stopped.

use std::net::IpAddr;

use serde::Serialize;

use super::{Masked, RequestId, Timestamp};

/// A report of what a Content-Security-Policy stopped. Nothing in it is known to be true: anybody may have sent it.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "csp_report")]
pub struct CspEvent<'a> {
    /// When the request's head had been read.
    pub time: Timestamp,
    /// The request's id, as in the access log.
    pub request_id: RequestId,
    /// The tenant's id.
    pub tenant: &'a str,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The host that the report was sent to.
    pub host: Masked<'a>,
    /// The page, without query.
    pub document: Masked<'a>,
    /// What it tried to load, without query.
    pub blocked: Masked<'a>,
    /// The directive that stopped it.
    pub directive: Masked<'a>,
    /// Where the script is that tried, without query.
    pub source: Masked<'a>,
    /// Its line; 0: unknown.
    pub line: u64,
    /// Whether it was stopped, or only reported on.
    pub enforced: bool,
}
