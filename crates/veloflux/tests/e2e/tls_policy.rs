//! TLS policies: versions, protocols, strict transport security, resumption and its keys, stapled responses, and what
//! clients see that ask for nobody.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, HandshakeKind, NamedGroup, SignatureScheme};
use tokio_rustls::client::TlsStream;

use crate::harness::pki::{Authority, Wanted, ocsp_response};
use crate::harness::{Backend, Client, Client2, Edge, forward_to};

/// A tenant with these domains (name and TLS settings), each with a certificate of its own.
fn with_domains(edge: &mut Edge, domains: &[(&str, &str)], rest: &str) {
    let hosts: Vec<&str> = domains.iter().map(|(host, _)| *host).collect();
    edge.make_certificates(&hosts);
    let listed: Vec<_> =
        domains.iter().map(|(host, tls)| format!("{{host: {host}, tls: {{{tls}}}}}")).collect();
    let certificates: Vec<_> = hosts
        .iter()
        .map(|host| format!("{{name: {host}, cert_file: certs/{host}.pem, key_file: certs/{host}.key}}"))
        .collect();
    edge.set_tenant(
        "acme",
        &format!("domains: [{}]\ncertificates: [{}]\n{rest}", listed.join(", "), certificates.join(", ")),
    );
}

const HELLO: &str = "routes: [{name: hello, respond: {body: hello}}]";

#[tokio::test]
async fn versions_and_protocols_differ_by_domain() {
    let mut edge = Edge::new();
    with_domains(&mut edge, &[("new.test", "min_version: 1.3, http2: false"), ("old.test", "")], HELLO);
    let edge = edge.start().await;
    let refused = edge.handshake_as("new.test", &[], &[&TLS12], true).await.unwrap_err().to_string();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    let stream = edge.handshake("new.test", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(edge.handshake("new.test", &["h2"]).await.is_err());
    assert!(edge.handshake_as("old.test", &["h2"], &[&TLS12], true).await.is_ok());
    // A connection in the older version does not serve the host that is above it.
    let mut client =
        Client::over(edge.handshake_as("old.test", &["http/1.1"], &[&TLS12], true).await.unwrap());
    assert_eq!(client.get("old.test", "/").await.status, 200);
    assert_eq!(client.get("new.test", "/").await.status, 421);
    let mut client = edge.tls("old.test").await;
    assert_eq!(client.get("new.test", "/").await.status, 200);
}

#[tokio::test]
async fn the_operators_minimum_holds_for_all() {
    let mut edge = Edge::new().state("tls: {min_version: 1.3}");
    with_domains(&mut edge, &[("acme.test", "")], HELLO);
    let edge = edge.start().await;
    assert!(edge.handshake_as("acme.test", &[], &[&TLS12], true).await.is_err());
    assert!(edge.handshake("acme.test", &[]).await.is_ok());
}

#[tokio::test]
async fn key_exchange_is_post_quantum_where_the_client_can() {
    let mut edge = Edge::new();
    with_domains(&mut edge, &[("acme.test", "")], HELLO);
    let edge = edge.start().await;
    let stream = edge.handshake("acme.test", &[]).await.unwrap();
    let group =
        stream.get_ref().1.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

#[tokio::test]
async fn strict_transport_security_replaces_the_backends_and_stays_off_plain_listeners() {
    let backend = Backend::start(async |_, socket| {
        socket
            .send("HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n")
            .await
    });
    let mut edge = Edge::new();
    let settings = "hsts: {max_age: 365d, include_subdomains: true, preload: true}";
    with_domains(&mut edge, &[("acme.test", settings), ("silent.test", "")], &forward_to(&[&backend]));
    let edge = edge.start().await;
    let expected = "max-age=31536000; includeSubDomains; preload";
    let header = "strict-transport-security";
    assert_eq!(edge.tls("acme.test").await.get("acme.test", "/").await.header(header), Some(expected));
    let reply = edge.h2("acme.test").await.get("https://acme.test/").await;
    let values: Vec<_> = reply.head.headers().get_all(header).iter().collect();
    assert_eq!(values, [expected]);
    // On refusals, too.
    let mut client = edge.tls("acme.test").await;
    client.send("GET /\u{1} HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    let mut client = edge.tls("acme.test").await;
    client.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 99999999999\r\n\r\n").await;
    let refused = client.response().await;
    assert_eq!((refused.status, refused.header(header)), (413, Some(expected)));
    // Without the setting the backend's own stays, and without TLS nobody speaks of it (RFC 6797 section 7.2).
    assert_eq!(edge.tls("silent.test").await.get("silent.test", "/").await.header(header), Some("max-age=1"));
    assert_eq!(edge.get("acme.test", "/").await.header(header), None);
}

/// Exchanges a request, so that tickets arrive, and says how the handshake went.
async fn kind(stream: TlsStream<tokio::net::TcpStream>, host: &str) -> HandshakeKind {
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    assert_eq!(Client::over(stream).get(host, "/").await.status, 200);
    kind
}

#[tokio::test]
async fn sessions_resume_under_their_own_policy_only() {
    let clients = Authority::new("clients");
    let client = clients.issue(&Wanted::default());
    for version in [&TLS13, &TLS12] {
        let mut edge = Edge::new();
        std::fs::write(edge.path("clients.pem"), &clients.pem).unwrap();
        std::fs::write(edge.path("more.pem"), clients.pem.clone() + &Authority::new("more").pem).unwrap();
        let settings = |tls: &'static str| [("a.test", tls), ("b.test", tls)];
        let optional = "client_auth: {mode: optional, ca_file: clients.pem}";
        let required = "client_auth: {ca_file: clients.pem}";
        let others = "client_auth: {ca_file: more.pem}";
        with_domains(&mut edge, &settings(""), HELLO);
        let mut edge = edge.start().await;
        // One configuration keeps its tickets, by server name.
        let config = edge.client_tls_as(&["http/1.1"], &[version], Some(&client));
        assert_eq!(
            kind(edge.connect(config.clone(), "a.test").await.unwrap(), "a.test").await,
            HandshakeKind::Full
        );
        let again = kind(edge.connect(config.clone(), "a.test").await.unwrap(), "a.test").await;
        assert_eq!(again, HandshakeKind::Resumed);
        // A reload that changes nothing here keeps the keys.
        edge.reload().await;
        let again = kind(edge.connect(config.clone(), "a.test").await.unwrap(), "a.test").await;
        assert_eq!(again, HandshakeKind::Resumed);
        // Each of these policies asks anew, and then resumes its own sessions.
        for tls in [optional, required, others, ""] {
            with_domains(&mut edge, &settings(tls), HELLO);
            edge.reload().await;
            let first = kind(edge.connect(config.clone(), "a.test").await.unwrap(), "a.test").await;
            assert_ne!(first, HandshakeKind::Resumed, "{tls}");
            let again = kind(edge.connect(config.clone(), "a.test").await.unwrap(), "a.test").await;
            assert_eq!(again, HandshakeKind::Resumed, "{tls}");
        }
        // A ticket of one name is not good for another of the same policy.
        let moved = edge.client_tls_as(&["http/1.1"], &[version], None);
        let moved = with_store(moved, Arc::new(OneForAll::default()));
        kind(edge.connect(moved.clone(), "a.test").await.unwrap(), "a.test").await;
        assert_ne!(
            kind(edge.connect(moved.clone(), "b.test").await.unwrap(), "b.test").await,
            HandshakeKind::Resumed
        );
        assert_eq!(
            kind(edge.connect(moved, "b.test").await.unwrap(), "b.test").await,
            HandshakeKind::Resumed
        );
    }
}

fn with_store(
    mut config: rustls::ClientConfig,
    store: Arc<dyn rustls::client::ClientSessionStore>,
) -> rustls::ClientConfig {
    config.resumption = rustls::client::Resumption::store(store)
        .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOrTickets);
    config
}

/// Keeps the last session, whoever it was for, and offers it to everybody.
#[derive(Debug, Default)]
struct OneForAll {
    tls12: Mutex<Option<rustls::client::Tls12ClientSessionValue>>,
    tls13: Mutex<Option<rustls::client::Tls13ClientSessionValue>>,
}

impl rustls::client::ClientSessionStore for OneForAll {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: rustls::client::Tls12ClientSessionValue) {
        *self.tls12.lock().unwrap() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.tls12.lock().unwrap().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: rustls::client::Tls13ClientSessionValue) {
        *self.tls13.lock().unwrap() = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.tls13.lock().unwrap().take()
    }
}

#[tokio::test]
async fn ticket_keys_rotate_and_old_ones_are_forgotten() {
    let mut edge = Edge::new().state("tls: {ticket_rotation: 1s}");
    with_domains(&mut edge, &[("acme.test", "")], HELLO);
    let edge = edge.start().await;
    let config = edge.client_tls(&["http/1.1"], &[&TLS12]);
    let connect = async || kind(edge.connect(config.clone(), "acme.test").await.unwrap(), "acme.test").await;
    connect().await;
    assert_eq!(connect().await, HandshakeKind::Resumed);
    // A key makes tickets for a second and opens them for another, both in whole seconds.
    let ticket = with_store(config.clone(), Arc::new(OneForAll::default()));
    kind(edge.connect(ticket.clone(), "acme.test").await.unwrap(), "acme.test").await;
    // The rotation happens as handshakes come.
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        let other = edge.client_tls(&["http/1.1"], &[&TLS12]);
        kind(edge.connect(other, "acme.test").await.unwrap(), "acme.test").await;
    }
    let late = kind(edge.connect(ticket, "acme.test").await.unwrap(), "acme.test").await;
    assert_eq!(late, HandshakeKind::Full);
}

/// Remembers the OCSP response that comes with the certificate; believes everybody.
#[derive(Debug, Default)]
struct SeesStaple(Mutex<Vec<u8>>);

impl ServerCertVerifier for SeesStaple {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The OCSP response that a client is shown.
async fn staple(edge: &Edge, version: &'static rustls::SupportedProtocolVersion) -> Vec<u8> {
    let mut config = edge.client_tls(&["http/1.1"], &[version]);
    let seen = Arc::new(SeesStaple::default());
    config.dangerous().set_certificate_verifier(seen.clone());
    edge.connect(config, "acme.test").await.unwrap();
    seen.0.lock().unwrap().clone()
}

#[tokio::test]
async fn a_supplied_ocsp_response_is_stapled_while_it_is_current() {
    let authority = Authority::new("servers");
    let server = authority.issue(&Wanted {
        serial: 77,
        names: &["dns:acme.test"],
        for_servers: true,
        ..Wanted::default()
    });
    let mut edge = Edge::new().process("reload: {watch: false}").certificates(&["acme.test"]);
    std::fs::write(edge.path("acme.pem"), &server.pem).unwrap();
    std::fs::write(edge.path("acme.key"), &server.key_pem).unwrap();
    let good = ocsp_response(&[77], 0, 2090);
    std::fs::write(edge.path("acme.ocsp"), &good).unwrap();
    edge.set_tenant(
        "acme",
        &format!(
            "domains: [{{host: acme.test}}]\n\
             certificates: [{{name: one, cert_file: acme.pem, key_file: acme.key, ocsp_file: acme.ocsp}}]\n{HELLO}"
        ),
    );
    let edge = edge.start().await;
    assert_eq!(staple(&edge, &TLS13).await, good);
    assert_eq!(staple(&edge, &TLS12).await, good);
    let until = "veloflux_ocsp_next_update_seconds{tenant=\"acme\",certificate=\"one\"}";
    assert_eq!(edge.metric(until).await, Some(3_786_912_000.0));

    // Bad ones keep the old state.
    for (bad, why) in [
        (b"hello".to_vec(), "it is not an OCSP response in DER"),
        (ocsp_response(&[78], 0, 2090), "the OCSP response is for another certificate"),
        (ocsp_response(&[77], 1, 2090), "says that the certificate is revoked"),
    ] {
        std::fs::write(edge.path("acme.ocsp"), bad).unwrap();
        edge.signal(libc::SIGHUP);
        edge.said(why).await;
        assert_eq!(staple(&edge, &TLS13).await, good, "{why}");
    }
    // A new one is taken in, and one that has ended is shown to nobody.
    let newer = ocsp_response(&[77], 0, 2089);
    std::fs::write(edge.path("acme.ocsp"), &newer).unwrap();
    edge.reload().await;
    assert_eq!(staple(&edge, &TLS13).await, newer);
    std::fs::write(edge.path("acme.ocsp"), ocsp_response(&[77], 0, 2021)).unwrap();
    edge.reload().await;
    assert_eq!(staple(&edge, &TLS13).await, Vec::<u8>::new());
    edge.said("OCSP response of certificate").await;
}

#[tokio::test]
async fn a_default_certificate_answers_strangers_and_serves_nobody() {
    let backend = Backend::named("b");
    let pair = "tls: {default_certificate: {cert_file: certs/edge.test.pem, key_file: certs/edge.test.key}}";
    let mut edge = Edge::new().certificates(&["edge.test"]).state(pair);
    with_domains(&mut edge, &[("acme.test", "")], &forward_to(&[&backend]));
    let edge = edge.start().await;
    for (name, send_sni) in [("edge.test", true), ("edge.test", false)] {
        let stream = edge.handshake_as(name, &["http/1.1"], rustls::ALL_VERSIONS, send_sni).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], edge.certificate("edge.test"));
        let mut client = Client::over(stream);
        assert_eq!(client.get("edge.test", "/").await.status, 404);
        assert_eq!(client.get("acme.test", "/").await.status, 421);
    }
    let stream = edge.handshake_as("edge.test", &["h2"], rustls::ALL_VERSIONS, false).await.unwrap();
    let mut client = Client2::over(stream).await;
    assert_eq!(client.get("https://acme.test/").await.status(), 421);
    assert_eq!(backend.count(), 0);
    // Those that are somebody's have their own certificate.
    let stream = edge.handshake("acme.test", &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], edge.certificate("acme.test"));
    let gauge = "veloflux_certificate_not_after_seconds{tenant=\"_none\",certificate=\"default\"}";
    assert!(edge.metric(gauge).await.is_some());
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_said() {
    let mut edge = Edge::new().certificates(&["acme.test", "long.test"]);
    let mut params = rcgen::CertificateParams::new(vec!["acme.test".to_owned()]).unwrap();
    let day = std::time::Duration::from_hours(24);
    params.not_before = (std::time::SystemTime::now() - day).into();
    params.not_after = (std::time::SystemTime::now() + 13 * day + day / 48).into();
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(edge.path("certs/acme.test.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(edge.path("certs/acme.test.key"), key.serialize_pem()).unwrap();
    for host in ["acme", "long"] {
        edge.set_tenant(
            host,
            &format!(
                "domains: [{{host: {host}.test}}]\ncertificates: [{{name: one, cert_file: certs/{host}.test.pem, \
                 key_file: certs/{host}.test.key}}]\n{HELLO}"
            ),
        );
    }
    let edge = edge.start().await;
    let said = edge.said("it ends soon").await;
    assert_eq!(
        (&said["what"], &said["tenant"], &said["name"]),
        (&"certificate".into(), &"acme".into(), &"one".into())
    );
    assert_eq!((&said["level"], &said["hours_left"]), (&"WARN".into(), &(13 * 24).into()));
    assert_eq!(edge.count_said("it ends soon"), 1);
}
