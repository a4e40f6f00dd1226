//! How certificates are ordered for domains that say `certificate: auto`: from whom, as whom, proved how, how often.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::{At, Position};
use crate::problem::Problem;
use crate::value::{BackendAddress, Contact, Count, FilePath, HeaderText, Hostname, Period, ServiceUrl};

/// Certificates by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Directories of authorities, in the order in which they are asked: the next one only while those before it do
    /// not answer, answer with errors of their own, or refuse because of their limits.
    #[schemars(length(min = 1, max = 8))]
    pub directories: Vec<AcmeDirectory>,
    /// Where the authorities reach the operator.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub contact: Vec<Contact>,
    /// Whether the operator agrees to the terms of service of all these authorities; without that there are no
    /// accounts.
    pub terms_of_service_agreed: At<bool>,
    /// Whose accounts they are.
    #[serde(default)]
    pub accounts: Accounts,
    /// Keys of the certificates; one is made anew for each.
    #[serde(default)]
    pub key_type: KeyType,
    /// How domains may be proved, the preferred way first. Wildcards always take `dns_01`.
    #[serde(default = "default_challenges")]
    #[schemars(length(min = 1, max = 3))]
    pub challenges: Vec<At<ChallengeKind>>,
    /// Who writes the records of `dns_01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// How much is ordered at most.
    #[serde(default)]
    pub limits: AcmeLimits,
    /// Share of a certificate's life after which it is renewed, in per cent, where the authority does not say when
    /// (RFC 9773).
    #[serde(default = "default_renew_after")]
    pub renew_after: Count<10, 95>,
}

fn default_challenges() -> Vec<At<ChallengeKind>> {
    [ChallengeKind::Http01, ChallengeKind::TlsAlpn01].map(At::nowhere).into()
}

fn default_renew_after() -> Count<10, 95> {
    Count::of::<67>()
}

/// One authority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeDirectory {
    /// The directory's URL.
    pub url: At<ServiceUrl>,
    /// PEM file with the authorities that its HTTPS certificate may come from. Left out: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<FilePath>>,
    /// Binds accounts to one that exists at the authority already (RFC 8555 section 7.3.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
}

/// What an authority gave out for external account binding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The key's identifier.
    pub kid: HeaderText,
    /// File with the HMAC key in base64url, as authorities give it out.
    pub hmac_key_file: FilePath,
}

/// Whose accounts at the authorities are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accounts {
    /// One for the installation.
    #[default]
    Shared,
    /// One for each tenant.
    PerTenant,
}

/// Keys of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
}

/// How a domain is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChallengeKind {
    /// An answer on port 80 (RFC 8555 section 8.3).
    #[serde(rename = "http_01")]
    Http01,
    /// A handshake on port 443 (RFC 8737).
    #[serde(rename = "tls_alpn_01")]
    TlsAlpn01,
    /// A TXT record (RFC 8555 section 8.4).
    #[serde(rename = "dns_01")]
    Dns01,
}

/// Who writes the TXT records of `dns_01`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// How it is written to.
    pub provider: DnsProvider,
    /// From a record's change until the authority is told to look: as long as the change takes to reach every
    /// server of the zone.
    #[serde(default = "default_propagation")]
    pub propagation: Period<0, 3_600_000>,
    /// How long one change may take.
    #[serde(default = "default_dns_timeout")]
    pub timeout: Period<100, 600_000>,
}

fn default_propagation() -> Period<0, 3_600_000> {
    Period::of::<10_000>()
}

fn default_dns_timeout() -> Period<100, 600_000> {
    Period::of::<30_000>()
}

/// How DNS records are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DnsProvider {
    /// Dynamic update (RFC 2136), signed by TSIG (RFC 8945).
    Rfc2136(Rfc2136),
    /// A program, run as `PROGRAM ARGS… present|cleanup NAME VALUE`, without a shell; it succeeds with exit code 0.
    Exec(Exec),
    /// An HTTP service that is sent `{"action": "present"|"cleanup", "name": …, "value": …}` as JSON and succeeds
    /// with a 2xx status.
    Webhook(Webhook),
}

/// A name server that takes dynamic updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// The primary server, asked over TCP.
    pub server: BackendAddress,
    /// The zones that it may change; the longest that holds the name is taken.
    #[schemars(length(min = 1, max = 1000))]
    pub zones: Vec<At<Hostname>>,
    /// Name of the TSIG key.
    pub key_name: Hostname,
    /// Algorithm of the TSIG key.
    #[serde(default)]
    pub key_algorithm: TsigAlgorithm,
    /// File with the TSIG key's secret in base64.
    pub key_file: FilePath,
}

/// Algorithms of TSIG keys (RFC 8945 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TsigAlgorithm {
    /// HMAC-SHA-256.
    #[default]
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// A program that writes DNS records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program's file.
    pub program: FilePath,
    /// Its first arguments.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub args: Vec<HeaderText>,
}

/// A service that writes DNS records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where requests are sent to.
    pub url: At<ServiceUrl>,
    /// PEM file with the authorities that its HTTPS certificate may come from. Left out: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<FilePath>>,
    /// File with a token that is sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<FilePath>,
}

/// How much is ordered at most. Orders count from when they are sent, whatever becomes of them, restarts included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeLimits {
    /// Orders for one domain in any hour.
    pub orders_per_domain_and_hour: Count<1, 100>,
    /// Orders for the whole installation in any hour.
    pub orders_per_hour: Count<1, 10_000>,
    /// Orders under way at once.
    pub orders_at_once: Count<1, 64>,
}

impl Default for AcmeLimits {
    fn default() -> Self {
        Self {
            orders_per_domain_and_hour: Count::of::<3>(),
            orders_per_hour: Count::of::<100>(),
            orders_at_once: Count::of::<8>(),
        }
    }
}

impl Acme {
    /// Whether wildcards can be proved.
    pub fn proves_wildcards(&self) -> bool {
        self.allows(ChallengeKind::Dns01)
    }

    fn allows(&self, kind: ChallengeKind) -> bool {
        self.challenges.iter().any(|allowed| *allowed.value() == kind)
    }

    /// What contradicts itself.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut report = |position: Position, message: String, hint: &str| {
            problems.push(Problem::new(position, message).hint(hint));
        };
        if self.directories.is_empty() || self.directories.len() > MAX_DIRECTORIES {
            let message = format!("there are {} directories", self.directories.len());
            report(self.terms_of_service_agreed.position(), message, "list 1 to 8 under `directories`");
        }
        for (index, directory) in self.directories.iter().enumerate() {
            let url = &directory.url;
            if !url.is_https() {
                report(url.position(), format!("`{url}` is not encrypted"), "write an `https://` URL");
            }
            if self.directories[..index].iter().any(|before| before.url.value() == url.value()) {
                report(
                    url.position(),
                    format!("the directory `{url}` is listed twice"),
                    "remove one of them",
                );
            }
        }
        if !self.terms_of_service_agreed.value() {
            let hint = "read the authorities' terms and write `true`, or remove `acme`";
            report(
                self.terms_of_service_agreed.position(),
                "no authority gives certificates without agreement to its terms".to_owned(),
                hint,
            );
        }
        if self.challenges.is_empty() {
            let hint = "list some of `http_01`, `tls_alpn_01` and `dns_01`, or remove the key";
            report(
                self.terms_of_service_agreed.position(),
                "`challenges` allows no way to prove a domain".to_owned(),
                hint,
            );
        }
        for (index, kind) in self.challenges.iter().enumerate() {
            if self.challenges[..index].iter().any(|before| before.value() == kind.value()) {
                report(kind.position(), "this challenge is listed twice".to_owned(), "remove one of them");
            }
            if *kind.value() == ChallengeKind::Dns01 && self.dns.is_none() {
                let hint = "say under `dns` who writes the records";
                report(kind.position(), "nobody writes the records of `dns_01`".to_owned(), hint);
            }
        }
        if let Some(DnsProvider::Rfc2136(Rfc2136 { zones, .. })) = self.dns.as_ref().map(|dns| &dns.provider)
        {
            if zones.is_empty() || zones.len() > MAX_ZONES {
                let message = format!("there are {} zones", zones.len());
                report(self.terms_of_service_agreed.position(), message, "list 1 to 1000 under `zones`");
            }
            for zone in zones.iter().filter(|zone| zone.wildcard_parent().is_some()) {
                report(
                    zone.position(),
                    format!("`{zone}` is not a zone"),
                    "write the zone's name without `*.`",
                );
            }
        }
        problems
    }
}

/// Most directories.
const MAX_DIRECTORIES: usize = 8;

/// Most zones.
const MAX_ZONES: usize = 1_000;
