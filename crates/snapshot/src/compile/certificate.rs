//! Certificates: parsed, checked and made ready to sign with. No message shows what a key file holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use veloflux_model::At;
use veloflux_model::desired::{self, KeyPair};
use veloflux_model::value::{FilePath, Hostname};

use super::chain::{Chain, Purpose};
use super::ocsp::{CertStatus, OcspResponse};
use super::{Compiler, Lapsed};
use crate::TlsCertificate;
use crate::managed::IssuedCertificate;
use crate::tls::Staple;

/// Longest chain, the certificate itself included.
const MAX_CHAIN: usize = 10;

/// A usable certificate and what it says.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: TlsCertificate,
    pub(super) staple: Option<Staple>,
    chain: Chain,
}

impl Loaded {
    /// Whether every name that `host` stands for is covered.
    pub(super) fn covers(&self, host: &Hostname) -> bool {
        self.chain.covers(host)
    }

    /// What is known of it under `name`, wherever it came from.
    fn described(&self, name: &str, from: &str) -> crate::Certificate {
        let chain = &self.chain;
        crate::Certificate {
            name: name.into(),
            file: from.into(),
            not_after_unix_s: chain.not_after_unix_s,
            lapsed: chain.lapse.as_ref().map(|lapse| lapse.message.as_str().into()),
            missing_issuer: chain.missing_issuer.as_deref().map(Into::into),
            is_ordered: false,
            ocsp_next_update_unix_s: self.staple.as_ref().map(|staple| staple.next_update_unix_s),
            key: self.key.clone(),
        }
    }

    /// The covered names for a message.
    pub(super) fn list_names(&self) -> String {
        self.chain.list_names()
    }
}

/// Where a certificate comes from, and what it is for.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    cert: &'a At<FilePath>,
    key: &'a At<FilePath>,
    ocsp: Option<&'a At<FilePath>>,
    purpose: Purpose,
}

impl<'a> Files<'a> {
    fn of(certificate: &'a desired::Certificate) -> Self {
        let desired::Certificate { name: _, cert_file, key_file, ocsp_file } = certificate;
        Self { cert: cert_file, key: key_file, ocsp: ocsp_file.as_ref(), purpose: Purpose::Server }
    }

    pub(super) fn of_pair(pair: &'a KeyPair, purpose: Purpose) -> Self {
        Self { cert: &pair.cert_file, key: &pair.key_file, ocsp: None, purpose }
    }

    fn key(self) -> Key<'a> {
        (self.cert.as_str(), self.key.as_str(), self.ocsp.map(|path| path.as_str()), self.purpose)
    }
}

type Key<'a> = (&'a str, &'a str, Option<&'a str>, Purpose);

/// Certificates by their files: tenants that share one share it in memory too.
#[derive(Default)]
pub(super) struct LoadedCertificates<'a> {
    by_files: HashMap<Key<'a>, Result<Arc<Loaded>, Unusable>>,
}

impl<'a> LoadedCertificates<'a> {
    /// The certificate, if it was loaded before and can be used.
    pub(super) fn get(&self, certificate: &'a desired::Certificate) -> Option<Arc<Loaded>> {
        self.by_files.get(&Files::of(certificate).key())?.as_ref().ok().cloned()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone)]
pub(super) struct Unusable {
    pub(super) at_fault: AtFault,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

/// Which file is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum AtFault {
    Certificate,
    Key,
    Ocsp,
}

impl Unusable {
    pub(super) fn certificate(message: impl Into<String>, hint: &'static str) -> Self {
        Self { at_fault: AtFault::Certificate, message: message.into(), hint }
    }

    fn key(message: &str, hint: &'static str) -> Self {
        Self { at_fault: AtFault::Key, message: message.to_owned(), hint }
    }

    fn ocsp(message: impl Into<String>) -> Self {
        let hint = "fetch a current response from the issuer's OCSP server, or remove `ocsp_file`";
        Self { at_fault: AtFault::Ocsp, message: message.into(), hint }
    }
}

impl<'a> Compiler<'a> {
    /// The certificates of `tenant`, whose id is `id`; those that cannot be used are reported and left out.
    pub(super) fn certificates(&mut self, id: &str, tenant: &'a desired::Tenant) -> Vec<crate::Certificate> {
        let usable = tenant.certificates.iter().filter_map(|certificate| {
            let what = format!("certificate `{}`", certificate.name);
            self.certificate(id, certificate.name.as_str(), &what, Files::of(certificate))
        });
        usable.map(|(certificate, _)| certificate).collect()
    }

    /// The certificate `name` of the tenant `id`, or `None` with a report in which it is called `what`.
    pub(super) fn certificate(
        &mut self,
        id: &str,
        name: &str,
        what: &str,
        files: Files<'a>,
    ) -> Option<(crate::Certificate, Arc<Loaded>)> {
        let loaded = self.load(what, files)?;
        if let Some(lapse) = loaded.chain.lapse.as_ref().filter(|_| !self.is_served(id, &loaded)) {
            self.unusable(what, files, lapse.clone());
        }
        let certificate = loaded.described(name, files.cert.as_str());
        Some((certificate, loaded))
    }

    /// Whether the tenant `id` is served with `loaded` whether it is valid or not.
    fn is_served(&self, id: &str, loaded: &Loaded) -> bool {
        match &self.inputs.lapsed {
            Lapsed::Refuse => false,
            Lapsed::Serve => true,
            Lapsed::ServeAsIn(snapshot) => snapshot
                .certificates()
                .any(|(tenant, served)| tenant == id && served.key.cert == loaded.key.cert),
        }
    }

    fn load(&mut self, what: &str, files: Files<'a>) -> Option<Arc<Loaded>> {
        let cert_pem = self.file("cert_file", files.cert);
        let key_pem = self.file("key_file", files.key);
        let ocsp = match files.ocsp {
            Some(path) => Some(self.file("ocsp_file", path)?),
            None => None,
        };
        let (cert_pem, key_pem) = (cert_pem?, key_pem?);
        let (provider, now) = (&self.provider, self.inputs.now);
        let loaded = self
            .certificates
            .by_files
            .entry(files.key())
            .or_insert_with(|| load(cert_pem, key_pem, ocsp, files.purpose, provider, now))
            .clone();
        match loaded {
            Ok(loaded) => Some(loaded),
            Err(unusable) => {
                self.unusable(what, files, unusable);
                None
            }
        }
    }

    fn unusable(&mut self, what: &str, files: Files<'_>, Unusable { at_fault, message, hint }: Unusable) {
        let file = match at_fault {
            AtFault::Certificate => files.cert,
            AtFault::Key => files.key,
            AtFault::Ocsp => files.ocsp.unwrap_or(files.cert),
        };
        self.report(file.position(), format!("{what}: {message}"), hint);
    }
}

/// Checks a certificate that was issued for `host` of `tenant` by `directory`, both files in PEM: it is whole, the key is its own, the
/// host is covered. Whether it is valid now is not looked at: one that lapsed is shown until it is renewed.
pub fn check_issued(
    tenant: &Arc<str>,
    host: &Hostname,
    directory: &str,
    cert_pem: &[u8],
    key_pem: &[u8],
) -> Result<IssuedCertificate, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let loaded = load(cert_pem, key_pem, None, Purpose::Server, &provider, SystemTime::now())
        .map_err(|unusable| unusable.message)?;
    if !loaded.covers(host) {
        return Err(format!("it does not cover `{host}` but {}", loaded.list_names()));
    }
    let certificate = crate::Certificate { is_ordered: true, ..loaded.described(host.as_str(), directory) };
    Ok(IssuedCertificate { tenant: tenant.clone(), certificate })
}

fn load(
    cert_pem: &[u8],
    key_pem: &[u8],
    ocsp: Option<&[u8]>,
    purpose: Purpose,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Arc<Loaded>, Unusable> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|_| Unusable::certificate("the file is not PEM", PEM_HINT))?;
    if certificates.is_empty() || certificates.len() > MAX_CHAIN {
        return Err(Unusable::certificate(
            format!("the file holds {} certificates", certificates.len()),
            PEM_HINT,
        ));
    }
    let chain = Chain::check(&certificates, purpose, provider, now)?;

    // The parser's own error may quote the file, so it is not shown.
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| {
        Unusable::key(
            "the file holds no private key in PEM",
            "put the key that belongs to the certificate there, unencrypted",
        )
    })?;
    let certified = CertifiedKey::from_der(certificates, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Unusable::key(
            "the key does not belong to the certificate",
            "put the key there that the certificate was made for",
        ),
        _ => Unusable::key(
            "the key cannot be used",
            "use an ECDSA P-256 or P-384, Ed25519, or RSA key of at least 2048 bits",
        ),
    })?;
    let staple = ocsp.map(|response| staple(response, &chain.serial, now)).transpose()?;
    Ok(Arc::new(Loaded { key: Arc::new(certified), staple, chain }))
}

/// The response for the certificate with this serial number. One that is past its time is no reason to refuse the state:
/// it is not shown, and its end is in the metrics.
fn staple(response: &[u8], serial: &[u8], now: SystemTime) -> Result<Staple, Unusable> {
    let read = OcspResponse::parse(response)
        .map_err(|why| Unusable::ocsp(format!("the OCSP response cannot be used: {why}")))?;
    let single = read
        .singles
        .iter()
        .find(|single| single.serial == serial)
        .ok_or_else(|| Unusable::ocsp("the OCSP response is for another certificate"))?;
    if single.status != CertStatus::Good {
        return Err(Unusable::ocsp(match single.status {
            CertStatus::Revoked => "the OCSP response says that the certificate is revoked",
            _ => "the OCSP response says that its issuer does not know the certificate",
        }));
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if single.this_update_unix_s > now {
        return Err(Unusable::ocsp("the OCSP response is not valid yet"));
    }
    let next_update_unix_s = single
        .next_update_unix_s
        .ok_or_else(|| Unusable::ocsp("the OCSP response does not say until when it holds"))?;
    Ok(Staple { response: response.into(), next_update_unix_s })
}

pub(super) const PEM_HINT: &str = "put the certificate there in PEM, followed by its intermediates";
