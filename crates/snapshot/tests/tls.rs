//! Certificates, OCSP responses and TLS policies through the public door.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
};
use support::{OFF, compiled, inputs, refused};
use veloflux_model::value::TlsVersion;
use veloflux_snapshot::compile::{CertStatus, OcspResponse};
use veloflux_snapshot::tls::ClientAuthId;
use veloflux_snapshot::{Inputs, Lapsed};

const STATE: &str = "
    domains: [{host: shop.example}]
    certificates: [{name: a, cert_file: a.pem, key_file: a.key}]
";

fn state(tenant: &str) -> String {
    format!("tenants:\n  - name: acme\n    {OFF}{tenant}")
}

fn put(inputs: &mut Inputs, file: &str, content: impl Into<Vec<u8>>) {
    inputs.files.insert(file.to_owned(), Ok(content.into()));
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with its key, in PEM.
    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn crl(&self, number: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

#[test]
fn chains_are_verified_link_by_link() {
    let (one, other) = (Authority::new("authority"), Authority::new("authority"));
    let (own, key) = one.issue(&params("shop.example"));
    let mut inputs = inputs();
    put(&mut inputs, "a.key", key);
    let mut refused_with = |chain: String, expected: &str| {
        put(&mut inputs, "a.pem", chain);
        let report = refused(&state(STATE), &inputs);
        assert!(
            report.contains("state.yaml:5:41: certificate `a`: ") && report.contains(expected),
            "{report}"
        );
    };
    refused_with(format!("{own}{}", Authority::new("stranger").pem), "which follows it");
    // The names fit, the signature does not.
    refused_with(format!("{own}{}", other.pem), "was not signed by the one that follows it");
    refused_with(format!("{}{own}", one.pem), "which follows it");
    put(&mut inputs, "a.pem", format!("{own}{}", one.pem));
    compiled(&state(STATE), &inputs);
    put(&mut inputs, "a.pem", own);
    assert_eq!(compiled(&state(STATE), &inputs).tenants[0].certificates[0].missing_issuer, None);
}

#[test]
fn what_no_client_takes_is_refused() {
    let mut inputs = inputs();
    // These were made when they were checked in.
    inputs.now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 60);
    put(&mut inputs, "a.key", KeyPair::generate().unwrap().serialize_pem());
    put(&mut inputs, "a.pem", *include_bytes!("data/rsa-1024.pem"));
    assert!(refused(&state(STATE), &inputs).contains("has an RSA key of 1024 bits"));
    put(&mut inputs, "a.pem", *include_bytes!("data/sha1.pem"));
    assert!(refused(&state(STATE), &inputs).contains("is signed with a broken digest"));
    let mut for_clients = params("shop.example");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (own, key) = Authority::new("authority").issue(&for_clients);
    put(&mut inputs, "a.pem", own);
    put(&mut inputs, "a.key", key);
    assert!(refused(&state(STATE), &inputs).contains("is not for servers"));
}

#[test]
fn a_public_certificate_without_its_intermediate_is_noticed() {
    // AuthorityInfoAccess with one caIssuers URL.
    let access =
        [b"\x30\x1a\x30\x18\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x0c".as_slice(), b"http://a/b/c"];
    let mut public = params("shop.example");
    public.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access.concat())];
    let authority = Authority::new("authority");
    let (own, key) = authority.issue(&public);
    let mut inputs = inputs();
    put(&mut inputs, "a.key", key);
    put(&mut inputs, "a.pem", own.clone());
    let missing =
        |inputs: &Inputs| compiled(&state(STATE), inputs).tenants[0].certificates[0].missing_issuer.clone();
    assert!(missing(&inputs).unwrap().contains("CN=authority"));
    put(&mut inputs, "a.pem", own + &authority.pem);
    assert_eq!(missing(&inputs), None);
}

#[test]
fn policies_are_refined_and_shared() {
    let mut inputs = inputs();
    let (own, key) = Authority::new("authority").issue(&{
        let mut params = params("a.example");
        params.subject_alt_names.push(rcgen::SanType::DnsName("*.example".try_into().unwrap()));
        params
    });
    put(&mut inputs, "a.pem", own);
    put(&mut inputs, "a.key", key);
    let snapshot = compiled(
        &state(
            "
    tls: {min_version: 1.3, hsts: {max_age: 1d}}
    certificates: [{name: a, cert_file: a.pem, key_file: a.key}]
    domains:
      - {host: a.example}
      - {host: b.example}
      - {host: c.example, tls: {min_version: 1.2, http2: false}}
",
        ),
        &inputs,
    );
    let host = |name: &str| snapshot.hosts.get(name).unwrap();
    let config = |name: &str| host(name).config.clone().unwrap();
    assert!(Arc::ptr_eq(&config("a.example"), &config("b.example")));
    assert_eq!(host("a.example").tls.min_version, TlsVersion::Tls13);
    assert_eq!(host("c.example").tls.min_version, TlsVersion::Tls12);
    assert_eq!(host("c.example").tls.hsts.as_deref(), Some("max-age=86400"));
    assert_eq!(config("a.example").alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(config("c.example").alpn_protocols, [b"http/1.1".to_vec()]);
    // Resumption: one keyring for one policy, none for two.
    let (a, b, c) = (config("a.example"), config("b.example"), config("c.example"));
    let ticket = a.ticketer.encrypt(b"session").unwrap();
    assert_eq!(b.ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(c.ticketer.decrypt(&ticket), None);
}

#[test]
fn whoever_is_accepted_decides_what_a_policy_is_known_by() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let mut inputs = inputs();
    for (file, content) in [
        ("one.pem", one.pem.clone()),
        ("both.pem", one.pem.clone() + &other.pem),
        ("one.crl", one.crl(1)),
        ("newer.crl", one.crl(2)),
    ] {
        put(&mut inputs, file, content);
    }
    let id = |settings: &str| -> ClientAuthId {
        let state = state(&format!(
            "\n    domains: [{{host: shop.example}}]\n    tls: {{client_auth: {{{settings}}}}}\n"
        ));
        compiled(&state, &inputs).hosts.get("shop.example").unwrap().tls.client_auth.as_ref().unwrap().id
    };
    let all = [
        "ca_file: one.pem",
        "ca_file: one.pem, mode: optional",
        "ca_file: both.pem",
        "ca_file: one.pem, crl_files: [one.crl]",
        "ca_file: one.pem, crl_files: [newer.crl]",
        "ca_file: one.pem, crl_files: [newer.crl], expired_crl: accept",
        "ca_file: one.pem, allowed_names: ['dns:a.example', 'dns:b.example']",
        "ca_file: one.pem, allowed_names: ['dns:a.example']",
    ];
    let ids: Vec<_> = all.iter().map(|settings| id(settings)).collect();
    for (number, own) in ids.iter().enumerate() {
        assert_eq!(ids.iter().filter(|other| *other == own).count(), 1, "{}", all[number]);
        assert_eq!(id(all[number]), *own);
    }
    // What backends are told, and the order of names, decide nothing.
    assert_eq!(id("ca_file: one.pem, forward: chain"), ids[0]);
    assert_eq!(id("ca_file: one.pem, allowed_names: ['dns:b.example', 'dns:a.example']"), ids[6]);
}

#[test]
fn a_list_past_its_end_is_refused_when_it_is_new_and_kept_where_it_was_served() {
    let authority = Authority::new("one");
    let mut inputs = inputs();
    put(&mut inputs, "one.pem", authority.pem.clone());
    put(&mut inputs, "one.crl", authority.crl(1));
    let text = state(
        "
    domains: [{host: shop.example}]
    tls: {client_auth: {ca_file: one.pem, crl_files: [one.crl]}}
",
    );
    let served = Arc::new(compiled(&text, &inputs));
    let list = &served.tenants[0].revocation_lists[0];
    assert_eq!((&*list.file, list.next_update_unix_s), ("one.crl", Some(3_786_912_000)));
    inputs.now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 121);
    assert!(refused(&text, &inputs).contains("the revocation list `one.crl` ended on"));
    inputs.lapsed = Lapsed::ServeAsIn(served);
    compiled(&text, &inputs);
    put(&mut inputs, "one.crl", authority.crl(2));
    assert!(refused(&text, &inputs).contains("the revocation list `one.crl` ended on"));
    inputs.now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    assert!(refused(&text, &inputs).contains("is not valid before"));
}

/// Made by `openssl ocsp` for the serial number 7.
const OCSP: &[u8] = include_bytes!("data/ocsp-good.der");

#[test]
fn a_responders_answer_is_read() {
    let read = OcspResponse::parse(OCSP).unwrap();
    let [single] = &read.singles[..] else { panic!("{read:?}") };
    assert_eq!((&single.serial[..], single.status), (&[7][..], CertStatus::Good));
    assert_eq!(single.next_update_unix_s.unwrap() - single.this_update_unix_s, 20_000 * 24 * 60 * 60);
    assert!(OcspResponse::parse(&OCSP[..OCSP.len() - 1]).is_err());
    assert!(OcspResponse::parse(&[OCSP, &[0]].concat()).is_err());
    // tryLater, RFC 6960 section 4.2.1.
    assert_eq!(OcspResponse::parse(&[0x30, 3, 0x0a, 1, 3]), Err("it says that the responder failed"));
}

#[test]
fn a_serial_number_has_digits() {
    let place = |bytes: &[u8]| OCSP.windows(bytes.len()).position(|window| window == bytes).unwrap();
    let mut damaged = OCSP.to_vec();
    // The number ends before its digit, which moves into the status that follows.
    damaged[place(b"\x30\x09\x06\x05\x2b\x0e") - 1] -= 1;
    let at = place(b"\x02\x01\x07\x80\x00");
    damaged[at..at + 5].copy_from_slice(b"\x02\x00\x80\x01\x00");
    assert!(OcspResponse::parse(&damaged).is_err());
}

proptest! {
    #[test]
    fn a_damaged_response_is_refused_or_about_a_certificate(
        damage in proptest::collection::vec((0..OCSP.len(), any::<u8>()), 1..4),
        cut in 0..OCSP.len(),
    ) {
        let mut damaged = OCSP.to_vec();
        for (at, byte) in damage {
            damaged[at] = byte;
        }
        prop_assert!(OcspResponse::parse(&damaged[..cut]).is_err());
        if let Ok(read) = OcspResponse::parse(&damaged) {
            prop_assert!(!read.singles.is_empty());
            prop_assert!(read.singles.iter().all(|single| !single.serial.is_empty()));
        }
    }
}
