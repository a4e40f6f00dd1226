//! The desired state, `state.yaml`: every tenant with its domains, certificates, pools, routes and firewall.
//!
//! Tenants are separate: names of pools, routes and certificates are looked up within their tenant only.

mod access;
mod baseline;
mod check;
mod firewall;
mod headers;
mod limits;
mod mode;
mod pool;
mod route;
mod tls;

pub use access::{Access, AccessAction, Origins};
pub use baseline::{Baseline, RuleSelection};
pub use firewall::{
    Exclusion, Firewall, FirewallMode, InspectedSize, OverLimit, OwnRules, PolicySettings, RuleMode,
    RuleModes,
};
pub use headers::{Cors, HeaderLine, HeaderRules, Merge, Preset, SecurityHeader, SecurityHeaders};
pub use limits::{
    ApiKey, AtOnce, Bandwidth, Concurrency, DEFAULT_PLAN, Delay, KeyPart, LimitAction, Limits, MAX_RATES,
    Plan, RateRule,
};
pub use mode::{Challenge, Challenged, Maintenance, Mode, Page, Spared, UnderAttack};
pub use pool::{
    Algorithm, Backend, BackendProtocol, BackendTls, CheckType, Ejection, HealthCheck, Pool, Retry,
    StickySessions,
};
pub use route::{
    Action, BodySize, Forward, HeaderCondition, PathPattern, Redirect, Respond, Route, Timeout, Timeouts,
};

pub use tls::{
    ClientAuth, ClientAuthMode, ExpiredCrl, ForwardClientCert, Hsts, KeyPair, OperatorTls, TicketRotation,
    Tls, TlsInForce,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::At;
use crate::value::{FilePath, Hostname, Name, TenantId};

/// Desired state: all tenants of an installation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// The operator's: what every tenant's firewall is held to. Left out: nothing but that rules other than the CRS's
    /// detection rules are pinned.
    #[serde(default, skip_serializing_if = "Baseline::is_empty")]
    pub baseline: Baseline,
    /// The operator's: TLS of all tenants.
    #[serde(default, skip_serializing_if = "OperatorTls::is_empty")]
    pub tls: OperatorTls,
    /// The operator's: what tenants may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Plan>,
    /// The tenants.
    pub tenants: Vec<Tenant>,
}

/// One tenant: an isolated customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's name: unique and stable, part of metrics and log entries.
    pub name: At<TenantId>,
    /// The operator's: the tenant's plan. Left out: the plan `default`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<At<Name>>,
    /// The switch: as usual, closed for maintenance, or under attack. Default: normal.
    #[serde(default, skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
    /// The operator's: limits of this tenant beside those of its plan.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub ceilings: Limits,
    /// Host names that belong to this tenant alone.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// Certificates for those host names.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// TLS of all domains.
    #[serde(default, skip_serializing_if = "Tls::is_empty")]
    pub tls: Tls,
    /// Sets of backends.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// What happens to a request. The most specific route that matches is taken: exact host before wildcard before
    /// any, exact path before longer before shorter prefix, more conditions before fewer, then document order.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Time limits of all routes.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Longest request body on all routes; over it 413. Left out: 10MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<BodySize>,
    /// IP and country rules on all routes. Left out: requests are taken from everywhere.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub access: Access,
    /// Firewall policy on all routes. Left out: the active rule set blocks at paranoia level 1.
    #[serde(default)]
    pub firewall: Firewall,
    /// Limits on all routes together. They hold beside those of the plan and the ceilings.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Security headers on every response. Left out: the preset balanced.
    #[serde(default, skip_serializing_if = "SecurityHeaders::is_empty")]
    pub security_headers: SecurityHeaders,
    /// What `mode: maintenance` means.
    #[serde(default, skip_serializing_if = "Maintenance::is_default")]
    pub maintenance: Maintenance,
    /// What `mode: under_attack` means.
    #[serde(default, skip_serializing_if = "UnderAttack::is_default")]
    pub under_attack: UnderAttack,
}

/// A host name that a tenant owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The name, or a `*.` wildcard that covers one label. An exact name goes before a wildcard.
    pub host: At<Hostname>,
    /// The certificate to present; `auto`: one that is ordered and renewed by itself, as the process file's `acme`
    /// says. Left out: the tenant's first certificate that covers the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<At<Name>>,
    /// TLS, where it differs from the tenant's.
    #[serde(default, skip_serializing_if = "Tls::is_empty")]
    pub tls: Tls,
}

/// What a domain says in place of a certificate's name to have one ordered; no certificate can have this name.
pub const MANAGED_CERTIFICATE: &str = "auto";

impl Domain {
    /// Whether the domain's certificate is ordered and renewed by itself.
    pub fn is_managed(&self) -> bool {
        self.certificate.as_ref().is_some_and(|name| name.as_str() == MANAGED_CERTIFICATE)
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Name, unique within the tenant.
    pub name: At<Name>,
    /// PEM file with the certificate, followed by its intermediates.
    pub cert_file: At<FilePath>,
    /// PEM file with the private key.
    pub key_file: At<FilePath>,
    /// DER file with an OCSP response for the certificate, shown to clients while it is current (RFC 6066 section 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp_file: Option<At<FilePath>>,
}
