//! Pools: where requests go, and how their backends are picked, watched and spared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KeyPair;
use crate::located::At;
use crate::value::{
    BackendAddress, Count, Country, FilePath, HeaderName, HeaderText, Hostname, Name, Period, StatusSet,
};

/// A set of backends that serve the same content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Name, unique within the tenant.
    pub name: At<Name>,
    /// How a backend is picked.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The protocol spoken to the backends.
    #[serde(default)]
    pub protocol: BackendProtocol,
    /// TLS to the backends. Left out: plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// The backends.
    #[schemars(length(min = 1, max = 1024))]
    pub backends: Vec<Backend>,
    /// Binds a client to a backend by a cookie. Left out: no binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_sessions: Option<StickySessions>,
    /// Active checks. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Leaves out backends that fail real requests. Left out: nobody is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Ejection>,
    /// Retries of requests that may be repeated.
    #[serde(default)]
    pub retry: Retry,
    /// Idle connections kept per backend and core.
    #[serde(default = "default_idle_connections")]
    pub max_idle_connections: Count<0, 10_000>,
}

fn default_idle_connections() -> Count<0, 10_000> {
    Count::of::<64>()
}

/// How a backend is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// In turn, in proportion to weight.
    WeightedRoundRobin,
    /// Fewest requests in flight, relative to weight.
    LeastConn,
    /// Consistent hash of the client's address: a lost backend moves only its own clients.
    IpHash,
    /// The quicker of two random ones.
    RandomTwo,
    /// Those in the client's country, else those in the country nearest to it; among them in proportion to weight.
    GeoProximity,
}

/// The protocol spoken to backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge without.
    Http2,
}

/// TLS to backends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendTls {
    /// Whether a backend's certificate is verified. Turning this off lets anyone on the way read and change
    /// everything.
    #[serde(default = "yes")]
    pub verify: bool,
    /// PEM file with the authorities that are trusted. Left out: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<FilePath>>,
    /// Name that is asked for (SNI) and verified. Left out: the backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<At<Hostname>>,
    /// Name that is verified, where it is another than the one that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_name: Option<At<Hostname>>,
    /// What is shown to backends that ask for a client certificate. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<KeyPair>,
}

fn yes() -> bool {
    true
}

/// One address of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Host and port.
    pub address: At<BackendAddress>,
    /// Relative share.
    #[serde(default = "one")]
    pub weight: Count<1, 1_000>,
    /// The country it stands in; `geo_proximity` has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// Takes no new requests, but finishes those in flight.
    #[serde(default)]
    pub drain: bool,
}

fn one() -> Count<1, 1_000> {
    Count::of::<1>()
}

/// Cookie stickiness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StickySessions {
    /// Name of the signed cookie.
    pub cookie: HeaderName,
    /// How long it binds a client.
    pub ttl: Period<1_000, 2_592_000_000>,
}

impl Default for StickySessions {
    fn default() -> Self {
        Self { cookie: HeaderName::known("veloflux-backend"), ttl: Period::of::<3_600_000>() }
    }
}

/// Active checks of every backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What is asked.
    #[serde(default, rename = "type")]
    pub kind: CheckType,
    /// Path (and query) of the request. Left out: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<At<HeaderText>>,
    /// Host header of the request. Left out: the backend's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<At<Hostname>>,
    /// Status codes that pass. Left out: 200-299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_status: Option<At<StatusSet>>,
    /// Text that the body's first 64 KiB must hold. Left out: any body passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_body: Option<At<String>>,
    /// From one check to the next.
    #[serde(default = "default_interval")]
    pub interval: Period<100, 3_600_000>,
    /// For one check, connecting included.
    #[serde(default = "default_check_timeout")]
    pub timeout: At<Period<10, 600_000>>,
    /// Passed checks in a row that bring a backend back.
    #[serde(default = "default_rise")]
    pub rise: Count<1, 100>,
    /// Failed checks in a row that take a backend out.
    #[serde(default = "default_fall")]
    pub fall: Count<1, 100>,
}

fn default_interval() -> Period<100, 3_600_000> {
    Period::of::<10_000>()
}

fn default_check_timeout() -> At<Period<10, 600_000>> {
    At::nowhere(Period::of::<2_000>())
}

fn default_rise() -> Count<1, 100> {
    Count::of::<2>()
}

fn default_fall() -> Count<1, 100> {
    Count::of::<3>()
}

/// What a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckType {
    /// A GET in the pool's protocol, over its TLS.
    #[default]
    Http,
    /// A TCP connection that is accepted.
    Tcp,
}

/// Passive ejection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ejection {
    /// Failures in a row (connect error, time-out, broken response, 502-504) that eject a backend.
    pub consecutive_failures: Count<1, 1_000>,
    /// Length of the first ejection; each one in a row doubles it, up to ten times this.
    pub base: Period<100, 3_600_000>,
    /// Largest share of the pool, in percent, that is ejected at once.
    pub max_ejected_percent: Count<1, 100>,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive_failures: Count::of::<5>(),
            base: Period::of::<10_000>(),
            max_ejected_percent: Count::of::<50>(),
        }
    }
}

/// Retries. Only requests that may be repeated are (RFC 9110 section 9.2.2), or ones of which no byte was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts after the first.
    pub attempts: Count<0, 10>,
    /// How much retries may add to the pool's requests, in percent.
    pub budget_percent: Count<0, 100>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: Count::of::<2>(), budget_percent: Count::of::<20>() }
    }
}
