//! Routes: what a request must look like, and what then happens to it.

use crate::harness::{Backend, Client, Edge};

/// One tenant whose routes are `routes`, with a pool `web` of one backend.
async fn routes(backend: &Backend, routes: &str) -> Edge {
    let rest = format!(
        "pools: [{{name: web, backends: [{{address: '{}'}}]}}]\nroutes:\n{routes}",
        backend.address()
    );
    Edge::new().tenant("acme", "acme.test", &rest).start().await
}

#[tokio::test]
async fn the_most_specific_route_answers() {
    let backend = Backend::named("b");
    let edge = routes(
        &backend,
        "- {name: rest, respond: {body: rest}}
- {name: folder, path: {prefix: /a}, respond: {body: folder}}
- {name: exact, path: {exact: /a/x}, respond: {body: exact}}
- {name: deep, path: {prefix: /a/b}, respond: {body: deep}}
- {name: header, path: {prefix: /h}, headers: [{name: x-env, value: blue}], respond: {body: blue}}
- {name: any, path: {prefix: /h}, headers: [{name: x-any}], respond: {body: any}}
- {name: get, path: {exact: /m}, methods: [GET, HEAD], respond: {body: get}}",
    )
    .await;
    let mut client = Client::plain(edge.http()).await;
    for (target, expected) in [
        ("/", "rest"),
        ("/a", "folder"),
        ("/a/", "folder"),
        ("/a/x", "exact"),
        ("/a/x/", "folder"),
        ("/ab", "rest"),
        ("/a/b/c", "deep"),
        ("/a/bc", "folder"),
        ("/z/../a/./x?q", "exact"),
        ("/%61/x", "exact"),
        ("/b%2Fx", "rest"),
        ("//b;c", "rest"),
        ("/a/y%2Fz//", "folder"),
        ("/h", "rest"),
    ] {
        let response = client.get("acme.test", target).await;
        assert_eq!((response.status, response.text()), (200, expected), "{target}");
    }
    for (field, expected) in [("X-Env: blue", "blue"), ("X-Env: red", "rest"), ("x-any: 1", "any")] {
        client.send(format!("GET /h HTTP/1.1\r\nHost: acme.test\r\n{field}\r\n\r\n")).await;
        assert_eq!(client.response().await.text(), expected, "{field}");
    }
    assert_eq!(client.get("acme.test", "/m").await.text(), "get");
    client.send("POST /m HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "rest", "a route without a method condition is left for POST");
}

#[tokio::test]
async fn a_path_that_a_backend_may_take_for_another_routes_is_refused() {
    let backend = Backend::named("b");
    let edge = routes(
        &backend,
        "- {name: rest, forward: {pool: web}}
- {name: admin, path: {prefix: /admin}, access: {allow_only: {addresses: [192.0.2.1]}}, forward: {pool: web}}",
    )
    .await;
    let mut client = Client::plain(edge.http()).await;
    for target in [
        "//admin",
        "/x//../admin",
        "/admin;v=1/users",
        "/%2Fadmin",
        "/x/..%2fadmin",
        "/x/..;/admin",
        "/x\\..\\admin",
        "/%5cadmin",
        "//admin/..;/x",
    ] {
        let refused = client.get("acme.test", target).await;
        assert_eq!(refused.status, 400, "{target}");
        let entry = edge.access(refused.header("x-request-id").unwrap()).await;
        assert_eq!(
            (&entry["route"], &entry["termination"]),
            (&"rest".into(), &"rejected".into()),
            "{target}"
        );
        client = Client::plain(edge.http()).await;
    }
    assert_eq!(client.get("acme.test", "/admin").await.status, 403);
    assert_eq!(backend.count(), 0);
    for target in ["/a%2Fb", "//x", "/x;admin", "/x%5Cadmin", "/administer"] {
        assert_eq!(client.get("acme.test", target).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn methods_paths_and_hosts_without_a_route_are_refused() {
    let backend = Backend::named("b");
    let edge =
        routes(&backend, "- {name: get, path: {exact: /m}, methods: [GET], forward: {pool: web}}").await;
    let mut client = Client::plain(edge.http()).await;
    client.send("POST /m HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 405);
    assert_eq!(client.get("acme.test", "/other").await.status, 404);
    assert_eq!(client.get("nobody.test", "/m").await.status, 404);
    client.send("HEAD /other HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.status, 404);
    client.send("CONNECT acme.test:443 HTTP/1.1\r\nHost: acme.test:443\r\n\r\n").await;
    assert!(matches!(client.response().await.status, 404 | 405));
    assert_eq!(client.get("acme.test", "/m").await.text(), "b", "the connection still serves");
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_prefix_is_stripped_on_a_segment_boundary() {
    let backend = Backend::named("b");
    let edge = routes(
        &backend,
        "- {name: api, path: {prefix: /api}, forward: {pool: web, strip_prefix: /api}}
- {name: rest, forward: {pool: web}}",
    )
    .await;
    for (target, expected) in [
        ("/api/v1/x?q=1", "/v1/x?q=1"),
        ("/api", "/"),
        ("/api?q", "/?q"),
        ("/apis", "/apis"),
        ("/x/../api/y", "/y"),
        ("/as%20is/..%2f?a=%27", "/as%20is/..%2f?a=%27"),
    ] {
        assert_eq!(edge.get("acme.test", target).await.status, 200, "{target}");
        assert_eq!(backend.requests().last().unwrap().target, expected, "{target}");
    }
}

#[tokio::test]
async fn redirects_and_fixed_responses_need_no_backend() {
    let backend = Backend::named("b");
    let edge = routes(
        &backend,
        "- {name: old, path: {prefix: /old}, redirect: {status: 301, location: 'https://{host}/new{path}{query}'}}
- {name: gone, path: {exact: /gone}, respond: {status: 410, content_type: text/plain, body: 'no more'}}",
    )
    .await;
    let mut client = Client::plain(edge.http()).await;
    let moved = client.get("acme.test", "/old/a?b=c").await;
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://acme.test/new/old/a?b=c")));
    let gone = client.get("acme.test", "/gone").await;
    assert_eq!((gone.status, gone.text(), gone.header("content-type")), (410, "no more", Some("text/plain")));
    client.send("HEAD /gone HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.status, 410);
    assert_eq!(client.get("acme.test", "/gone").await.status, 410, "HEAD was answered without a body");
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let backend = Backend::echo();
    let edge = routes(
        &backend,
        "- {name: small, path: {prefix: /small}, max_body: 10B, forward: {pool: web}}
- {name: rest, forward: {pool: web}}",
    )
    .await;
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: acme.test\r\n{rest}");
    for (body, expected) in [
        ("Content-Length: 10\r\n\r\n0123456789", 200),
        ("Content-Length: 11\r\n\r\n0123456789a", 413),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 200),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", 413),
    ] {
        let mut client = Client::plain(edge.http()).await;
        client.send(post("/small", body)).await;
        assert_eq!(client.response().await.status, expected, "{body}");
        if expected == 413 {
            assert!(client.is_closed().await);
        }
    }
    let mut client = Client::plain(edge.http()).await;
    client.send(post("/big", "Content-Length: 11\r\n\r\n0123456789a")).await;
    assert_eq!(client.response().await.text(), "0123456789a");
}
