//! What a backend is told about the client, and whose word counts.

use tokio::io::AsyncWriteExt as _;

use crate::harness::{Backend, Client, Edge, forward_to};

const TOLD: &str = "X-Forwarded-For: 203.0.113.9, 198.51.100.2\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil.test\r\n\
                    X-Forwarded-Port: 1\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Request-Id: mine\r\n";

#[tokio::test]
async fn strangers_are_not_believed() {
    let backend = Backend::named("b");
    let edge = Edge::new()
        .process("trusted_proxies: [127.0.0.2]")
        .tenant("acme", "acme.test", &forward_to(&[&backend]))
        .start()
        .await;
    let mut client = Client::plain(edge.http()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: acme.test:80\r\n{TOLD}\r\n")).await;
    let response = client.response().await;
    let request = &backend.requests()[0];
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("acme.test"));
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    for gone in ["forwarded", "x-forwarded-port"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
    client
        .send(
            "GET / HTTP/1.1\r\nHost: acme.test\r\nX-Forwarded-Prefix: /x\r\nX_Forwarded_For: 1.1.1.1\r\n\
             True-Client-IP: 1.1.1.1\r\nX-Original-URL: /admin\r\nClient-Cert: :MII:\r\nX-Ssl-Client-Verify: ok\r\n\
             X-Requested-With: x\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.status, 200);
    let names: Vec<_> =
        backend.requests()[1].fields.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let known = ["host", "x-requested-with", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    let known = [&known[..], &["x-real-ip", "x-request-id"]].concat();
    assert_eq!(names, known, "every field that tells of the client is the edge's own");
    let id = response.header("x-request-id").unwrap();
    assert_ne!(id, "mine");
    assert_eq!(request.header("x-request-id"), Some(id), "one id for client, backend and log");
    assert_eq!(edge.access(id).await["client"], "127.0.0.1");
}

#[tokio::test]
async fn a_backend_that_repeats_the_request_id_does_not_double_it() {
    let backend = Backend::start(async |request, socket| {
        let id = if request.target == "/own" { "its-own" } else { request.header("x-request-id").unwrap() };
        socket.send(format!("HTTP/1.1 200 OK\r\nX-Request-Id: {id}\r\nContent-Length: 0\r\n\r\n")).await
    });
    let edge = Edge::new().tls_tenant(&forward_to(&[&backend])).start().await;
    for path in ["/", "/own"] {
        let response = edge.get("acme.test", path).await;
        edge.access(response.header("x-request-id").unwrap()).await;
        let reply = edge.h2("acme.test").await.get(&format!("https://acme.test{path}")).await;
        assert_eq!(reply.head.headers().get_all("x-request-id").iter().count(), 1);
        edge.access(reply.header("x-request-id").unwrap()).await;
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed_from_the_right() {
    let backend = Backend::named("b");
    let edge = Edge::new()
        .process("trusted_proxies: [127.0.0.2, 198.51.100.0/24]")
        .tenant("acme", "acme.test", &forward_to(&[&backend]))
        .start()
        .await;
    for (fields, client_ip) in [
        (TOLD, "203.0.113.9"),
        ("X-Forwarded-For: 1.1.1.1, 203.0.113.9, 198.51.100.2\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("Forwarded: for=\"[2001:db8::1]:99\";proto=https\r\n", "2001:db8::1"),
        ("X-Forwarded-For: nonsense, 198.51.100.7\r\n", "198.51.100.7"),
        ("", "127.0.0.2"),
    ] {
        let mut client = Client::plain_from("127.0.0.2", edge.http()).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: acme.test\r\n{fields}\r\n")).await;
        let response = client.response().await;
        let request = backend.requests().pop().unwrap();
        assert_eq!(request.header("x-real-ip"), Some(client_ip), "{fields}");
        assert!(request.header("x-forwarded-for").unwrap().starts_with(client_ip), "{fields}");
        assert_eq!(edge.access(response.header("x-request-id").unwrap()).await["client"], client_ip);
    }
}

#[tokio::test]
async fn tls_is_told_to_the_backend() {
    let backend = Backend::named("b");
    let edge = Edge::new().tls_tenant(&forward_to(&[&backend])).start().await;
    assert_eq!(edge.h2("acme.test").await.get("https://acme.test/").await.text(), "b");
    let request = &backend.requests()[0];
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("host"), Some("acme.test"));
}

/// A PROXY protocol header, version 2, from 203.0.113.9:1000 (section 2.2 of its specification).
fn version_2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&[203, 0, 113, 9, 127, 0, 0, 1, 0x03, 0xe8, 0x01, 0xbb]);
    header
}

async fn behind_balancer(backend: &Backend) -> Edge {
    Edge::new()
        .process("trusted_proxies: [127.0.0.1]\nlimits: {header_timeout: 500ms}")
        .listener("protocol: https, proxy_protocol: v1_v2")
        .listener("protocol: http, proxy_protocol: v1_v2")
        .tls_tenant(&forward_to(&[backend]))
        .start()
        .await
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client() {
    let backend = Backend::named("b");
    let edge = behind_balancer(&backend).await;
    for header in [b"PROXY TCP4 203.0.113.9 127.0.0.1 1000 443\r\n".to_vec(), version_2()] {
        let mut client = Client::plain(edge.extra(1)).await;
        // In two pieces, as a network may cut it.
        client.send(&header[..7]).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        client
            .send(
                [&header[7..], b"GET / HTTP/1.1\r\nHost: acme.test\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"]
                    .concat(),
            )
            .await;
        let response = client.response().await;
        assert_eq!(response.text(), "b");
        assert_eq!(edge.access(response.header("x-request-id").unwrap()).await["client"], "203.0.113.9");
        let request = backend.requests().pop().unwrap();
        assert_eq!(
            request.header("x-forwarded-for"),
            Some("203.0.113.9"),
            "the client itself is not trusted"
        );

        let mut tcp = tokio::net::TcpStream::connect(edge.extra(0)).await.unwrap();
        tcp.write_all(&header).await.unwrap();
        let stream = edge.handshake_over(tcp, "acme.test", &["http/1.1"]).await.unwrap();
        let response = Client::over(stream).get("acme.test", "/").await;
        assert_eq!(edge.access(response.header("x-request-id").unwrap()).await["client"], "203.0.113.9");
    }
    for local in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = Client::plain(edge.extra(1)).await;
        client.send([local, b"GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n"].concat()).await;
        let response = client.response().await;
        assert_eq!(edge.access(response.header("x-request-id").unwrap()).await["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn a_proxy_header_is_demanded_and_only_from_trusted_peers() {
    let backend = Backend::named("b");
    let edge = behind_balancer(&backend).await;
    for bad in [
        &b"GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n"[..],
        b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1000",
        b"",
    ] {
        let mut client = Client::plain(edge.extra(1)).await;
        client.send(bad).await;
        assert!(client.is_closed().await, "{:?}", String::from_utf8_lossy(bad));
    }
    let mut stranger = Client::plain_from("127.0.0.3", edge.extra(1)).await;
    let _ = stranger
        .try_send("PROXY TCP4 203.0.113.9 127.0.0.1 1000 443\r\nGET / HTTP/1.1\r\nHost: acme.test\r\n\r\n")
        .await;
    assert!(stranger.is_closed().await);
    edge.metric_becomes("veloflux_connections_broken_total", 5.0).await;
    assert_eq!(backend.count(), 0);
}
