//! TLS towards clients: what the operator insists on, and what tenants and their domains ask for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::At;
use crate::value::{FilePath, Period, SubjectName, TlsVersion};

/// What the operator says about TLS of all tenants.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorTls {
    /// The lowest version that is spoken where a tenant says nothing, and that a tenant may choose. Left out: 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// How long one key makes session tickets; it opens them for as long again. Left out: 6h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_rotation: Option<TicketRotation>,
    /// Shown to clients that name no host, or one that nobody has. Their requests are refused with 421 or 404. Left
    /// out: their handshake ends with an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<KeyPair>,
}

impl OperatorTls {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A rotation of ticket keys: 1s to 3d, so that no ticket is older than the 7 days of RFC 8446 section 4.6.1.
pub type TicketRotation = Period<1_000, 259_200_000>;

/// A certificate with its key that has no name of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// PEM file with the certificate, followed by its intermediates.
    pub cert_file: At<FilePath>,
    /// PEM file with the private key.
    pub key_file: At<FilePath>,
}

/// TLS settings; what is left out is inherited (a domain from its tenant, a tenant from the operator).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The lowest version that is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<At<TlsVersion>>,
    /// Whether HTTP/2 is offered beside HTTP/1.1. Left out: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Tells browsers to use HTTPS only. Left out: nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Whether clients show certificates, and whose. A domain's settings replace its tenant's as a whole. Left out:
    /// they show none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

impl Tls {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is in force where `self` is inherited and `own` refines it.
    #[must_use]
    pub fn refined_by<'a>(&'a self, own: &'a Self) -> TlsInForce<'a> {
        TlsInForce {
            min_version: own.min_version.as_ref().or(self.min_version.as_ref()),
            http2: own.http2.or(self.http2).unwrap_or(true),
            hsts: own.hsts.as_ref().or(self.hsts.as_ref()),
            client_auth: own
                .client_auth
                .as_ref()
                .or(self.client_auth.as_ref())
                .filter(|client_auth| client_auth.is_on()),
        }
    }
}

/// The TLS settings of one domain, all said.
#[derive(Debug, Clone, Copy)]
pub struct TlsInForce<'a> {
    /// The lowest version; `None`: the operator's.
    pub min_version: Option<&'a At<TlsVersion>>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Strict transport security; `None`: nothing is said.
    pub hsts: Option<&'a Hsts>,
    /// Client certificates; `None`: none are asked for.
    pub client_auth: Option<&'a ClientAuth>,
}

/// Strict transport security (RFC 6797): a header on every response over HTTPS, in place of the backend's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hsts {
    /// How long browsers remember it; 0s makes them forget.
    pub max_age: Period<0, 63_072_000_000>,
    /// Whether it holds for all names below, too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// Whether browsers may ship with the name on their list. Hard to take back.
    #[serde(default)]
    pub preload: bool,
}

/// Client certificates (mutual TLS).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// Who may connect.
    #[serde(default)]
    pub mode: ClientAuthMode,
    /// PEM file with the authorities whose certificates are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<FilePath>>,
    /// Revocation lists, PEM or DER. With any, each certificate of a client's chain needs one of its issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_files: Vec<At<FilePath>>,
    /// What becomes of clients when their issuer's list is past its `nextUpdate`.
    #[serde(default)]
    pub expired_crl: ExpiredCrl,
    /// Names of which a client's certificate has to carry one. Left out: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_names: Vec<At<SubjectName>>,
    /// What backends are told of the client's certificate (RFC 9440).
    #[serde(default)]
    pub forward: ForwardClientCert,
}

impl ClientAuth {
    /// Whether clients are asked for a certificate.
    pub fn is_on(&self) -> bool {
        self.mode != ClientAuthMode::Off
    }
}

/// Whether clients have to show a certificate. What is shown has to be right in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// Without a certificate the handshake fails.
    #[default]
    Required,
    /// Clients without one are served as well; routes may refuse them.
    Optional,
    /// None is asked for.
    Off,
}

/// What becomes of clients when a revocation list is past its `nextUpdate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiredCrl {
    /// Certificates of its issuer are refused: who was revoked since then is not known.
    #[default]
    Refuse,
    /// The list is used as it is.
    Accept,
}

/// What backends are told of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardClientCert {
    /// Nothing.
    #[default]
    Off,
    /// `Client-Cert`.
    Certificate,
    /// `Client-Cert` and `Client-Cert-Chain`.
    Chain,
}
