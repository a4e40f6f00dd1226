//! TLS to backends: what they are shown, who they have to be, and that health checks ask the same way.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;

use crate::harness::pki::{Authority, Identity, Wanted, ocsp_response};
use crate::harness::{Backend, Client, Edge, until};

/// A backend with this certificate that serves only clients whose certificate `clients` has issued.
fn demanding(own: &Identity, clients: &Authority) -> Backend {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.der.clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain.clone(), own.key())
        .unwrap();
    Backend::start_tls(Arc::new(config), async |_, socket| socket.answer(200, "b").await)
}

fn server(authority: &Authority, name: &str) -> Identity {
    authority.issue(&Wanted { names: &[&format!("dns:{name}")], for_servers: true, ..Wanted::default() })
}

fn pool(backend: &Backend, tls: &str, more: &str) -> String {
    format!(
        "pools: [{{name: web, tls: {{{tls}}}, backends: [{{address: '{}'}}]{more}}}]\n\
         routes: [{{name: all, forward: {{pool: web}}}}]",
        backend.address()
    )
}

const SHOWN: &str = "client_certificate: {cert_file: edge.pem, key_file: edge.key}";

#[tokio::test]
async fn backends_that_demand_a_certificate_are_shown_the_pools() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("edges"));
    let backend = demanding(&server(&servers, "web.internal"), &clients);
    let mut edge = Edge::new();
    let own = clients.issue(&Wanted::default());
    let stranger = servers.issue(&Wanted::default());
    for (file, content) in [
        ("servers.pem", &servers.pem),
        ("clients.pem", &clients.pem),
        ("edge.pem", &own.pem),
        ("edge.key", &own.key_pem),
        ("stranger.pem", &stranger.pem),
        ("stranger.key", &stranger.key_pem),
    ] {
        std::fs::write(edge.path(file), content).unwrap();
    }
    let right = "ca_file: servers.pem, server_name: web.internal";
    let cases = [
        ("right", format!("{right}, {SHOWN}"), 200),
        ("none", right.to_owned(), 502),
        (
            "stranger",
            format!("{right}, client_certificate: {{cert_file: stranger.pem, key_file: stranger.key}}"),
            502,
        ),
        // Pinned to another authority than the backend's.
        ("pinned", format!("ca_file: clients.pem, server_name: web.internal, {SHOWN}"), 502),
        // Asked for by one name, verified by another.
        (
            "renamed",
            format!("ca_file: servers.pem, server_name: any.example, verified_name: web.internal, {SHOWN}"),
            200,
        ),
        ("misnamed", format!("{right}, verified_name: other.internal, {SHOWN}"), 502),
        // The web's authorities do not know a private one.
        ("public", format!("server_name: web.internal, {SHOWN}"), 502),
    ];
    let check = ", health_check: {interval: 100ms, timeout: 90ms, rise: 1, fall: 1}";
    for (name, tls, _) in &cases {
        let host = format!("{name}.test");
        edge.set_tenant(name, &format!("domains: [{{host: {host}}}]\n{}", pool(&backend, tls, "")));
        let checked = format!("domains: [{{host: checked-{host}}}]\n{}", pool(&backend, tls, check));
        edge.set_tenant(&format!("checked-{name}"), &checked);
    }
    let edge = edge.start().await;
    for (name, _, status) in &cases {
        assert_eq!(edge.get(&format!("{name}.test"), "/").await.status, *status, "{name}");
        // Health checks come to the same end.
        let health = format!(
            "veloflux_backend_health{{tenant=\"checked-{name}\",pool=\"web\",backend=\"{}\"}}",
            backend.address()
        );
        edge.metric_becomes(&health, f64::from(u8::from(*status == 200))).await;
    }
    let gauge = "veloflux_certificate_not_after_seconds{tenant=\"right\",certificate=\"pool:web\"}";
    assert_eq!(edge.metric(gauge).await, Some(3_786_912_000.0));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_broken_one_keeps_the_old() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("edges"));
    let backend = demanding(&server(&servers, "web.internal"), &clients);
    let mut edge = Edge::new();
    let write = |edge: &Edge, identity: &Identity| {
        std::fs::write(edge.path("edge.pem"), &identity.pem).unwrap();
        std::fs::write(edge.path("edge.key"), &identity.key_pem).unwrap();
    };
    std::fs::write(edge.path("servers.pem"), &servers.pem).unwrap();
    write(&edge, &clients.issue(&Wanted::default()));
    let tls = format!("ca_file: servers.pem, server_name: web.internal, {SHOWN}");
    edge.set_tenant("acme", &format!("domains: [{{host: acme.test}}]\n{}", pool(&backend, &tls, "")));
    let edge = edge.start().await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
    // One that the backend does not take is the backend's to refuse, on new connections.
    write(&edge, &servers.issue(&Wanted::default()));
    edge.reload().await;
    assert_eq!(edge.get("acme.test", "/").await.status, 502);
    write(&edge, &clients.issue(&Wanted { serial: 2, ..Wanted::default() }));
    edge.reload().await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
    // These are refused by the edge itself.
    let good = std::fs::read(edge.path("edge.key")).unwrap();
    for (identity, why) in [
        (clients.issue(&Wanted { years: (2020, 2021), ..Wanted::default() }), "expired on"),
        (server(&clients, "edge.internal"), "is not for clients"),
    ] {
        write(&edge, &identity);
        edge.signal(libc::SIGHUP);
        edge.said(why).await;
        assert_eq!(edge.get("acme.test", "/").await.status, 200, "{why}");
    }
    write(&edge, &clients.issue(&Wanted { serial: 3, ..Wanted::default() }));
    std::fs::write(edge.path("edge.key"), good).unwrap();
    edge.signal(libc::SIGHUP);
    edge.said("the key does not belong to the certificate").await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
    until("everything arrived", || (backend.count() == 5).then_some(())).await;
}

const DOCUMENT: &str = include_str!("../../../../docs/tenants.md");

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    let example = DOCUMENT.split("```yaml\n").find(|part| part.contains("client_auth:")).unwrap();
    let example = example.split("```").next().unwrap();
    let (internal, partners) = (Authority::new("internal"), Authority::new("partners"));
    let backend = demanding(&server(&internal, "core.internal"), &internal);
    let edge = Edge::new().process("reload: {watch: false}");
    let names = ["dns:www.bank.example", "dns:api.bank.example"];
    let bank = internal.issue(&Wanted { serial: 9, names: &names, for_servers: true, ..Wanted::default() });
    let own = internal.issue(&Wanted::default());
    let files: [(&str, Vec<u8>); 9] = [
        ("partners.pem", partners.pem.clone().into()),
        ("partners.crl", partners.crl(&[], 2090).into()),
        ("bank.pem", bank.pem.clone().into()),
        ("bank.key", bank.key_pem.clone().into()),
        ("bank.ocsp", ocsp_response(&[9], 0, 2090)),
        ("internal-ca.pem", internal.pem.clone().into()),
        ("edge.pem", own.pem.clone().into()),
        ("edge.key", own.key_pem.clone().into()),
        // For the harness's clients.
        ("certs/ca.pem", internal.pem.clone().into()),
    ];
    std::fs::create_dir(edge.path("certs")).unwrap();
    for (file, content) in files {
        std::fs::write(edge.path(file), content).unwrap();
    }
    let edge = edge.start().await;
    let off = "\n    firewall: {mode: off}\n    pools:";
    let example =
        example.replace("127.0.0.1:8443", &backend.address().to_string()).replace("\n    pools:", off);
    edge.write_raw_state(&example);
    edge.signal(libc::SIGHUP);
    edge.metric_becomes("veloflux_revision", 2.0).await;

    let partner = partners.issue(&Wanted { names: &["dns:a.partners.example"], ..Wanted::default() });
    for (client, host, target, status) in [
        (None, "www.bank.example", "/", 200),
        (None, "www.bank.example", "/payments", 200),
        (None, "api.bank.example", "/", 200),
        (None, "api.bank.example", "/payments/1", 403),
        (Some(&partner), "api.bank.example", "/payments/1", 200),
    ] {
        let config = edge.client_tls_as(&["http/1.1"], rustls::ALL_VERSIONS, client);
        let mut connection = Client::over(edge.connect(config, host).await.unwrap());
        let response = connection.get(host, target).await;
        let hsts = "max-age=31536000; includeSubDomains";
        assert_eq!(response.header("strict-transport-security"), Some(hsts), "{host}{target}");
        assert_eq!(response.status, status, "{host}{target}");
        let told = backend.requests().pop().unwrap().header("client-cert").is_some();
        assert_eq!(told, client.is_some());
    }
}
