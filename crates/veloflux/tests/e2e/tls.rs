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
