//! Certificates: parsed, checked and made ready to sign with. No message shows what a key file holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use veloflux_model::desired::{self, Certificate};
use veloflux_model::value::Hostname;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::Compiler;
use super::Lapsed;
use crate::TlsCertificate;
use crate::managed::IssuedCertificate;

/// Longest chain, the certificate itself included.
const MAX_CHAIN: usize = 10;

/// Most names that a message lists.
const MAX_LISTED_NAMES: usize = 20;

/// A usable certificate and the names that it covers.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: TlsCertificate,
    names: Vec<CoveredName>,
    not_after_unix_s: i64,
    lapse: Option<Unusable>,
}

#[derive(Debug)]
enum CoveredName {
    Dns(Box<str>),
    Ip(IpAddr),
}

impl Loaded {
    /// Whether every name that `host` stands for is covered (RFC 6125 section 6.4).
    pub(super) fn covers(&self, host: &Hostname) -> bool {
        let literal = host.as_str().trim_matches(['[', ']']).parse::<IpAddr>().ok();
        self.names.iter().any(|name| match (name, literal) {
            (CoveredName::Ip(address), Some(literal)) => *address == literal,
            (CoveredName::Dns(name), None) => {
                let wildcard = || {
                    let (_, parent) = host.as_str().split_once('.')?;
                    Some(name.strip_prefix("*.")? == parent)
                };
                **name == *host.as_str() || (host.wildcard_parent().is_none() && wildcard() == Some(true))
            }
            _ => false,
        })
    }

    /// The covered names for a message.
    pub(super) fn list_names(&self) -> String {
        let names = self.names.iter().take(MAX_LISTED_NAMES).map(|name| match name {
            CoveredName::Dns(name) => name.to_string(),
            CoveredName::Ip(address) => address.to_string(),
        });
        let listed: Vec<String> = names.collect();
        if listed.is_empty() { "no names".to_owned() } else { listed.join(", ") }
    }
}

/// Certificates by their two files: tenants that share one share it in memory too.
#[derive(Default)]
pub(super) struct LoadedCertificates<'a> {
    by_files: HashMap<(&'a str, &'a str), Result<Arc<Loaded>, Unusable>>,
}

impl<'a> LoadedCertificates<'a> {
    /// The certificate, if it was loaded before and can be used.
    pub(super) fn get(&self, certificate: &'a Certificate) -> Option<Arc<Loaded>> {
        self.by_files.get(&files_of(certificate))?.as_ref().ok().cloned()
    }
}

fn files_of(certificate: &Certificate) -> (&str, &str) {
    (certificate.cert_file.as_str(), certificate.key_file.as_str())
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone)]
struct Unusable {
    /// Whether the key file is at fault, not the certificate's.
    key: bool,
    message: String,
    hint: &'static str,
}

impl<'a> Compiler<'a> {
    /// The certificates of `tenant`, whose id is `id`; those that cannot be used are reported and left out.
    pub(super) fn certificates(&mut self, id: &str, tenant: &'a desired::Tenant) -> Vec<crate::Certificate> {
        let usable = tenant.certificates.iter().filter_map(|certificate| {
            let loaded = self.load(certificate)?;
            if let Some(lapse) = loaded.lapse.as_ref().filter(|_| !self.is_served(id, &loaded)) {
                self.unusable(certificate, lapse.clone());
            }
            Some(crate::Certificate {
                name: certificate.name.as_str().into(),
                file: certificate.cert_file.as_str().into(),
                not_after_unix_s: loaded.not_after_unix_s,
                lapsed: loaded.lapse.as_ref().map(|lapse| lapse.message.as_str().into()),
                key: loaded.key.clone(),
            })
        });
        usable.collect()
    }

    /// Whether the tenant `id` is served with `loaded` whether it is valid or not.
    fn is_served(&self, id: &str, loaded: &Loaded) -> bool {
        match &self.inputs.lapsed {
            Lapsed::Refuse => false,
            Lapsed::Serve => true,
            Lapsed::ServeAsIn(snapshot) => snapshot
                .tenants
                .iter()
                .filter(|tenant| *tenant.id == *id)
                .flat_map(|tenant| &tenant.certificates)
                .any(|served| served.key.cert == loaded.key.cert),
        }
    }

    fn load(&mut self, certificate: &'a Certificate) -> Option<Arc<Loaded>> {
        let cert_pem = self.file("cert_file", &certificate.cert_file);
        let key_pem = self.file("key_file", &certificate.key_file);
        let (cert_pem, key_pem) = (cert_pem?, key_pem?);
        let (provider, now) = (&self.provider, self.inputs.now);
        let loaded = self
            .certificates
            .by_files
            .entry(files_of(certificate))
            .or_insert_with(|| load(cert_pem, key_pem, provider, now))
            .clone();
        match loaded {
            Ok(loaded) => Some(loaded),
            Err(unusable) => {
                self.unusable(certificate, unusable);
                None
            }
        }
    }

    fn unusable(&mut self, certificate: &Certificate, Unusable { key, message, hint }: Unusable) {
        let file = if key { &certificate.key_file } else { &certificate.cert_file };
        self.report(file.position(), format!("certificate `{}`: {message}", certificate.name), hint);
    }
}

/// Checks a certificate that was issued for `host` of `tenant`, both files in PEM: it is whole, the key is its own, the
/// host is covered. Whether it is valid now is not looked at: one that lapsed is shown until it is renewed.
pub fn check_issued(
    tenant: &Arc<str>,
    host: &Hostname,
    cert_pem: &[u8],
    key_pem: &[u8],
) -> Result<IssuedCertificate, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let loaded =
        load(cert_pem, key_pem, &provider, SystemTime::now()).map_err(|unusable| unusable.message)?;
    if !loaded.covers(host) {
        return Err(format!("it does not cover `{host}` but {}", loaded.list_names()));
    }
    Ok(IssuedCertificate {
        tenant: tenant.clone(),
        host: host.as_str().into(),
        key: loaded.key.clone(),
        not_after_unix_s: loaded.not_after_unix_s,
    })
}

fn load(
    cert_pem: &[u8],
    key_pem: &[u8],
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Arc<Loaded>, Unusable> {
    let bad = |message: String, hint| Unusable { key: false, message, hint };
    let bad_key = |message: &str, hint| Unusable { key: true, message: message.to_owned(), hint };

    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("the file is not PEM".to_owned(), PEM_HINT))?;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err(bad(format!("the file holds {} certificates", chain.len()), PEM_HINT));
    }
    let Checked { names, not_after_unix_s, lapse } = check_chain(&chain, now)?;

    // The parser's own error may quote the file, so it is not shown.
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| {
        bad_key(
            "the file holds no private key in PEM",
            "put the key that belongs to the certificate there, unencrypted",
        )
    })?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => bad_key(
            "the key does not belong to the certificate",
            "put the key there that the certificate was made for",
        ),
        _ => bad_key(
            "the key cannot be used",
            "use an ECDSA P-256 or P-384, Ed25519, or RSA key of at least 2048 bits",
        ),
    })?;
    Ok(Arc::new(Loaded { key: Arc::new(certified), names, not_after_unix_s, lapse }))
}

const PEM_HINT: &str = "put the certificate there in PEM, followed by its intermediates";

/// What a chain of certificates says.
struct Checked {
    /// The names that the first one covers.
    names: Vec<CoveredName>,
    /// When the first of them to expire does.
    not_after_unix_s: i64,
    /// Which of them is not valid now, if one is.
    lapse: Option<Unusable>,
}

/// Parses every certificate of the chain, checks that each was issued by the next, and looks whether all are valid
/// now.
fn check_chain(chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Checked, Unusable> {
    let bad = |message: String, hint| Unusable { key: false, message, hint };
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| {
        bad("the clock is beyond what certificates can say".to_owned(), "set the machine's clock")
    })?;
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
        .collect::<Result<_, _>>()
        .map_err(|_| bad("a certificate in the file cannot be parsed".to_owned(), PEM_HINT))?;
    let lapse = parsed.iter().find_map(|certificate| {
        let (validity, subject) = (certificate.validity(), certificate.subject());
        if now > validity.not_after {
            let message = format!("`{subject}` expired on {}", validity.not_after);
            return Some(bad(
                message,
                "renew it and replace the file, or remove the certificate from the state",
            ));
        }
        (now < validity.not_before).then(|| {
            let message = format!("`{subject}` is not valid before {}", validity.not_before);
            bad(message, "check the machine's clock, or use a certificate that is valid now")
        })
    });
    let ends = parsed.iter().map(|certificate| certificate.validity().not_after.timestamp());
    let not_after_unix_s = ends.min().unwrap_or(0);
    for pair in parsed.windows(2) {
        if pair[0].issuer() != pair[1].subject() {
            let message = format!(
                "`{}` was not issued by `{}`, which follows it",
                pair[0].subject(),
                pair[1].subject()
            );
            return Err(bad(
                message,
                "order the file: the certificate first, then the one that issued it, and so on",
            ));
        }
    }
    let names = parsed[0].subject_alternative_name().ok().flatten();
    let names = names
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(covered_name)
        .collect();
    Ok(Checked { names, not_after_unix_s, lapse })
}

fn covered_name(name: &GeneralName<'_>) -> Option<CoveredName> {
    match name {
        GeneralName::DNSName(name) => Some(CoveredName::Dns(name.to_ascii_lowercase().into())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(CoveredName::Ip)
        }
        _ => None,
    }
}
