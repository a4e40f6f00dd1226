//! Certificates that are ordered and renewed by themselves, from a real authority's software with its faults on.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::harness::{Authority, Client, Edge, Manner, NEW_ORDER};

/// A tenant whose domains all have their certificates ordered.
fn auto(hosts: &[&str]) -> String {
    let domains: Vec<_> = hosts.iter().map(|host| format!("{{host: '{host}', certificate: auto}}")).collect();
    format!("domains: [{}]\nroutes: [{{name: hello, respond: {{body: hello}}}}]", domains.join(", "))
}

/// The process file's `acme`: the authorities in their order, and `rest`, a line per key.
fn acme(authorities: &[&Authority], rest: &str) -> String {
    let directories: Vec<_> = authorities
        .iter()
        .map(|authority| format!("{{url: '{}', ca_file: certs/ca.pem}}", authority.directory()))
        .collect();
    let rest: String = rest.lines().map(|line| format!("  {line}\n")).collect();
    format!("acme:\n  directories: [{}]\n  terms_of_service_agreed: true\n{rest}", directories.join(", "))
}

/// The certificate that a client is shown once there is one that leads to `root`.
async fn served(edge: &Edge, root: &CertificateDer<'static>, sni: &str) -> CertificateDer<'static> {
    let patience = Duration::from_secs(60);
    let shown = async {
        loop {
            if let Ok(stream) = edge.handshake_trusting(root, sni, &["http/1.1"]).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let stream =
        tokio::time::timeout(patience, shown).await.unwrap_or_else(|_| panic!("no certificate for {sni}"));
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(Client::over(stream).get(sni, "/").await.text(), "hello");
    shown
}

#[tokio::test]
async fn a_domain_is_proved_by_http_and_a_restart_orders_nothing() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "challenges: [http_01]"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    let first = served(&edge, &root, "acme.test").await;
    assert_eq!(authority.count(NEW_ORDER), 1);

    edge.signal(libc::SIGKILL);
    edge.ended().await;
    let edge = edge.start().await;
    // With the first connection, not after a while.
    let stream = edge.handshake_trusting(&root, "acme.test", &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], first);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(authority.count(NEW_ORDER), 1);
}
