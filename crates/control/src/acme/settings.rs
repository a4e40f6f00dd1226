//! The process file's `acme` with everything that it names read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use veloflux_model::process::{self, Accounts, ChallengeKind, KeyType};
use veloflux_model::value::{FilePath, ServiceUrl};

use super::dns::{Exec, Provider, Rfc2136, Webhook};
use super::http::Http;
use crate::files::read_bounded;

/// Longest file of authorities, in bytes; the system's whole list has 220 KiB.
const MAX_CA_FILE_BYTES: u64 = 4 << 20;

/// Longest file of a secret, in bytes.
const MAX_SECRET_FILE_BYTES: u64 = 4 << 10;

/// What orders follow.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) directories: Vec<Directory>,
    pub(super) contact: Vec<String>,
    pub(super) accounts: Accounts,
    pub(super) key_type: KeyType,
    pub(super) challenges: Vec<ChallengeKind>,
    pub(super) dns: Option<Dns>,
    pub(super) orders_per_domain: usize,
    pub(super) orders_in_all: usize,
    pub(super) orders_at_once: usize,
    pub(super) renew_after_percent: u64,
}

/// One authority.
pub(super) struct Directory {
    pub(super) url: ServiceUrl,
    pub(super) http: Http,
    /// Identifier and HMAC key of the external account.
    pub(super) external: Option<(String, Vec<u8>)>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({})", self.url)
    }
}

/// Who writes TXT records.
#[derive(Debug)]
pub(super) struct Dns {
    pub(super) provider: Provider,
    pub(super) propagation: Duration,
}

/// A setting that cannot be followed.
#[derive(Debug)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// Reads what settings name.
pub(super) struct Reading<'a> {
    /// Makes paths of the process file count from its folder.
    pub(super) resolve: &'a dyn Fn(&str) -> PathBuf,
    /// The authorities that the system trusts.
    pub(super) native_roots: &'a [CertificateDer<'static>],
}

impl Reading<'_> {
    pub(super) fn settings(&self, acme: &process::Acme) -> Result<Settings, SettingsError> {
        let directories = acme.directories.iter().map(|directory| self.directory(directory));
        let limits = &acme.limits;
        Ok(Settings {
            directories: directories.collect::<Result<_, _>>()?,
            contact: acme.contact.iter().map(ToString::to_string).collect(),
            accounts: acme.accounts,
            key_type: acme.key_type,
            challenges: acme.challenges.iter().map(|kind| *kind.value()).collect(),
            dns: acme.dns.as_ref().map(|dns| self.dns(dns)).transpose()?,
            orders_per_domain: limits.orders_per_domain_and_hour.get_usize(),
            orders_in_all: limits.orders_per_hour.get_usize(),
            orders_at_once: limits.orders_at_once.get_usize(),
            renew_after_percent: acme.renew_after.get(),
        })
    }

    fn directory(&self, directory: &process::AcmeDirectory) -> Result<Directory, SettingsError> {
        let external = directory.external_account.as_ref().map(|account| {
            let key = self.secret(&account.hmac_key_file, "an HMAC key in base64url", |text| {
                URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().filter(|key| !key.is_empty())
            })?;
            Ok((account.kid.to_string(), key))
        });
        let tls = self.client_tls(directory.ca_file.as_ref().map(veloflux_model::At::value))?;
        Ok(Directory {
            url: directory.url.value().clone(),
            http: Http::new(tls),
            external: external.transpose()?,
        })
    }

    fn dns(&self, dns: &process::Dns) -> Result<Dns, SettingsError> {
        let timeout = dns.timeout.duration();
        let provider = match &dns.provider {
            process::DnsProvider::Rfc2136(update) => {
                let secret = self.secret(&update.key_file, "a TSIG secret in base64", |text| {
                    STANDARD.decode(text).ok().filter(|secret| !secret.is_empty())
                })?;
                Provider::Rfc2136(Box::new(Rfc2136::new(update, &secret, timeout)))
            }
            process::DnsProvider::Exec(exec) => Provider::Exec(Exec {
                program: (self.resolve)(exec.program.as_str()),
                args: exec.args.iter().map(ToString::to_string).collect(),
                timeout,
            }),
            process::DnsProvider::Webhook(webhook) => {
                let token = webhook.token_file.as_ref().map(|file| {
                    let visible =
                        |text: &str| !text.is_empty() && text.bytes().all(|b| matches!(b, b'!'..=b'~'));
                    self.secret(file, "a token in visible ASCII", |text| {
                        visible(text).then(|| text.to_owned())
                    })
                });
                Provider::Webhook(Webhook {
                    url: webhook.url.value().clone(),
                    http: Http::new(
                        self.client_tls(webhook.ca_file.as_ref().map(veloflux_model::At::value))?,
                    ),
                    token: token.transpose()?,
                    timeout,
                })
            }
        };
        Ok(Dns { provider, propagation: dns.propagation.duration() })
    }

    /// A secret from a file; messages show nothing of it.
    fn secret<T>(
        &self,
        file: &FilePath,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        let path = (self.resolve)(file.as_str());
        let content = read_bounded(&path, MAX_SECRET_FILE_BYTES).map_err(|error| unusable(&path, &error))?;
        let text = std::str::from_utf8(&content).ok().map(str::trim);
        text.and_then(read).ok_or_else(|| unusable(&path, &format!("the file does not hold {what}")))
    }

    fn client_tls(&self, ca_file: Option<&FilePath>) -> Result<Arc<ClientConfig>, SettingsError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = ca_file {
            let path = (self.resolve)(file.as_str());
            let pem = read_bounded(&path, MAX_CA_FILE_BYTES).map_err(|error| unusable(&path, &error))?;
            for authority in CertificateDer::pem_slice_iter(&pem) {
                let added = authority.ok().map(|authority| roots.add(authority));
                if !matches!(added, Some(Ok(()))) {
                    return Err(unusable(&path, &"the file does not hold authorities' certificates"));
                }
            }
        } else {
            // Systems carry a few authorities that no verifier can use; they are left out.
            roots.add_parsable_certificates(self.native_roots.iter().cloned());
        }
        if roots.is_empty() {
            let why = "there is no authority that directories could be verified by: name a `ca_file`";
            return Err(SettingsError(format!("acme: {why}")));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| SettingsError(format!("acme: TLS: {error}")))?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> SettingsError {
    SettingsError(format!("{}: {why}", path.display()))
}
