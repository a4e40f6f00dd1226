//! TLS: versions, protocols, whose certificate is shown, and to whom.

use http::Request;
use rustls::version::{TLS12, TLS13};

use crate::harness::{Backend, Client, Edge, forward_to};

/// Two tenants: one with an exact name and a wildcard, one with an exact name.
async fn two_tenants(backend: &Backend) -> Edge {
    let mut edge = Edge::new().certificates(&["acme.test", "*.acme.test", "other.test"]);
    edge.set_tenant(
        "acme",
        &format!(
            "domains: [{{host: acme.test}}, {{host: '*.acme.test'}}]\n\
             certificates:\n\
             - {{name: exact, cert_file: certs/acme.test.pem, key_file: certs/acme.test.key}}\n\
             - {{name: wild, cert_file: certs/_wildcard.acme.test.pem, key_file: certs/_wildcard.acme.test.key}}\n{}",
            forward_to(&[backend])
        ),
    );
    edge.set_tenant(
        "other",
        "domains: [{host: other.test}]\n\
         certificates: [{name: one, cert_file: certs/other.test.pem, key_file: certs/other.test.key}]\n\
         routes: [{name: hello, respond: {body: other}}]",
    );
    edge.start().await
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        for alpn in ["h2", "http/1.1"] {
            let stream = edge.handshake_as("acme.test", &[alpn], &[version], true).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
            let (body, id) = if alpn == "h2" {
                let reply = crate::harness::Client2::over(stream).await.get("https://acme.test/").await;
                (reply.text().to_owned(), reply.header("x-request-id").unwrap().to_owned())
            } else {
                let response = Client::over(stream).get("acme.test", "/").await;
                (response.text().to_owned(), response.header("x-request-id").unwrap().to_owned())
            };
            assert_eq!(body, "b");
            let entry = edge.access(&id).await;
            assert_eq!(entry["tls"]["version"], name);
            assert_eq!(entry["tls"]["alpn"], alpn);
            assert_eq!(entry["tls"]["sni"], "acme.test");
        }
    }
}

#[tokio::test]
async fn the_certificate_follows_the_name_exact_before_wildcard() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    for (sni, stem) in
        [("acme.test", "acme.test"), ("Shop.acme.test", "_wildcard.acme.test"), ("other.test", "other.test")]
    {
        let stream = edge.handshake(sni, &[]).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], edge.certificate(stem), "{sni}");
        let host = sni.to_ascii_lowercase();
        assert_eq!(Client::over(stream).get(&host, "/").await.status, 200, "{sni}");
    }
}

#[tokio::test]
async fn names_that_nobody_has_are_shown_no_certificate() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    for (sni, send_sni) in [("nobody.test", true), ("a.b.acme.test", true), ("acme.test", false)] {
        let refused = edge.handshake_as(sni, &[], rustls::ALL_VERSIONS, send_sni).await.unwrap_err();
        assert!(refused.to_string().contains("alert"), "{sni}: {refused}");
    }
    edge.metric_becomes("veloflux_handshakes_failed_total", 3.0).await;
}

#[tokio::test]
async fn a_connection_serves_the_hosts_of_its_own_tenant_only() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    let mut client = edge.tls("acme.test").await;
    assert_eq!(client.get("other.test", "/").await.status, 421);
    assert_eq!(client.get("nobody.test", "/").await.status, 421);
    assert_eq!(client.get("shop.acme.test", "/").await.status, 200);

    let mut client = edge.h2("acme.test").await;
    assert_eq!(client.get("https://shop.acme.test/").await.text(), "b");
    assert_eq!(client.get("https://other.test/").await.status(), 421);
    // A refused stream is no reason to end the others.
    let again = Request::get("https://acme.test/").body(()).unwrap();
    assert_eq!(client.request(again).await.unwrap().text(), "b");
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn a_new_certificate_is_shown_while_old_connections_go_on() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    let old = edge.certificate("acme.test");
    let mut before = edge.tls("acme.test").await;
    assert_eq!(before.get("acme.test", "/").await.status, 200);
    edge.make_certificates(&["acme.test"]);
    edge.reload().await;
    let stream = edge.handshake("acme.test", &[]).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_ne!(shown, old);
    assert_eq!(shown, edge.certificate("acme.test"));
    assert_eq!(before.get("acme.test", "/").await.text(), "b");

    // Files that the state names are watched like itself.
    edge.make_certificates(&["acme.test"]);
    edge.said("file change").await;
    let stream = edge.handshake("acme.test", &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], edge.certificate("acme.test"));
    assert_eq!(before.get("acme.test", "/").await.text(), "b");
}

#[tokio::test]
async fn backends_over_tls_are_verified() {
    let edge = Edge::new().certificates(&["web.internal", "evil.internal"]);
    let good = Backend::start_tls(edge.backend_tls("web.internal"), async |_, s| s.answer(200, "good").await);
    let evil =
        Backend::start_tls(edge.backend_tls("evil.internal"), async |_, s| s.answer(200, "evil").await);
    let pool = |backend: &Backend| {
        format!(
            "pools: [{{name: web, tls: {{ca_file: certs/ca.pem, server_name: web.internal}}, \
             backends: [{{address: '{}'}}]}}]\nroutes: [{{name: all, forward: {{pool: web}}}}]",
            backend.address()
        )
    };
    let edge = edge
        .tenant("good", "good.test", &pool(&good))
        .tenant("evil", "evil.test", &pool(&evil))
        .start()
        .await;
    assert_eq!(edge.get("good.test", "/").await.text(), "good");
    assert_eq!(edge.get("evil.test", "/").await.status, 502);
    assert_eq!(evil.count(), 0);
}

#[tokio::test]
async fn the_redirect_listener_knows_its_hosts() {
    let backend = Backend::named("b");
    let edge = two_tenants(&backend).await;
    let mut client = Client::plain(edge.redirect()).await;
    let response = client.get("shop.acme.test:80", "/a/b?c=d&e=%20").await;
    assert_eq!(response.status, 308);
    assert_eq!(response.header("location"), Some("https://shop.acme.test/a/b?c=d&e=%20"));
    let response = client.get("nobody.test", "/a").await;
    assert_eq!((response.status, response.header("location")), (404, None));
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_redirect_leads_to_the_port_that_clients_reach() {
    let edge = Edge::new()
        .listener("protocol: redirect, https_port: 8443")
        .tenant("acme", "acme.test", "routes: [{name: hello, respond: {body: hello}}]")
        .start()
        .await;
    let response = Client::plain(edge.extra(0)).await.get("acme.test:80", "/a?b").await;
    assert_eq!((response.status, response.header("location")), (308, Some("https://acme.test:8443/a?b")));
}

/// Makes `HOST.pem` and `HOST.key` in the folder `certs` anew, as a certificate that expired long ago.
fn expire(edge: &Edge, host: &str) {
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(edge.path(&format!("certs/{host}.key")), key.serialize_pem()).unwrap();
    std::fs::write(edge.path(&format!("certs/{host}.pem")), certificate.pem()).unwrap();
}

fn with_certificate(host: &str) -> String {
    format!(
        "domains: [{{host: {host}}}]\n\
         certificates: [{{name: one, cert_file: certs/{host}.pem, key_file: certs/{host}.key}}]\n\
         routes: [{{name: hello, respond: {{body: hello}}}}]"
    )
}

#[tokio::test]
async fn one_expired_certificate_keeps_no_other_tenant_down() {
    let mut edge = Edge::new().process("reload: {watch: false}").certificates(&["old.test", "good.test"]);
    expire(&edge, "old.test");
    edge.set_tenant("old", &with_certificate("old.test"));
    edge.set_tenant("good", &with_certificate("good.test"));
    let mut edge = edge.start().await;
    let warned = edge.said("clients will refuse this certificate").await;
    assert_eq!(warned["level"], "WARN");
    assert_eq!((&warned["tenant"], &warned["certificate"]), (&"old".into(), &"one".into()));
    assert_eq!(
        (&warned["file"], &warned["not_after_unix_s"]),
        (&"certs/old.test.pem".into(), &1_580_515_200.into())
    );
    assert_eq!(edge.tls("good.test").await.get("good.test", "/").await.status, 200);
    // Its own clients see why.
    let refused = edge.handshake("old.test", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("expired"), "{refused}");
    let gauge = "veloflux_certificate_not_after_seconds{tenant=\"old\",certificate=\"one\"}";
    assert_eq!(edge.metric(gauge).await, Some(1_580_515_200.0));

    // While it stays the same it keeps no change out; a new one that is expired is refused.
    edge.set_tenant("good", &with_certificate("good.test").replace("body: hello", "body: changed"));
    edge.reload().await;
    assert_eq!(edge.tls("good.test").await.get("good.test", "/").await.text(), "changed");
    expire(&edge, "good.test");
    edge.signal(libc::SIGHUP);
    edge.said("the new state is refused").await;
    edge.metric_becomes("veloflux_reloads_total{result=\"refused\"}", 1.0).await;
    assert_eq!(edge.tls("good.test").await.get("good.test", "/").await.status, 200);
}
