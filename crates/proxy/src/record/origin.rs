//! The event log's entry for IP and country rules: a request that they refused, or would have.

use std::net::IpAddr;

use serde::Serialize;

use super::{EventAction, Masked, RequestId, Timestamp};

/// A request that IP and country rules refused, or would have but for `action: log`.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "origin")]
pub struct OriginEvent<'a> {
    /// When the request's head had been read.
    pub time: Timestamp,
    /// The request's id, as in the access log.
    pub request_id: RequestId,
    /// The tenant's id.
    pub tenant: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// What was done: blocked or logged.
    pub action: EventAction,
    /// The kind of rule: `address`, `country`, `asn` or `allow_only`.
    pub rule: &'static str,
    /// The list that has the client's address, where it stands in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<&'a str>,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// Its country, where a database knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<&'static str>,
    /// The number of its autonomous system, where a database knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// The method.
    pub method: Masked<'a>,
    /// The host asked for.
    pub host: Masked<'a>,
    /// The path as received.
    pub path: Masked<'a>,
}
