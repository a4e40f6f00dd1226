//! The event log's entry: what the firewall found in one request.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Masked, RequestId, Timestamp, WafCause};

/// A request in which firewall rules matched.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "firewall")]
pub struct FirewallEvent<'a> {
    /// When the firewall decided.
    pub time: Timestamp,
    /// The request's id, as in the access log.
    pub request_id: RequestId,
    /// The tenant's id.
    pub tenant: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// What was done.
    pub action: EventAction,
    /// What decided, where the request was refused or would have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<WafCause>,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The method.
    pub method: Masked<'a>,
    /// The host asked for.
    pub host: Masked<'a>,
    /// The path as received.
    pub path: Masked<'a>,
    /// Anomaly score of the request.
    pub inbound_score: u32,
    /// Anomaly score of the response.
    pub outbound_score: u32,
    /// The inbound score from which on the policy refuses.
    pub inbound_threshold: u32,
    /// The outbound score from which on the policy refuses.
    pub outbound_threshold: u32,
    /// The rules that matched, in the order in which they did.
    pub rules: &'a [RuleMatch<'a>],
}

/// What was done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventAction {
    /// The request was refused.
    Blocked,
    /// It was let through, in detect mode.
    Detected,
    /// Rules matched, but not enough of them to refuse, or they only record.
    Logged,
}

/// One rule that matched.
#[derive(Debug, Serialize)]
pub struct RuleMatch<'a> {
    /// The rule's id.
    pub id: u64,
    /// Its message with its macros expanded, and so with parts of the request in it.
    pub message: Masked<'a>,
    /// Its tags.
    pub tags: &'a [Arc<str>],
    /// Its severity, as in ModSecurity: 0 (emergency) to 7 (debug).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// The phase it ran in, 1-5.
    pub phase: u8,
    /// The variable that it matched in, such as `ARGS:id`.
    pub variable: Masked<'a>,
    /// The value, abridged: see [`Masker::matched`](super::Masker::matched).
    pub value: Masked<'a>,
}
