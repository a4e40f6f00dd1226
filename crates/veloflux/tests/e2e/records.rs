//! What is written down: the access log, `/metrics`, and log files that are moved away.

use crate::harness::{Backend, Client, Edge, forward_to, until};

#[tokio::test]
async fn an_access_entry_says_what_happened() {
    let backend = Backend::echo();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut client = Client::plain(edge.http()).await;
    client
        .send(
            "POST /a/b?q=1&password=hunter22&token=abc HTTP/1.1\r\nHost: acme.test\r\nUser-Agent: agent/1\r\n\
             Content-Length: 5\r\n\r\nhello",
        )
        .await;
    let response = client.response().await;
    let id = response.header("x-request-id").unwrap();
    let entry = edge.access(id).await;
    for (key, expected) in [
        ("log", "access"),
        ("tenant", "acme"),
        ("route", "all"),
        ("client", "127.0.0.1"),
        ("host", "acme.test"),
        ("method", "POST"),
        ("path", "/a/b"),
        ("protocol", "HTTP/1.1"),
        ("upstream", &backend.address().to_string()),
        ("user_agent", "agent/1"),
        ("termination", "complete"),
    ] {
        assert_eq!(entry[key], expected, "{key}");
    }
    assert_eq!(
        (&entry["status"], &entry["bytes_in"], &entry["bytes_out"]),
        (&200.into(), &5.into(), &5.into())
    );
    assert_eq!(entry["retries"], 0);
    assert!(entry["duration_us"].as_u64() >= entry["upstream_time_us"].as_u64());
    assert!(entry["time"].as_str().unwrap().ends_with('Z'));
    let query = entry["query"].as_str().unwrap();
    assert!(query.starts_with("q=1&"), "{query}");
    assert!(!query.contains("hunter22") && !query.contains("abc"), "{query}");
    assert!(entry.get("tls").is_none() && entry.get("waf").is_none());
}

#[tokio::test]
async fn what_is_refused_is_recorded_too() {
    let backend = Backend::named("b");
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\nbad\r\n\r\n").await;
    let malformed = client.response().await;
    let unknown = edge.get("nobody.test", "/x").await;
    for (response, status) in [(malformed, 400), (unknown, 404)] {
        let entry = edge.access(response.header("x-request-id").unwrap()).await;
        assert_eq!((&entry["status"], &entry["tenant"]), (&status.into(), &"_none".into()));
        assert_eq!(entry["termination"], "rejected");
        // JSON, unless the client is a browser.
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.json()["request_id"], entry["request_id"]);
    }
    client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: nobody.test\r\nAccept: text/html,*/*;q=0.1\r\n\r\n").await;
    let page = client.response().await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains(page.header("x-request-id").unwrap()));
    assert_eq!(edge.metric("veloflux_rejected_total{tenant=\"_none\"}").await, Some(3.0));
}

#[tokio::test]
async fn metrics_count_by_tenant() {
    let backend = Backend::start(async |request, socket| match request.target.as_str() {
        "/hang" => std::future::pending().await,
        "/500" => socket.answer(500, "").await,
        _ => socket.answer(200, "b").await,
    });
    let edge = Edge::new()
        .tenant("acme", "acme.test", &forward_to(&[&backend]))
        .tenant("other", "other.test", "routes: [{name: moved, redirect: {location: /x}}]")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(edge.get("acme.test", "/").await.status, 200);
    }
    assert_eq!(edge.get("acme.test", "/500").await.status, 500);
    assert_eq!(edge.get("other.test", "/").await.status, 308);
    let mut hanging = Client::plain(edge.http()).await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    edge.metric_becomes("veloflux_active_connections{tenant=\"acme\"}", 1.0).await;
    let health =
        format!("veloflux_backend_health{{tenant=\"acme\",pool=\"web\",backend=\"{}\"}}", backend.address());
    for (line, value) in [
        ("veloflux_requests_total{tenant=\"acme\",class=\"2xx\"}", 3.0),
        ("veloflux_requests_total{tenant=\"acme\",class=\"5xx\"}", 1.0),
        ("veloflux_requests_total{tenant=\"other\",class=\"3xx\"}", 1.0),
        ("veloflux_requests_total{tenant=\"other\",class=\"2xx\"}", 0.0),
        ("veloflux_request_duration_seconds_count{tenant=\"acme\"}", 4.0),
        ("veloflux_request_duration_seconds_bucket{le=\"+Inf\",tenant=\"acme\"}", 4.0),
        ("veloflux_active_connections{tenant=\"other\"}", 0.0),
        ("veloflux_waf_transaction_seconds_count{tenant=\"acme\"}", 0.0),
        ("veloflux_log_dropped_total{log=\"access\"}", 0.0),
        (&health, 1.0),
    ] {
        assert_eq!(edge.metric(line).await, Some(value), "{line}\n{}", edge.metrics().await);
    }
    drop(hanging);
    edge.metric_becomes("veloflux_active_connections{tenant=\"acme\"}", 0.0).await;
}

#[tokio::test]
async fn the_nodes_own_endpoints_are_on_their_own_listener_only() {
    let edge =
        Edge::new().tenant("acme", "acme.test", "routes: [{name: all, respond: {body: site}}]").start().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(edge.get("acme.test", path).await.text(), "site");
        assert_eq!(edge.get("localhost", path).await.status, 404);
    }
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_begun_anew() {
    let edge =
        Edge::new().tenant("acme", "acme.test", "routes: [{name: all, respond: {body: x}}]").start().await;
    let first = edge.get("acme.test", "/").await;
    edge.access(first.header("x-request-id").unwrap()).await;
    std::fs::rename(edge.path("access.log"), edge.path("access.log.1")).unwrap();
    edge.signal(libc::SIGUSR1);
    until("a new file", || edge.path("access.log").exists().then_some(())).await;
    let second = edge.get("acme.test", "/").await;
    let second = second.header("x-request-id").unwrap();
    edge.access(second).await;
    assert!(!std::fs::read_to_string(edge.path("access.log.1")).unwrap().contains(second));
}
