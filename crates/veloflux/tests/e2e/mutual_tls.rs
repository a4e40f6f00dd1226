//! Mutual TLS: who may connect, what backends are told, and that no way leads around it.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::pki::{Authority, Identity, Wanted};
use crate::harness::{Backend, Client, Client2, Edge, forward_to, soon};

/// An authority for clients with a list of revocations, and every kind of certificate that a client may come with.
struct Clients {
    authority: Authority,
    shown: Vec<(&'static str, Option<Identity>)>,
}

impl Clients {
    fn new() -> Self {
        let (authority, stranger) = (Authority::new("clients"), Authority::new("strangers"));
        let issue = |serial, years| authority.issue(&Wanted { serial, years, ..Wanted::default() });
        let shown = vec![
            ("none", None),
            ("wrong authority", Some(stranger.issue(&Wanted::default()))),
            ("expired", Some(issue(2, (2020, 2021)))),
            ("not valid yet", Some(issue(3, (2080, 2090)))),
            ("revoked", Some(issue(4, (2020, 2090)))),
            ("right", Some(issue(5, (2020, 2090)))),
            (
                "name not allowed",
                Some(authority.issue(&Wanted { serial: 6, names: &["dns:other.test"], ..Wanted::default() })),
            ),
            (
                "for servers",
                Some(authority.issue(&Wanted { serial: 7, for_servers: true, ..Wanted::default() })),
            ),
        ];
        Self { authority, shown }
    }

    fn get(&self, name: &str) -> Option<&Identity> {
        self.shown.iter().find(|(known, _)| *known == name).unwrap().1.as_ref()
    }

    fn right(&self) -> Option<&Identity> {
        self.get("right")
    }

    /// Puts the authority and its list where states name them.
    fn write(&self, edge: &Edge) {
        std::fs::write(edge.path("clients.pem"), &self.authority.pem).unwrap();
        std::fs::write(edge.path("clients.crl"), self.authority.crl(&[4], 2090)).unwrap();
    }
}

const ASK: &str =
    "ca_file: clients.pem, crl_files: [clients.crl], allowed_names: ['dns:client.test'], forward: chain";

/// A tenant with one host for each mode.
fn three_modes(edge: &mut Edge, rest: &str) {
    edge.make_certificates(&["required.test", "optional.test", "off.test"]);
    let domain = |mode: &str, tls: &str| {
        format!("{{host: {mode}.test, certificate: {mode}, tls: {{client_auth: {tls}}}}}")
    };
    let certificate = |mode: &str| {
        format!("{{name: {mode}, cert_file: certs/{mode}.test.pem, key_file: certs/{mode}.test.key}}")
    };
    let modes = ["required", "optional", "off"];
    edge.set_tenant(
        "acme",
        &format!(
            "domains: [{}, {}, {}]\ncertificates: [{}]\n{rest}",
            domain("required", &format!("{{{ASK}}}")),
            domain("optional", &format!("{{mode: optional, {ASK}}}")),
            domain("off", "{mode: off}"),
            modes.map(certificate).join(", "),
        ),
    );
}

async fn edge_with(clients: &Clients, backend: &Backend) -> Edge {
    let mut edge = Edge::new();
    clients.write(&edge);
    three_modes(&mut edge, &forward_to(&[backend]));
    edge.start().await
}

/// What became of a client: the status of its answer, or the alert that ended its handshake.
async fn outcome(edge: &Edge, host: &str, alpn: &str, client: Option<&Identity>) -> String {
    outcome_in(&TLS13, edge, host, alpn, client).await
}

async fn outcome_in(
    version: &'static rustls::SupportedProtocolVersion,
    edge: &Edge,
    host: &str,
    alpn: &str,
    client: Option<&Identity>,
) -> String {
    let config = edge.client_tls_as(&[alpn], &[version], client);
    match request(edge, config, host, alpn).await {
        Ok(status) => status.to_string(),
        Err(error) => {
            let error = error.to_string();
            error.rsplit_once("alert: ").unwrap_or_else(|| panic!("{error}")).1.to_owned()
        }
    }
}

async fn request(edge: &Edge, config: rustls::ClientConfig, host: &str, alpn: &str) -> io::Result<u16> {
    let mut stream = edge.connect(config, host).await?;
    verdict(&mut stream).await?;
    if alpn == "h2" {
        let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let reply = Client2::over(stream).await.request(request).await;
        return reply.map(|reply| reply.status()).map_err(io::Error::other);
    }
    let mut client = Client::over(stream);
    client.try_send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await?;
    client.try_response().await.map(|response| response.status)
}

/// Waits for what the edge says of the client's certificate. In TLS 1.3 that is after the client's side of the handshake
/// has ended: a ticket, or an alert, which would be lost to whoever writes to the closed connection first.
async fn verdict(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let (tcp, session) = stream.get_mut();
    if session.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    let mut bytes = vec![0; 16 << 10];
    let n = soon("a ticket or an alert", async {
        loop {
            tcp.readable().await?;
            match tcp.try_read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    });
    let n = n.await?;
    session.read_tls(&mut &bytes[..n])?;
    session.process_new_packets().map(|_| ()).map_err(io::Error::other)
}

#[tokio::test]
async fn the_matrix_of_clients_and_modes() {
    // What the client shows: the outcome where one is required, optional, and not asked for.
    const EXPECTED: [(&str, &str, &str, &str); 8] = [
        ("none", "CertificateRequired", "200", "200"),
        ("wrong authority", "UnknownCA", "UnknownCA", "200"),
        ("expired", "CertificateExpired", "CertificateExpired", "200"),
        ("not valid yet", "CertificateExpired", "CertificateExpired", "200"),
        ("revoked", "CertificateRevoked", "CertificateRevoked", "200"),
        ("right", "200", "200", "200"),
        ("name not allowed", "AccessDenied", "AccessDenied", "200"),
        ("for servers", "UnsupportedCertificate", "UnsupportedCertificate", "200"),
    ];
    let (clients, backend) = (Clients::new(), Backend::named("b"));
    let edge = edge_with(&clients, &backend).await;
    for (shown, required, optional, off) in EXPECTED {
        for (host, expected) in [("required.test", required), ("optional.test", optional), ("off.test", off)]
        {
            for alpn in ["http/1.1", "h2"] {
                let became = outcome(&edge, host, alpn, clients.get(shown)).await;
                assert_eq!(became, expected, "{shown} to {host} over {alpn}");
            }
            let became = outcome_in(&TLS12, &edge, host, "http/1.1", clients.get(shown)).await;
            assert_eq!(became, expected, "{shown} to {host} in TLS 1.2");
        }
    }
    for (reason, count) in [
        ("missing", 3.0),
        ("unknown_authority", 6.0),
        ("expired", 6.0),
        ("not_valid_yet", 6.0),
        ("revoked", 6.0),
        ("name", 6.0),
        ("other", 6.0),
    ] {
        let line =
            format!("veloflux_client_certificates_refused_total{{tenant=\"acme\",reason=\"{reason}\"}}");
        edge.metric_becomes(&line, count).await;
    }
    let event = edge.event_where("client_certificate", |event| event["reason"] == "missing").await;
    assert_eq!((&event["tenant"], &event["sni"]), (&"acme".into(), &"required.test".into()));
    assert_eq!(event["client"], "127.0.0.1");
    // Nothing of those that were refused reached the backend: 11 outcomes of 200, each in three ways.
    assert_eq!(backend.count(), 3 * 11);
}

#[tokio::test]
async fn backends_are_told_of_the_certificate_and_of_no_other() {
    let (mut clients, backend) = (Clients::new(), Backend::named("b"));
    // A client below an intermediate, whose own list is needed, too.
    let between = clients.authority.intermediate("between");
    let deep = between.issue_with_chain(&Wanted { serial: 8, ..Wanted::default() });
    let mut edge = Edge::new();
    std::fs::write(edge.path("clients.pem"), &clients.authority.pem).unwrap();
    let lists = clients.authority.crl(&[4], 2090) + &between.crl(&[], 2090);
    std::fs::write(edge.path("clients.crl"), lists).unwrap();
    three_modes(&mut edge, &forward_to(&[&backend]));
    let edge = edge.start().await;
    clients.shown.push(("deep", Some(deep)));

    let forged = "Client-Cert: :Zm9yZ2Vk:\r\nclient-cert-chain: :Zm9yZ2Vk:\r\nClient_Cert: x\r\nClient.Cert: x\r\nX-SSL-Client-Verify: SUCCESS\r\n";
    for (shown, host) in [
        ("right", "required.test"),
        ("deep", "required.test"),
        ("none", "optional.test"),
        ("right", "off.test"),
    ] {
        let client = clients.get(shown);
        let config = edge.client_tls_as(&["http/1.1"], rustls::ALL_VERSIONS, client);
        let mut connection = Client::over(edge.connect(config, host).await.unwrap());
        connection.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{forged}\r\n")).await;
        let response = connection.response().await;
        assert_eq!(response.status, 200);
        let told = backend.requests().pop().unwrap();
        let bytes = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
        let chain = client.filter(|_| host != "off.test").map(|client| &client.chain[..]).unwrap_or_default();
        assert_eq!(
            told.header("client-cert").map(str::to_owned),
            chain.first().map(|der| bytes(der)),
            "{shown}"
        );
        assert_eq!(told.header("client-cert-chain").map(str::to_owned), chain.get(1).map(|der| bytes(der)));
        for other in ["client_cert", "client.cert", "x-ssl-client-verify"] {
            assert_eq!(told.header(other), None);
        }
        let logged = &edge.access(response.header("x-request-id").unwrap()).await["tls"]["client_sha256"];
        assert_eq!(logged.as_str().map(str::len), (!chain.is_empty()).then_some(64), "{logged}");
    }
    // Without TLS nothing is known of a certificate.
    let mut plain = Client::plain(edge.http()).await;
    plain.send(format!("GET / HTTP/1.1\r\nHost: optional.test\r\n{forged}\r\n")).await;
    assert_eq!(plain.response().await.status, 200);
    assert_eq!(backend.requests().pop().unwrap().header("client-cert"), None);
    // And a host that requires one is not served there.
    assert_eq!(edge.get("required.test", "/").await.status, 403);
}

#[tokio::test]
async fn no_other_host_opens_the_door() {
    let (clients, backend) = (Clients::new(), Backend::named("b"));
    let edge = edge_with(&clients, &backend).await;
    // A connection on which no certificate was asked for serves no host that asks for one.
    let mut client = edge.tls("off.test").await;
    assert_eq!(client.get("off.test", "/").await.status, 200);
    assert_eq!(client.get("required.test", "/").await.status, 421);
    assert_eq!(client.get("optional.test", "/").await.status, 421);
    let mut client = edge.h2("off.test").await;
    assert_eq!(client.get("https://required.test/").await.status(), 421);
    // Optional is not required.
    let mut client = edge.tls("optional.test").await;
    assert_eq!(client.get("optional.test", "/").await.status, 200);
    assert_eq!(client.get("required.test", "/").await.status, 421);
    // A certificate that holds for both is good for both.
    let config = edge.client_tls_as(&["http/1.1"], rustls::ALL_VERSIONS, clients.right());
    let mut client = Client::over(edge.connect(config, "optional.test").await.unwrap());
    assert_eq!(client.get("required.test", "/").await.status, 200);
    assert!(backend.requests().pop().unwrap().header("client-cert").is_some());
}

#[tokio::test]
async fn a_route_may_demand_what_its_host_only_asks_for() {
    let clients = Clients::new();
    let mut edge = Edge::new();
    clients.write(&edge);
    three_modes(
        &mut edge,
        "routes: [{name: open, respond: {body: open}}, {name: closed, path: {prefix: /closed}, \
         require_client_certificate: true, respond: {body: closed}}]",
    );
    let edge = edge.start().await;
    for (host, client, status) in [
        ("optional.test", None, 403),
        ("optional.test", clients.right(), 200),
        ("required.test", clients.right(), 200),
        // None was asked for, so none was verified.
        ("off.test", clients.right(), 403),
    ] {
        let config = edge.client_tls_as(&["http/1.1"], rustls::ALL_VERSIONS, client);
        let mut connection = Client::over(edge.connect(config, host).await.unwrap());
        assert_eq!(connection.get(host, "/").await.text(), "open");
        assert_eq!(connection.get(host, "/closed/x").await.status, status, "{host}");
        assert_eq!(connection.get(host, "/a/../%63losed").await.status, status, "{host}");
    }
    assert_eq!(edge.get("optional.test", "/closed").await.status, 403);
}

#[tokio::test]
async fn a_new_revocation_ends_open_connections_and_old_sessions() {
    let (clients, backend) = (Clients::new(), Backend::named("b"));
    let edge = edge_with(&clients, &backend).await;
    // One configuration keeps its tickets from one connection to the next.
    let config = edge.client_tls_as(&["http/1.1"], rustls::ALL_VERSIONS, clients.right());
    let mut open = Client::over(edge.connect(config.clone(), "required.test").await.unwrap());
    assert_eq!(open.get("required.test", "/").await.status, 200);
    // A change elsewhere leaves the connection alone.
    edge.reload().await;
    assert_eq!(open.get("required.test", "/").await.status, 200);
    assert_eq!(request(&edge, config.clone(), "required.test", "http/1.1").await.unwrap(), 200);

    std::fs::write(edge.path("clients.crl"), clients.authority.crl(&[4, 5], 2090)).unwrap();
    edge.reload().await;
    assert_eq!(open.get("required.test", "/").await.status, 421);
    let refused = request(&edge, config, "required.test", "http/1.1").await.unwrap_err().to_string();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
}

#[tokio::test]
async fn files_that_turn_bad_keep_the_old_state() {
    let (clients, backend) = (Clients::new(), Backend::named("b"));
    let edge = edge_with(&clients, &backend).await;
    let good = std::fs::read(edge.path("clients.crl")).unwrap();
    let refused = "veloflux_reloads_total{result=\"refused\"}";
    let stranger = Authority::new("strangers");
    let bad: [(&str, Vec<u8>, &str); 5] = [
        ("clients.crl", b"hello".to_vec(), "does not hold a revocation list"),
        ("clients.crl", good[..good.len() / 2].to_vec(), "does not hold a revocation list"),
        ("clients.crl", clients.authority.crl(&[4], 2021).into_bytes(), "ended on"),
        ("clients.pem", Vec::new(), "does not hold certificates of authorities"),
        ("clients.pem", stranger.crl(&[], 2090).into_bytes(), "does not hold certificates of authorities"),
    ];
    for (number, (file, content, why)) in bad.into_iter().enumerate() {
        clients.write(&edge);
        std::fs::write(edge.path(file), content).unwrap();
        edge.signal(libc::SIGHUP);
        edge.said(why).await;
        edge.metric_becomes(refused, number as f64 + 1.0).await;
        assert_eq!(outcome(&edge, "required.test", "http/1.1", clients.right()).await, "200");
        let revoked = clients.get("revoked");
        assert_eq!(outcome(&edge, "required.test", "http/1.1", revoked).await, "CertificateRevoked");
        assert_eq!(outcome(&edge, "required.test", "http/1.1", None).await, "CertificateRequired");
    }
    let ends = "veloflux_revocation_list_next_update_seconds{tenant=\"acme\",file=\"clients.crl\"}";
    assert_eq!(edge.metric(ends).await, Some(3_786_912_000.0));
}

#[tokio::test]
async fn a_list_past_its_end_refuses_its_clients_unless_told_otherwise() {
    let (clients, backend) = (Clients::new(), Backend::named("b"));
    let mut edge = Edge::new();
    clients.write(&edge);
    std::fs::write(edge.path("clients.crl"), clients.authority.crl(&[4], 2021)).unwrap();
    edge.make_certificates(&["acme.test"]);
    let with = |more: &str| {
        format!(
            "domains: [{{host: acme.test}}]\n\
             certificates: [{{name: one, cert_file: certs/acme.test.pem, key_file: certs/acme.test.key}}]\n\
             tls: {{client_auth: {{{ASK}{more}}}}}\n{}",
            forward_to(&[&backend])
        )
    };
    edge.set_tenant("acme", &with(""));
    // At start it keeps nobody else down.
    let mut edge = edge.start().await;
    assert_eq!(outcome(&edge, "acme.test", "http/1.1", clients.right()).await, "UnknownCA");
    let refused = "veloflux_client_certificates_refused_total{tenant=\"acme\",reason=\"revocation_unknown\"}";
    edge.metric_becomes(refused, 1.0).await;
    edge.set_tenant("acme", &with(", expired_crl: accept"));
    edge.reload().await;
    assert_eq!(outcome(&edge, "acme.test", "http/1.1", clients.right()).await, "200");
    assert_eq!(outcome(&edge, "acme.test", "http/1.1", clients.get("revoked")).await, "CertificateRevoked");
}

#[tokio::test]
async fn no_certificate_is_told_of_in_a_trailer() {
    let (clients, backend) = (Clients::new(), Backend::echo());
    let edge = edge_with(&clients, &backend).await;
    let mut client = edge.tls("optional.test").await;
    let head = "POST / HTTP/1.1\r\nHost: optional.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}2\r\nhi\r\n0\r\nClient-Cert: :Zm9yZ2Vk:\r\nX-Sum: 7\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "hi");
    let told = backend.requests().pop().unwrap();
    assert_eq!((told.trailers.get("client-cert"), told.trailers.get("x-sum")), (None, Some("7")));
}
