//! Responses in content codings: the firewall looks into them, the client gets what the backend sent.

use std::io::Write as _;

use crate::firewall::{ask, get, id, policy, with_rules};
use crate::harness::{Backend, Client, Client2, Edge, soon};

const LEAK: &str =
    "<p>You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version";
const PAGE: &str = "<p>A harmless page about tables and chairs";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// One uncompressed meta-block and the empty last one (RFC 7932 section 9.2).
fn brotli(text: &[u8]) -> Vec<u8> {
    let head = ((text.len() as u32 - 1) << 4 | 1 << 20).to_le_bytes();
    [&head[..3], text, &[0x03]].concat()
}

/// The body that a target such as `/gzip/leak` names, and its coding.
fn body(target: &str) -> (&str, Vec<u8>) {
    let (coding, what) = target.trim_start_matches('/').split_once('/').unwrap();
    let text = match what {
        "leak" => LEAK.as_bytes().to_vec(),
        "bomb" => [&vec![b' '; 64 << 20], LEAK.as_bytes()].concat(),
        _ => PAGE.as_bytes().to_vec(),
    };
    let encoded = match coding {
        "gzip" => gzip(&text),
        "br" => brotli(&text),
        "zstd" => zstd(&text),
        _ => text,
    };
    (coding, encoded)
}

fn backend() -> Backend {
    Backend::start(async |request, socket| {
        let (coding, body) = body(&request.target);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Encoding: {coding}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.send([head.as_bytes(), &body].concat()).await
    })
}

async fn over_tls(backend: &Backend, settings: &str) -> Option<Edge> {
    Some(with_rules()?.tls_tenant(&policy(backend, settings)).start().await)
}

#[tokio::test]
async fn leaks_in_every_coding_are_withheld() {
    let backend = backend();
    let Some(edge) = over_tls(&backend, "mode: block").await else { return };
    let mut h2 = edge.h2("acme.test").await;
    for coding in ["identity", "gzip", "br", "zstd"] {
        let leak = format!("/{coding}/leak");
        let withheld = ask(&edge, &get("acme.test", &leak, "*/*")).await;
        assert_eq!(withheld.status, 403, "{coding}");
        let event = edge.event(id(&withheld)).await;
        assert!(
            event["rules"].as_array().unwrap().iter().any(|rule| rule["phase"] == 4),
            "{coding}: {event}"
        );
        assert_eq!(h2.request(request2(&leak)).await.unwrap().status(), 403, "{coding}");

        let page = format!("/{coding}/page");
        let passed = ask(&edge, &get("acme.test", &page, "*/*")).await;
        assert_eq!((passed.status, passed.header("content-encoding")), (200, Some(coding)));
        assert!(passed.body == body(&page).1, "{coding}: as the backend sent it");
        assert!(h2.request(request2(&page)).await.unwrap().body == body(&page).1, "{coding}");
    }
}

fn request2(target: &str) -> http::Request<()> {
    let url = format!("https://acme.test{target}");
    http::Request::get(url).header("user-agent", "e2e/1").header("accept", "*/*").body(()).unwrap()
}

#[tokio::test]
async fn what_cannot_be_decoded_is_withheld_where_the_policy_blocks() {
    let backend = backend();
    let Some(edge) = over_tls(&backend, "mode: block").await else { return };
    let withheld = ask(&edge, &get("acme.test", "/compress/page", "*/*")).await;
    assert_eq!(withheld.status, 502);
    assert!(!withheld.text().contains("chairs"));
    let waf = &edge.access(id(&withheld)).await["waf"];
    assert_eq!((&waf["verdict"], &waf["cause"]), (&"blocked".into(), &"undecodable".into()));
    assert_eq!(edge.event(id(&withheld)).await["cause"], "undecodable");
    assert_eq!(edge.metric("veloflux_waf_undecodable_total{tenant=\"acme\"}").await, Some(1.0));
}

#[tokio::test]
async fn what_cannot_be_decoded_passes_where_the_policy_detects() {
    let backend = backend();
    let Some(edge) = over_tls(&backend, "mode: detect").await else { return };
    let passed = ask(&edge, &get("acme.test", "/compress/page", "*/*")).await;
    assert_eq!((passed.status, passed.text()), (200, PAGE));
    let waf = &edge.access(id(&passed)).await["waf"];
    assert_eq!((&waf["verdict"], &waf["cause"]), (&"detected".into(), &"undecodable".into()));
}

#[tokio::test]
async fn a_bomb_is_looked_at_up_to_the_limit() {
    let backend = backend();
    let Some(edge) = over_tls(&backend, "mode: block, response_body_limit: 1MiB").await else { return };
    assert_eq!(ask(&edge, &get("acme.test", "/gzip/page", "*/*")).await.status, 200);
    let before = edge.memory_kib();
    for coding in ["gzip", "zstd"] {
        let bomb = format!("/{coding}/bomb");
        let passed = ask(&edge, &get("acme.test", &bomb, "*/*")).await;
        assert!(passed.status == 200 && passed.body == body(&bomb).1, "{coding}: {}", passed.status);
    }
    let grown = edge.memory_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "by {grown} KiB for 64 MiB");
}

#[tokio::test]
async fn types_that_nobody_looks_at_are_not_held_back() {
    let backend = Backend::start(async |_, socket| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        socket.send(format!("{head}5\r\nfirst\r\n")).await?;
        std::future::pending().await
    });
    let Some(edge) = over_tls(&backend, "mode: block").await else { return };
    let mut client = Client::plain(edge.http()).await;
    client.send(get("acme.test", "/", "*/*")).await;
    assert_eq!(client.response_head().await.status, 200);
    assert_eq!(client.exactly(10).await, b"5\r\nfirst\r\n");

    let mut h2: Client2 = edge.h2("acme.test").await;
    let (response, _) = h2.begin(request2("/"), false).await;
    let mut stream = soon("a response", response).await.unwrap().into_body();
    assert_eq!(soon("the first piece", stream.data()).await.unwrap().unwrap(), "first");
}
