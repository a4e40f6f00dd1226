//! Certificates that are ordered and renewed by themselves, from a real authority's software with its faults on.

mod dns;
mod faults;
mod renewal;
mod storage;

use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::harness::{Authority, Client, EXTERNAL, Edge, Manner, NEW_ACCOUNT};

/// How long a test waits for an authority's decisions.
const PATIENCE: Duration = Duration::from_mins(1);

/// A tenant whose domains all have their certificates ordered.
fn auto(hosts: &[&str]) -> String {
    let domains: Vec<_> = hosts.iter().map(|host| format!("{{host: '{host}', certificate: auto}}")).collect();
    format!("domains: [{}]\nroutes: [{{name: hello, respond: {{body: hello}}}}]", domains.join(", "))
}

/// The process file's `acme`: the authorities in their order, and `rest`, a line per key.
fn acme(authorities: &[&Authority], rest: &str) -> String {
    let directory =
        |authority: &&Authority| format!("{{url: '{}', ca_file: certs/ca.pem}}", authority.directory());
    let directories: Vec<_> = authorities.iter().map(directory).collect();
    format!(
        "acme:\n  directories: [{}]\n  terms_of_service_agreed: true\n{}",
        directories.join(", "),
        indented(rest)
    )
}

fn indented(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().map(|line| format!("  {line}\n")).collect();
    lines.concat()
}

/// The certificate that a client is shown once there is one that leads to `root`.
async fn served(edge: &Edge, root: &CertificateDer<'static>, sni: &str) -> CertificateDer<'static> {
    let what = format!("a certificate for {sni}");
    let shown = async || edge.handshake_trusting(root, sni, &["http/1.1"]).await.ok();
    let stream = patiently(&what, shown).await;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(Client::over(stream).get(sni, "/").await.text(), "hello");
    shown
}

/// Looks until `look` sees something.
async fn patiently<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the edge has said `text` so many times.
async fn said(edge: &Edge, text: &str, times: usize) {
    patiently(text, async || (edge.count_said(text) >= times).then_some(())).await;
}

/// Ends the edge at once, as a crash would, and starts it again on its files.
async fn crashed(mut edge: Edge) -> Edge {
    edge.signal(libc::SIGKILL);
    edge.ended().await;
    edge.start().await
}

#[tokio::test]
async fn a_domain_is_proved_by_http_and_a_restart_orders_nothing() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "challenges: [http_01]"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    edge.said("the domain has no certificate yet").await;
    assert!(edge.handshake("acme.test", &[]).await.unwrap_err().to_string().contains("alert"));
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    let first = served(&edge, &root, "acme.test").await;
    assert_eq!(authority.orders(), 1);
    edge.metric_becomes("veloflux_acme_orders_total{result=\"issued\"}", 1.0).await;
    edge.metric_becomes("veloflux_acme_domains{state=\"served\"}", 1.0).await;
    let expiry = "veloflux_certificate_not_after_seconds{tenant=\"acme\",certificate=\"acme.test\"}";
    assert!(edge.metric(expiry).await.unwrap() > 1.7e9);

    let edge = crashed(edge).await;
    // With the first connection, not after a while.
    let stream = edge.handshake_trusting(&root, "acme.test", &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], first);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(authority.orders(), 1);
}

#[tokio::test]
async fn a_listener_that_redirects_answers_challenges_too_and_no_other_request_is_touched() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "challenges: [http_01]"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in_http(edge.redirect());
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    // What is nobody's token goes where it always went.
    let target = "/.well-known/acme-challenge/unknown";
    assert_eq!(edge.get("acme.test", target).await.text(), "hello");
    assert_eq!(Client::plain(edge.redirect()).await.get("acme.test", target).await.status, 308);
}

#[tokio::test]
async fn a_domain_is_proved_by_a_handshake_that_shows_strangers_nothing() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "challenges: [tls_alpn_01]\nkey_type: ecdsa_p384"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    served(&edge, &root, "acme.test").await;
    // Names that are not being proved, the tenant's own and unknown ones, are shown nothing and start nothing.
    for sni in ["acme.test", "nobody.test"] {
        let refused = edge.handshake_trusting(&root, sni, &["acme-tls/1"]).await.unwrap_err();
        assert!(refused.to_string().contains("alert"), "{sni}: {refused}");
    }
    // Beside other protocols it is none of the edge's.
    let stream = edge.handshake_trusting(&root, "acme.test", &["acme-tls/1", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(authority.orders(), 1);
}

#[tokio::test]
async fn accounts_are_bound_to_external_ones_and_belong_to_tenants_where_asked() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner { external_accounts: true, ..Manner::default() }).await;
    let (kid, key) = EXTERNAL;
    std::fs::write(edge.path("eab"), key).unwrap();
    let mut edge = edge.process(&format!(
        "acme:\n  directories:\n  - url: '{}'\n    ca_file: certs/ca.pem\n    external_account: {{kid: {kid}, hmac_key_file: eab}}\n\
         \x20 contact: ['mailto:ops@example.com']\n  terms_of_service_agreed: true\n  accounts: per_tenant",
        authority.directory()
    ));
    edge.set_tenant("a", &auto(&["a.test", "b.a.test"]));
    edge.set_tenant("b", &auto(&["b.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    for host in ["a.test", "b.a.test", "b.test"] {
        served(&edge, &root, host).await;
    }
    assert_eq!(edge.count_said("an account was made"), 2);
    let owners = edge.said("an account was made").await["owner"].clone();
    assert!(["a", "b"].contains(&owners.as_str().unwrap()));
}

#[tokio::test]
async fn an_account_that_is_not_bound_is_the_authoritys_refusal_and_orders_nothing() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner { external_accounts: true, ..Manner::default() }).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    said(&edge, "no certificate was obtained", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(authority.orders(), 0);
    assert!(authority.requests(NEW_ACCOUNT).len() <= 4, "it is asked again and again");
}

#[tokio::test]
async fn a_changed_state_brings_domains_and_a_broken_one_keeps_no_certificate_out() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    let root = authority.root(&edge).await;
    authority.let_in(&edge);
    served(&edge, &root, "acme.test").await;

    let slow = authority.requests("/").len();
    edge.set_tenant("acme", &auto(&["acme.test", "two.acme.test"]));
    edge.reload().await;
    edge.write_raw_state("tenants: [{name: ???}]");
    edge.signal(libc::SIGHUP);
    edge.said("the new state is refused").await;
    served(&edge, &root, "two.acme.test").await;
    assert!(authority.requests("/").len() > slow);
    assert_eq!(authority.orders(), 2);
}

#[tokio::test]
async fn two_hundred_domains_have_their_certificates_within_a_minute() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "limits: {orders_per_hour: 1000, orders_at_once: 16}"));
    let hosts: Vec<String> = (0..200).map(|number| format!("host-{number}.many.test")).collect();
    for (number, hosts) in hosts.chunks(20).enumerate() {
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        edge.set_tenant(&format!("tenant-{number}"), &auto(&hosts));
    }
    let begun = Instant::now();
    let edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    patiently("200 certificates", async || {
        let served = edge.metric("veloflux_acme_domains{state=\"served\"}").await;
        (served == Some(200.0)).then_some(())
    })
    .await;
    println!("200 domains: {:?}", begun.elapsed());
    for host in hosts.iter().step_by(37) {
        served(&edge, &root, host).await;
    }
    assert_eq!(authority.orders(), 200);
    assert_eq!(edge.metric("veloflux_acme_orders_total{result=\"failed\"}").await, Some(0.0));

    let begun = Instant::now();
    let edge = crashed(edge).await;
    println!("started again with 200 certificates: {:?}", begun.elapsed());
    assert_eq!(edge.metric("veloflux_acme_domains{state=\"served\"}").await, Some(200.0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(authority.orders(), 200);
}

#[tokio::test]
async fn certificates_are_listed_with_what_went_wrong() {
    let edge = Edge::new().certificates(&["own.test"]);
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant(
        "acme",
        "domains: [{host: own.test, certificate: own}, {host: good.test, certificate: auto}]\n\
         certificates: [{name: own, cert_file: certs/own.test.pem, key_file: certs/own.test.key}]\n\
         routes: [{name: hello, respond: {body: hello}}]",
    );
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    served(&edge, &authority.root(&edge).await, "good.test").await;
    authority.let_in_http(([127, 0, 0, 1], 9).into());
    edge.set_tenant("late", &auto(&["late.test"]));
    edge.reload().await;
    said(&edge, "no certificate was obtained", 1).await;
    let list = async || {
        let output = std::process::Command::new(crate::harness::PROGRAM)
            .args(["certificates", "--json", "--process"])
            .arg(edge.path("veloflux.yaml"))
            .output()
            .unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (!rows[2]["last_error"].is_null()).then_some(rows)
    };
    let rows = patiently("the status is written", list).await;
    let of = |row: usize, key: &str| rows[row][key].as_str().unwrap_or("-").to_owned();
    assert_eq!((of(0, "name"), of(0, "source")), ("good.test".to_owned(), authority.directory()));
    assert!(of(0, "next_renewal") < of(0, "not_after") && of(0, "not_after").ends_with('Z'), "{rows}");
    assert_eq!((of(1, "name"), of(1, "source")), ("own".to_owned(), "certs/own.test.pem".to_owned()));
    assert_eq!((of(2, "tenant"), of(2, "source")), ("late".to_owned(), "none yet".to_owned()));
    assert!(of(2, "last_error").contains("the domain was not certified"), "{rows}");
}
