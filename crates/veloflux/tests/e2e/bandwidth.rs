//! Bandwidth: responses are slowed down and arrive whole.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Edge, pattern};
use crate::streams::{UPGRADE, websocket};

const KIB: usize = 1 << 10;

async fn edge(backend: &Backend, tenant: &str, route: &str) -> Edge {
    let lines = format!(
        "pools: [{{name: web, backends: [{{address: \"{}\"}}]}}]\nroutes: [{{name: all, forward: {{pool: web}}, \
         limits: {{{route}}}}}]\nlimits: {{{tenant}}}\ntimeouts: {{idle: 1s, total: 1s}}",
        backend.address()
    );
    Edge::new().tls_tenant(&lines).start().await
}

#[tokio::test]
async fn responses_share_the_rate_and_arrive_whole_however_long_it_takes() {
    let body = pattern(200 * KIB);
    let sent = body.clone();
    let backend = Backend::start(async move |_, socket| socket.answer(200, &*sent).await);
    let edge = edge(&backend, "bandwidth: 1GiB", "bandwidth: 200KiB").await;
    let begun = Instant::now();
    let http1 = async {
        let mut client = edge.tls("acme.test").await;
        client.get("acme.test", "/").await.body
    };
    let http2 = async { edge.h2("acme.test").await.get("https://acme.test/").await.body };
    let (one, other) = tokio::join!(http1, http2);
    let took = begun.elapsed().as_secs_f64();
    assert!(one == body && other == body);
    // 400 KiB, an eighth of a second of them at once.
    assert!((1.85..5.0).contains(&took), "{took} s");
    let mut client = edge.tls("acme.test").await;
    assert_eq!(
        client.get("acme.test", "/").await.body,
        body,
        "longer than the time limits that unlimited ones have"
    );
}

#[tokio::test]
async fn what_the_edge_says_itself_is_slowed_down_too() {
    let text = "x".repeat(12 * KIB);
    let route = format!("routes: [{{name: say, respond: {{body: {text}}}}}]\nlimits: {{bandwidth: 8KiB}}");
    let edge = Edge::new().tenant("acme", "acme.test", &route).start().await;
    let begun = Instant::now();
    assert_eq!(edge.get("acme.test", "/").await.body.len(), text.len());
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_300) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn an_upgraded_connection_is_slowed_down_too() {
    let backend = websocket();
    let edge = edge(&backend, "bandwidth: 8KiB", "").await;
    let mut client = Client::plain(edge.http()).await;
    client.send(UPGRADE).await;
    assert_eq!(client.response_head().await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");
    let begun = Instant::now();
    let sent = pattern(12 * KIB);
    client.send(&sent).await;
    assert!(client.exactly(sent.len()).await == sent);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_300) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_still_cut() {
    let backend = Backend::start(async |_, socket| socket.answer(200, vec![b'x'; 64 << 20]).await);
    let edge = edge(&backend, "bandwidth: 1GiB", "").await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    edge.metric_becomes("veloflux_active_connections{tenant=\"acme\"}", 1.0).await;
    edge.metric_becomes("veloflux_active_connections{tenant=\"acme\"}", 0.0).await;
}
