//! Routes: what a request must look like, and what then happens to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Access, Cors, Firewall, HeaderRules, Limits, SecurityHeaders};
use crate::located::At;
use crate::value::{
    ByteSize, Count, HeaderName, HeaderText, Hostname, Location, Method, Name, PathText, Period,
};

/// Longest request body: up to 1TiB.
pub type BodySize = ByteSize<0, 1_099_511_627_776>;

/// A time limit: 1ms to 1d.
pub type Timeout = Period<1, 86_400_000>;

/// A condition on requests, and exactly one of `forward`, `redirect` and `respond`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name, unique within the tenant; logs and metrics show it.
    pub name: At<Name>,
    /// Hosts among the tenant's domains. Left out: all of them.
    #[serde(default)]
    pub hosts: Vec<At<Hostname>>,
    /// The path. Left out: every path.
    #[serde(default)]
    pub path: PathPattern,
    /// Methods. Left out: all.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Headers that must be there.
    #[serde(default)]
    pub headers: Vec<HeaderCondition>,
    /// Forwards the request to a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// Answers with a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Answers with a fixed response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// Time limits, where they differ from the tenant's.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Longest request body, where it differs from the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<BodySize>,
    /// IP and country rules besides the tenant's.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub access: Access,
    /// Refuses requests of clients that have shown no verified certificate, with 403.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_client_certificate: bool,
    /// Firewall policy, where it differs from the tenant's; exclusions add up.
    #[serde(default)]
    pub firewall: Firewall,
    /// Limits of this route alone, beside the tenant's.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Security headers, where they differ from the tenant's.
    #[serde(default, skip_serializing_if = "SecurityHeaders::is_empty")]
    pub security_headers: SecurityHeaders,
    /// What is done to the header of requests before they are forwarded.
    #[serde(default, skip_serializing_if = "HeaderRules::is_empty")]
    pub request_headers: HeaderRules,
    /// What is done to the header of responses.
    #[serde(default, skip_serializing_if = "HeaderRules::is_empty")]
    pub response_headers: HeaderRules,
    /// Which other origins' scripts may read responses. Left out: the edge leaves that to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action<'a> {
    /// Forwards the request to a pool.
    Forward(&'a Forward),
    /// Answers with a redirect.
    Redirect(&'a Redirect),
    /// Answers with a fixed response.
    Respond(&'a Respond),
}

impl Route {
    /// What the route does; `None` when it names nothing or several things, which no accepted document does.
    pub fn action(&self) -> Option<Action<'_>> {
        match (&self.forward, &self.redirect, &self.respond) {
            (Some(forward), None, None) => Some(Action::Forward(forward)),
            (None, Some(redirect), None) => Some(Action::Redirect(redirect)),
            (None, None, Some(respond)) => Some(Action::Respond(respond)),
            _ => None,
        }
    }
}

/// A path condition. Paths are compared in normal form, so that no spelling escapes a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathPattern {
    /// The whole path.
    Exact(PathText),
    /// A prefix that ends at a segment: `/a` covers `/a` and `/a/b`, not `/ab`.
    Prefix(PathText),
}

impl Default for PathPattern {
    fn default() -> Self {
        Self::Prefix(PathText::known("/"))
    }
}

/// A header that must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCondition {
    /// Name, in lower case.
    pub name: HeaderName,
    /// Its whole value. Left out: any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<HeaderText>,
}

/// Forwarding to a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// One of the tenant's pools.
    pub pool: At<Name>,
    /// Removed from the start of the path, on a segment boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<At<PathText>>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "default_redirect")]
    pub status: At<Count<300, 399>>,
    /// Where to.
    pub location: Location,
}

fn default_redirect() -> At<Count<300, 399>> {
    At::nowhere(Count::of::<308>())
}

/// A fixed response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// Status code.
    pub status: Count<200, 599>,
    /// Content type of the body.
    pub content_type: HeaderText,
    /// The body, up to 64 KiB.
    pub body: At<String>,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: Count::of::<200>(),
            content_type: HeaderText::known("text/plain; charset=utf-8"),
            body: At::nowhere(String::new()),
        }
    }
}

/// Time limits; what is left out is inherited (a route from its tenant, a tenant from the defaults).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To connect to a backend, TLS included. Default: 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Timeout>,
    /// From the request sent to the response's head. Default: 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Timeout>,
    /// Between two reads or writes of a body or an upgraded connection. Default: 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Timeout>,
    /// From request head to response end; not for upgraded connections, event streams and what a limit on bandwidth slows
    /// down. Default: 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Timeout>,
}

impl Timeouts {
    /// What is in force where `self` is inherited and `own` refines it.
    #[must_use]
    pub fn refined_by(&self, own: &Self) -> Self {
        Self {
            connect: own.connect.or(self.connect),
            first_byte: own.first_byte.or(self.first_byte),
            idle: own.idle.or(self.idle),
            total: own.total.or(self.total),
        }
    }
}
