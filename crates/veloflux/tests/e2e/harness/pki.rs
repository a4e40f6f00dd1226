//! Authorities of a test's own, and what they issue: client certificates good and bad, revocation lists, OCSP responses.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority. Its certificates are valid from 2020 to 2090 unless they say otherwise.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub(crate) pem: String,
    /// The same in DER; an intermediate's is what clients show after their own.
    pub(crate) der: CertificateDer<'static>,
}

/// A certificate with its chain and key.
pub(crate) struct Identity {
    /// Itself first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    /// The certificate and its chain in PEM.
    pub(crate) pem: String,
    /// The key in PEM.
    pub(crate) key_pem: String,
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).unwrap()
    }
}

/// What is to be issued.
pub(crate) struct Wanted<'a> {
    pub(crate) serial: u64,
    /// `dns:`, `uri:` or `email:` names.
    pub(crate) names: &'a [&'a str],
    /// First and last year.
    pub(crate) years: (i32, i32),
    pub(crate) for_servers: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { serial: 1, names: &["dns:client.test"], years: (2020, 2090), for_servers: false }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let own = params.self_signed(&key).unwrap();
        Self { pem: own.pem(), der: own.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// An authority under this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        params.serial_number = Some(SerialNumber::from(500));
        let own = params.signed_by(&key, &self.issuer).unwrap();
        Self { pem: own.pem(), der: own.der().clone(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Identity {
        let mut params = named(&format!("number {}", wanted.serial));
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        params.not_before = date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = date_time_ymd(wanted.years.1, 1, 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![if wanted.for_servers {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        let sans = wanted.names.iter().map(|name| {
            let (kind, name) = name.split_once(':').unwrap();
            let name = name.to_owned().try_into().unwrap();
            match kind {
                "dns" => SanType::DnsName(name),
                "uri" => SanType::URI(name),
                "email" => SanType::Rfc822Name(name),
                _ => panic!("{kind}"),
            }
        });
        params.subject_alt_names = sans.collect();
        let key = KeyPair::generate().unwrap();
        let issued = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![issued.der().clone()],
            key: key.serialize_der(),
            pem: issued.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The same with this authority's certificate after it, for one that is no root.
    pub(crate) fn issue_with_chain(&self, wanted: &Wanted<'_>) -> Identity {
        let mut identity = self.issue(wanted);
        identity.chain.push(self.der.clone());
        identity.pem.push_str(&self.pem);
        identity
    }

    /// A revocation list in PEM, good to the start of `until`.
    pub(crate) fn crl(&self, revoked: &[u64], until: i32) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: date_time_ymd(2021, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// An OCSP response for a serial number, good to the start of `until`, which says `status` (0: good, 1: revoked). Its
/// signature is nobody's: clients of tests look at the bytes.
pub(crate) fn ocsp_response(serial: &[u8], status: u8, until: i32) -> Vec<u8> {
    let time = |year: i32| der(0x18, &[format!("{year}0101000000Z").as_bytes()]);
    let algorithm = der(0x30, &[&der(0x06, &[&[0x2b, 0x0e, 0x03, 0x02, 0x1a]])]);
    let id =
        der(0x30, &[&algorithm, &der(0x04, &[&[1; 20]]), &der(0x04, &[&[2; 20]]), &der(0x02, &[serial])]);
    let status = match status {
        0 => der(0x80, &[]),
        _ => der(0xa1, &[&time(2021)]),
    };
    let single = der(0x30, &[&id, &status, &time(2020), &der(0xa0, &[&time(until)])]);
    let responder = der(0xa2, &[&der(0x04, &[&[3; 20]])]);
    let data = der(0x30, &[&responder, &time(2020), &der(0x30, &[&single])]);
    let basic = der(0x30, &[&data, &algorithm, &der(0x03, &[&[0], &[4; 64]])]);
    let kind = der(0x06, &[&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01]]);
    let bytes = der(0xa0, &[&der(0x30, &[&kind, &der(0x04, &[&basic])])]);
    der(0x30, &[&der(0x0a, &[&[0]]), &bytes])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..128 => out.push(short as u8),
        long => out.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    out.extend(content);
    out
}
