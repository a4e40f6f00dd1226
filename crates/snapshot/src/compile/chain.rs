//! What a certificate chain says, and whether clients will take it.
//!
//! The file's order is the handshake's: the certificate, then the one that issued it, and so on; the root may be left out
//! (RFC 8446 section 4.4.2). Each link is verified, signature included. Whether the topmost is trusted is each client's
//! own business, so private authorities are as good as public ones. Refused is what no client would take: SHA-1 and
//! MD5, RSA below 2048 bits, a certificate that is not for servers. A certificate that is not valid now is its own
//! matter ([`Lapsed`](super::Lapsed)).

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use veloflux_model::value::Hostname;
use x509_parser::asn1_rs::oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::certificate::{PEM_HINT, Unusable};

/// Smallest RSA key, in bits (CA/Browser Forum Baseline Requirements section 6.1.5).
const MIN_RSA_BITS: usize = 2048;

/// Most names that a message lists.
const MAX_LISTED_NAMES: usize = 20;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Shown to clients.
    Server,
    /// Shown to backends, which judge it themselves.
    Client,
}

/// What a chain of certificates says.
#[derive(Debug)]
pub(super) struct Chain {
    /// The names that the first one covers.
    names: Vec<CoveredName>,
    /// Its serial number, as in DER.
    pub(super) serial: Vec<u8>,
    /// When the first of them to expire does.
    pub(super) not_after_unix_s: i64,
    /// Which of them is not valid now, if one is.
    pub(super) lapse: Option<Unusable>,
    /// Who issued the certificate, where it says that the issuer has a certificate to fetch and the file does not hold
    /// it: most clients do not fetch it.
    pub(super) missing_issuer: Option<Box<str>>,
}

#[derive(Debug)]
enum CoveredName {
    Dns(Box<str>),
    Ip(IpAddr),
}

impl Chain {
    /// Reads and checks `chain`, which holds at least one certificate, for the time `now`.
    pub(super) fn check(
        chain: &[CertificateDer<'_>],
        purpose: Purpose,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        let parsed: Vec<X509Certificate<'_>> = chain
            .iter()
            .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
            .collect::<Result<_, _>>()
            .map_err(|_| Unusable::certificate("a certificate in the file cannot be parsed", PEM_HINT))?;
        let own =
            parsed.first().ok_or_else(|| Unusable::certificate("the file holds no certificate", PEM_HINT))?;
        let lapse = lapse(&parsed, now)?;
        check_order(&parsed)?;
        for certificate in &parsed {
            check_strength(certificate)?;
        }
        check_purpose(own, purpose)?;
        if purpose == Purpose::Server {
            check_links(chain, &parsed, provider)?;
        }
        let names = own.subject_alternative_name().ok().flatten();
        let names = names
            .into_iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(covered_name)
            .collect();
        let is_alone = parsed.len() == 1 && own.issuer() != own.subject() && names_issuers_file(own);
        Ok(Self {
            names,
            serial: own.raw_serial().to_vec(),
            not_after_unix_s: parsed
                .iter()
                .map(|one| one.validity().not_after.timestamp())
                .min()
                .unwrap_or(0),
            lapse,
            missing_issuer: is_alone.then(|| own.issuer().to_string().into()),
        })
    }

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

/// The first certificate that is not valid at `now`.
fn lapse(parsed: &[X509Certificate<'_>], now: SystemTime) -> Result<Option<Unusable>, Unusable> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| {
        Unusable::certificate("the clock is beyond what certificates can say", "set the machine's clock")
    })?;
    Ok(parsed.iter().find_map(|certificate| {
        let (validity, subject) = (certificate.validity(), certificate.subject());
        if now > validity.not_after {
            let message = format!("`{subject}` expired on {}", validity.not_after);
            return Some(Unusable::certificate(
                message,
                "renew it and replace the file, or remove the certificate from the state",
            ));
        }
        (now < validity.not_before).then(|| {
            let message = format!("`{subject}` is not valid before {}", validity.not_before);
            Unusable::certificate(
                message,
                "check the machine's clock, or use a certificate that is valid now",
            )
        })
    }))
}

fn check_order(parsed: &[X509Certificate<'_>]) -> Result<(), Unusable> {
    for pair in parsed.windows(2) {
        if pair[0].issuer() != pair[1].subject() {
            let message = format!(
                "`{}` was not issued by `{}`, which follows it",
                pair[0].subject(),
                pair[1].subject()
            );
            return Err(Unusable::certificate(
                message,
                "order the file: the certificate first, then the one that issued it, and so on",
            ));
        }
    }
    Ok(())
}

fn check_strength(certificate: &X509Certificate<'_>) -> Result<(), Unusable> {
    let subject = certificate.subject();
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < MIN_RSA_BITS
    {
        let message = format!("`{subject}` has an RSA key of {} bits", key.key_size());
        return Err(Unusable::certificate(message, "use an ECDSA P-256 key, or RSA of at least 2048 bits"));
    }
    let ecdsa_with_sha1 = oid!(1.2.840.10045.4.1);
    let broken = [OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, ecdsa_with_sha1];
    // Nobody verifies what a root says of itself.
    let is_root = certificate.issuer() == subject;
    if !is_root && broken.contains(&certificate.signature_algorithm.algorithm) {
        let message = format!("`{subject}` is signed with a broken digest (SHA-1 or MD5)");
        return Err(Unusable::certificate(message, "have it issued anew, with SHA-256 or better"));
    }
    Ok(())
}

fn check_purpose(own: &X509Certificate<'_>, purpose: Purpose) -> Result<(), Unusable> {
    let Ok(Some(usage)) = own.extended_key_usage() else { return Ok(()) };
    let (fits, whom, hint) = match purpose {
        Purpose::Server => (
            usage.value.server_auth,
            "servers",
            "use a certificate whose extended key usage includes serverAuth",
        ),
        Purpose::Client => (
            usage.value.client_auth,
            "clients",
            "use a certificate whose extended key usage includes clientAuth",
        ),
    };
    if fits || usage.value.any {
        return Ok(());
    }
    Err(Unusable::certificate(format!("`{}` is not for {whom}", own.subject()), hint))
}

/// Verifies every link at a time at which all certificates were valid.
fn check_links(
    chain: &[CertificateDer<'_>],
    parsed: &[X509Certificate<'_>],
    provider: &CryptoProvider,
) -> Result<(), Unusable> {
    let [own, intermediates @ .., top] = chain else { return Ok(()) };
    let begun = parsed.iter().map(|one| one.validity().not_before.timestamp()).max().unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(begun.max(0).cast_unsigned()));
    let mut roots = RootCertStore::empty();
    let verified = roots.add(top.clone().into_owned()).and_then(|()| {
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &roots, intermediates, now, algorithms)
    });
    let why = match verified {
        // Expired: there was never a time at which all were valid; the lapse tells of that.
        Ok(())
        | Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => return Ok(()),
        Err(Error::InvalidCertificate(CertificateError::BadSignature)) => {
            "a certificate was not signed by the one that follows it, whatever the names say".to_owned()
        }
        Err(error) => format!("the chain does not hold: {error}"),
    };
    Err(Unusable::certificate(
        why,
        "put the intermediates there that the certificate's issuer gives out with it",
    ))
}

/// Whether the certificate says where its issuer's can be fetched (RFC 5280 section 4.2.2.1), as public ones do.
fn names_issuers_file(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access
            .accessdescs
            .iter()
            .any(|place| place.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS),
        _ => false,
    })
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
