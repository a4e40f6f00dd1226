//! Limits: how often, how many at once and how fast; of a plan, of a tenant by the operator, of a tenant by itself, of
//! a route. All that apply to a request hold at the same time, so that none of them can lift another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PathPattern;
use crate::located::At;
use crate::value::{ByteSize, Count, HeaderName, Method, Name, ParameterName, Period, Rate};

/// How many bytes a second: 1KiB to 1TiB.
pub type Bandwidth = ByteSize<1_024, 1_099_511_627_776>;

/// How many at once.
pub type AtOnce = Count<1, 1_000_000>;

/// What tenants with this plan may use, whatever they ask for themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name, unique among plans. The plan `default` is in force for tenants that name none.
    pub name: At<Name>,
    /// Limits of each tenant with this plan; each is counted by itself.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// Most rate rules in one list. A request is counted by each rule of all the lists that apply to it.
pub const MAX_RATES: usize = 16;

/// The plan of tenants that name none.
pub const DEFAULT_PLAN: &str = "default";

/// Limits. What is left out is not limited here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How often requests may come; at most 16 rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateRule>,
    /// Client connections open at once; not in a route's limits. One counts for the tenant that it asked last,
    /// among those that limit connections; per client not where its peer is a trusted proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<At<Concurrency>>,
    /// Requests in flight at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Concurrency>,
    /// Response-body bytes a second, of all requests together. What would be faster is slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Leading bits of an IPv6 address that tell clients apart: whoever has one address has its whole network.
    /// Default: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<Count<16, 128>>,
}

/// How many at once, of everybody together and of one client address. What is over it is refused with 429.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Concurrency {
    /// Of everybody together. Left out: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<AtOnce>,
    /// Of one client address. Left out: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_client: Option<AtOnce>,
}

/// How often requests may come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// Name, unique in its list; clients, logs and metrics show it. What was used up under a name survives a reload.
    pub name: At<Name>,
    /// What requests have in common that are counted together. Left out: all of them are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<KeyPart>,
    /// Methods of the requests that count. Left out: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// Their path. Left out: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPattern>,
    /// How often in the long run.
    pub rate: At<Rate>,
    /// How many may come at once after a quiet time. Default: as many as the rate has in its unit of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<At<Count<1, 1_000_000>>>,
    /// As how many a request counts. Default: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub cost: Count<1, 1_000>,
    /// What happens to a request over the limit. Default: reject.
    #[serde(default)]
    pub action: LimitAction,
    /// Whether it is only recorded what would happen. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether clients are told in RateLimit header fields what is left. Default: where the action is reject and this is
    /// no dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<bool>,
}

fn one() -> Count<1, 1_000> {
    Count::of::<1>()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(cost: &Count<1, 1_000>) -> bool {
    cost.get() == 1
}

/// Something that requests have in common. Requests that lack it have that in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address, behind trusted proxies; of an IPv6 address its first `ipv6_prefix` bits.
    Client,
    /// The route.
    Route,
    /// The method.
    Method,
    /// The path in normal form, without its query.
    Path,
    /// The value of this header.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(ParameterName),
    /// An API key. Like every value, it is only ever kept as a keyed hash.
    ApiKey(ApiKey),
}

/// Where an API key is: in the header, or else in the query; the same key is the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKey {
    /// The header that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderName>,
    /// The query parameter that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<ParameterName>,
}

/// What happens to a request over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitAction {
    /// It is refused with 429.
    #[default]
    Reject,
    /// It waits until it is within the limit; where that takes too long, or too many wait, it is refused with 429.
    Delay(Delay),
    /// It is recorded and let through.
    Log,
}

/// How requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delay {
    /// The longest wait. Default: 1s.
    pub max_wait: Period<1, 60_000>,
    /// How many requests may wait at once. Default: 100.
    pub max_waiting: Count<1, 10_000>,
}

impl Default for Delay {
    fn default() -> Self {
        Self { max_wait: Period::of::<1_000>(), max_waiting: Count::of::<100>() }
    }
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RateRule {
    /// How many may come at once after a quiet time.
    pub fn burst(&self) -> u32 {
        self.burst.as_ref().map_or(self.rate.count(), |burst| burst.get_u32())
    }

    /// Whether clients are told what is left.
    pub fn has_headers(&self) -> bool {
        self.headers.unwrap_or(self.action == LimitAction::Reject && !self.dry_run)
    }
}
