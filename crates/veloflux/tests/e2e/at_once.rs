//! How many at once: requests in flight and connections, of a tenant, a route and a client.

use std::time::Duration;

use crate::harness::{Backend, Client, Edge, Response, forward_to, soon};

/// A backend that answers `/slow` only when `release` is asked for.
fn slow() -> Backend {
    Backend::start(async |request, socket| {
        if request.target == "/slow" {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        socket.answer(200, "b").await
    })
}

async fn begin(client: &mut Client, fields: &str) {
    client.send(format!("GET /slow HTTP/1.1\r\nHost: acme.test\r\n{fields}\r\n")).await;
}

async fn ask(edge: &Edge, fields: &str) -> Response {
    let mut client = Client::plain(edge.http()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: acme.test\r\n{fields}\r\n")).await;
    client.response().await
}

#[tokio::test]
async fn requests_in_flight_are_bounded_in_all_and_per_client() {
    let backend = slow();
    let limits = "limits: {requests: {total: 3, per_client: 2}}";
    let edge = Edge::new()
        .process("trusted_proxies: ['127.0.0.0/8']")
        .tenant("acme", "acme.test", &format!("{}\n{limits}", forward_to(&[&backend])))
        .tenant("other", "other.test", &forward_to(&[&backend]))
        .start()
        .await;
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    let mut held = Vec::new();
    for client in ["2001:db8::1", "2001:db8::2"] {
        let mut connection = Client::plain(edge.http()).await;
        begin(&mut connection, &from(client)).await;
        held.push(connection);
    }
    soon("two are in flight", async {
        while backend.count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let refused = ask(&edge, &from("2001:db8::3")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    let access = edge.access(refused.header("x-request-id").unwrap()).await;
    assert_eq!(access["limits"][0]["name"], "requests_per_client", "{access}");
    assert_eq!(ask(&edge, &from("203.0.113.1")).await.status, 200);
    let mut third = Client::plain(edge.http()).await;
    begin(&mut third, &from("203.0.113.1")).await;
    soon("three are in flight", async {
        while backend.count() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(ask(&edge, &from("203.0.113.2")).await.status, 429);
    assert_eq!(edge.get("other.test", "/").await.status, 200, "another tenant");
    // One that is answered and one whose client goes away give their places back.
    drop(third);
    assert_eq!(held[0].response().await.status, 200);
    assert_eq!(held[1].response().await.status, 200);
    soon("there is room again", async { while ask(&edge, &from("2001:db8::3")).await.status != 200 {} })
        .await;
    let metric = "veloflux_limited_total{tenant=\"acme\",limit=\"tenant#requests\",outcome=\"rejected\"}";
    assert!(edge.metric(metric).await >= Some(1.0));
}

#[tokio::test]
async fn a_routes_requests_are_bounded_by_themselves() {
    let backend = slow();
    let routes = format!(
        "pools: [{{name: web, backends: [{{address: \"{}\"}}]}}]\nroutes: [{{name: slow, path: {{prefix: /slow}}, \
         forward: {{pool: web}}, limits: {{requests: {{total: 1}}}}}}, {{name: rest, forward: {{pool: web}}}}]",
        backend.address()
    );
    let edge = Edge::new().tls_tenant(&routes).start().await;
    let mut client = edge.h2("acme.test").await;
    let slow = || http::Request::get("https://acme.test/slow").body(()).unwrap();
    let (first, _) = client.begin(slow(), false).await;
    soon("it is in flight", async {
        while backend.count() < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(client.request(slow()).await.unwrap().status(), 429);
    assert_eq!(client.get("https://acme.test/").await.status(), 200);
    assert_eq!(first.await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_of_a_tenant_and_of_a_client_are_bounded() {
    let backend = Backend::named("b");
    let limits = "limits: {connections: {total: 3, per_client: 2}}";
    let edge = Edge::new()
        .tls_tenant(&format!("{}\n{limits}", forward_to(&[&backend])))
        .tenant(
            "other",
            "other.test",
            &format!("{}\nlimits: {{connections: {{total: 9}}}}", forward_to(&[&backend])),
        )
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = edge.tls("acme.test").await;
        assert_eq!(client.get("acme.test", "/").await.status, 200);
        held.push(client);
    }
    // What is open already may go on; one more of this client may not, of another it may.
    assert_eq!(held[0].get("acme.test", "/").await.status, 200);
    let mut third = Client::plain(edge.http()).await;
    let refused = third.get("acme.test", "/").await;
    assert_eq!((refused.status, refused.header("connection")), (429, Some("close")));
    let access = edge.access(refused.header("x-request-id").unwrap()).await;
    assert_eq!(access["limits"][0]["name"], "connections_per_client", "{access}");
    let mut neighbour = Client::plain_from("127.0.0.2", edge.http()).await;
    assert_eq!(neighbour.get("acme.test", "/").await.status, 200);
    let mut fourth = Client::plain_from("127.0.0.3", edge.http()).await;
    assert_eq!(fourth.get("acme.test", "/").await.status, 429);
    // A connection that turns to another tenant counts there.
    assert_eq!(neighbour.get("other.test", "/").await.status, 200);
    let mut fifth = Client::plain_from("127.0.0.4", edge.http()).await;
    assert_eq!(fifth.get("acme.test", "/").await.status, 200);
    drop(held);
    soon("a place is free", async { while edge.get("acme.test", "/").await.status != 200 {} }).await;
}
