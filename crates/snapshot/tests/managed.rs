//! Domains whose certificates are ordered: compiled without one, given what is issued, to their tenant alone.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod support;

use std::sync::Arc;

use support::{OFF, compiled, inputs, refused};
use veloflux_snapshot::Inputs;
use veloflux_snapshot::compile::{ManagedInputs, check_issued};
use veloflux_snapshot::managed::{IssuedCertificate, IssuedCertificates};

fn state() -> String {
    format!(
        "tenants:\n\
         - {{name: a, {OFF}, domains: [{{host: a.example, certificate: auto}}, {{host: '*.a.example', certificate: auto}}]}}\n\
         - {{name: b, {OFF}, domains: [{{host: b.example, certificate: auto}}, {{host: plain.example}}]}}\n"
    )
}

/// Somebody orders, and nothing or this was issued so far.
fn ordering(wildcards: bool, issued: &[&IssuedCertificate]) -> Inputs {
    let mut all = IssuedCertificates::default();
    for certificate in issued {
        all.insert((*certificate).clone());
    }
    Inputs { managed: Some(ManagedInputs { wildcards, issued: Arc::new(all) }), ..inputs() }
}

fn issued(tenant: &str, host: &str) -> IssuedCertificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let (cert, key) = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
    check_issued(&tenant.into(), &host.parse().unwrap(), "https://ca.example/dir", &cert, &key).unwrap()
}

#[test]
fn what_is_issued_is_presented_for_its_tenants_domain_alone() {
    let (own, foreign) = (issued("a", "a.example"), issued("a", "b.example"));
    let first = compiled(&state(), &ordering(true, &[]));
    assert_eq!(first.managed.len(), 3);
    assert!(first.hosts.get("a.example").unwrap().certificate.is_none());
    assert!(first.hosts.get("a.example").unwrap().config.is_none());

    let mut all = IssuedCertificates::default();
    all.insert(own.clone());
    all.insert(foreign.clone());
    let second = first.with_issued(&all);
    assert_eq!((first.revision, second.revision), (1, 2));
    let entry = second.hosts.get("a.example").unwrap();
    assert!(Arc::ptr_eq(entry.certificate.as_ref().unwrap(), &own.certificate.key));
    assert!(entry.config.is_some());
    assert!(second.hosts.get("b.example").unwrap().certificate.is_none(), "another tenant's certificate");
    assert!(second.hosts.get("x.a.example").unwrap().certificate.is_none());
    let listed: Vec<_> = second.certificates().map(|(tenant, c)| (tenant, &*c.name, c.is_ordered)).collect();
    assert_eq!(listed, [("a", "a.example", true)]);
    // A domain without news keeps what its handshakes run with.
    let third = second.with_issued(&all);
    let kept =
        [&second, &third].map(|snapshot| snapshot.hosts.get("a.example").unwrap().config.clone().unwrap());
    assert!(Arc::ptr_eq(&kept[0], &kept[1]));

    // A state that is compiled anew begins with what was issued.
    let again = compiled(&state(), &ordering(true, &[&own, &foreign]));
    assert!(again.hosts.get("a.example").unwrap().config.is_some());
    assert!(again.hosts.get("b.example").unwrap().config.is_none());
}

#[test]
fn a_domain_whose_certificate_nobody_can_order_is_an_error() {
    let nobody = refused(&state(), &inputs());
    assert!(nobody.contains("state.yaml:2:77: nobody orders a certificate for `a.example`"), "{nobody}");
    let no_wildcards = refused(&state(), &ordering(false, &[]));
    assert!(no_wildcards.contains("the wildcard `*.a.example` cannot be proved"), "{no_wildcards}");
    assert!(!no_wildcards.contains("`a.example`"), "{no_wildcards}");
}

#[test]
fn what_was_issued_has_to_be_whole() {
    let key = || rcgen::KeyPair::generate().unwrap();
    let (own, other) = (key(), key());
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let cert = params.self_signed(&own).unwrap().pem();
    let check = |host: &str, cert: &str, key: &rcgen::KeyPair| {
        let pem = key.serialize_pem();
        let (cert, key) = (cert.as_bytes(), pem.as_bytes());
        check_issued(&"a".into(), &host.parse().unwrap(), "https://ca.example/dir", cert, key).err()
    };
    assert_eq!(check("a.example", &cert, &own), None);
    assert!(check("a.example", &cert, &other).unwrap().contains("key"));
    assert!(check("b.example", &cert, &own).unwrap().contains("a.example"));
    assert!(check("a.example", "", &own).is_some());
}
