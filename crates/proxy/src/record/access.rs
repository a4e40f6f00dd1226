//! The access log's entry: one per request, whatever became of it.

use std::net::IpAddr;

use serde::Serialize;

use super::{EventAction, LimitSummary, Masked, RequestId, Timestamp};

/// One request and its answer. Field order is the order in the log.
#[derive(Debug, Serialize)]
#[serde(tag = "log", rename = "access")]
pub struct AccessEntry<'a> {
    /// When the request's head had been read.
    pub time: Timestamp,
    /// The request's id, as in the answer's `X-Request-Id`.
    pub request_id: RequestId,
    /// The tenant's id; `_none`: the host is nobody's.
    pub tenant: &'a str,
    /// The route's name, if one matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The client's country, where a database knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<&'static str>,
    /// The number of the client's autonomous system, where a database knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// The host asked for.
    pub host: Masked<'a>,
    /// The method.
    pub method: Masked<'a>,
    /// The path as received.
    pub path: Masked<'a>,
    /// The query as received, without `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Masked<'a>>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The status sent; 0: none was.
    pub status: u16,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
    /// From request head to the answer's last byte, in microseconds.
    pub duration_us: u64,
    /// The backend that answered or was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// From request sent to response head received, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_time_us: Option<u64>,
    /// Attempts after the first.
    pub retries: u32,
    /// The client's TLS session; none on a plain connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSession<'a>>,
    /// The User-Agent header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Masked<'a>>,
    /// What the tenant's mode did; none where it is `normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeSummary>,
    /// What IP and country rules said against it; none where they let it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginSummary>,
    /// What the firewall found; none where it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waf: Option<WafSummary<'a>>,
    /// Limits that the request was over.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub limits: &'a [LimitSummary<'a>],
    /// How it ended.
    pub termination: Termination,
}

/// A client's TLS session.
#[derive(Debug, Serialize)]
pub struct TlsSession<'a> {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The server name that the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<Masked<'a>>,
    /// The protocol agreed upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<&'static str>,
    /// SHA-256 of the certificate that the client has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_sha256: Option<&'a str>,
}

/// What the tenant's mode did about a request.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ModeSummary {
    /// `maintenance` or `under_attack`.
    pub name: &'static str,
    /// What came of it.
    pub outcome: ModeOutcome,
}

/// What came of a tenant's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeOutcome {
    /// It is not for the request.
    Spared,
    /// It asked for nothing but what limits and firewall ask.
    Passed,
    /// The client has proved its work.
    Proved,
    /// A proof was demanded.
    Challenged,
    /// The site is closed.
    Refused,
}

/// What IP and country rules said against a request, in short; the event has the rest.
#[derive(Debug, Serialize)]
pub struct OriginSummary {
    /// What was done: blocked or logged.
    pub action: EventAction,
    /// The kind of rule: `address`, `country`, `asn` or `allow_only`.
    pub rule: &'static str,
}

/// The firewall's findings in short; the event has the rest.
#[derive(Debug, Serialize)]
pub struct WafSummary<'a> {
    /// What it decided.
    pub verdict: WafVerdict,
    /// Inbound anomaly score.
    pub score: u32,
    /// What decided, where the verdict is not to let it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<WafCause>,
    /// Work that judging took, in units of the work budget.
    pub units: u64,
    /// Ids of the rules that matched.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub rules: &'a [u64],
}

/// What the firewall decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WafVerdict {
    /// Nothing over the threshold.
    Passed,
    /// Over the threshold, in detect mode.
    Detected,
    /// Refused.
    Blocked,
}

/// What the firewall's verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WafCause {
    /// A rule: one that denies, or the one that compares the score with the threshold.
    Rule,
    /// Judging takes more work than the policy allows.
    WorkBudget,
    /// A body is longer than the rule set's own limit.
    BodyLimit,
    /// The engine failed; the process log says how.
    Failure,
    /// The response's content coding is unknown, or its body is not in it.
    Undecodable,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Termination {
    /// Answered whole.
    Complete,
    /// Answered by us with a refusal or an error.
    Rejected,
    /// The client went away or reset the stream.
    ClientClosed,
    /// The client took too long to send or to read.
    ClientTimeout,
    /// The backend broke off in the middle of its response.
    BackendClosed,
    /// The backend fell silent in the middle of its response.
    BackendTimeout,
    /// Cut by the shutdown's deadline.
    Drained,
}
