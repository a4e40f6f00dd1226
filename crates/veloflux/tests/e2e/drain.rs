//! The end: requests in flight finish, new ones are not taken, and what does not end in time is cut and counted.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::harness::{Backend, Client, Edge, Reply2, forward_to, soon, until};

/// Answers `/MS` after that many milliseconds.
fn slow() -> Backend {
    Backend::start(async |request, socket| {
        let ms = request.target.trim_start_matches('/').parse().unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        socket.answer(200, "done").await
    })
}

async fn edge_for(backend: &Backend, process: &str) -> Edge {
    Edge::new().process(process).tls_tenant(&forward_to(&[backend])).start().await
}

#[tokio::test]
async fn requests_in_flight_finish_and_nothing_new_is_taken() {
    let backend = slow();
    let mut edge = edge_for(&backend, "").await;
    let mut idle = Client::plain(edge.http()).await;
    assert_eq!(idle.get("acme.test", "/").await.text(), "done");
    let mut first = Client::plain(edge.http()).await;
    first.send("GET /1000 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    let mut second = edge.h2("acme.test").await;
    let request = http::Request::get("https://acme.test/1000").body(()).unwrap();
    let (response, _) = second.begin(request, false).await;
    until("both are at the backend", || (backend.count() == 3).then_some(())).await;

    edge.signal(libc::SIGTERM);
    assert!(idle.is_closed().await, "a connection without a request has no reason to stay");
    assert_eq!(edge.ready().await, 503);
    for address in [edge.http(), edge.https(), edge.redirect()] {
        // Each serving thread closes its own socket.
        soon("connections are refused", async { while TcpStream::connect(address).await.is_ok() {} }).await;
    }
    let response1 = first.response().await;
    assert_eq!(response1.text(), "done");
    assert!(first.is_closed().await);
    assert_eq!(Reply2::read(response).await.unwrap().text(), "done");
    // GOAWAY without an error, then the end.
    soon("the HTTP/2 connection ends", &mut second.connection).await.unwrap().unwrap();
    assert!(edge.ended().await.success());
    let said = edge.said("drained: every request finished").await;
    assert_eq!((&said["connections"], &said["connections_cut"]), (&3.into(), &0.into()));
    let log = edge.access_log();
    assert_eq!(log.len(), 3, "the log is written out: {log:?}");
    assert!(log.iter().all(|entry| entry["termination"] == "complete"), "{log:?}");
}

#[tokio::test]
async fn an_http2_connection_is_told_to_go_and_serves_what_it_has() {
    let backend = slow();
    let mut edge = edge_for(&backend, "").await;
    let mut client = edge.h2("acme.test").await;
    let request = |ms| http::Request::get(format!("https://acme.test/{ms}")).body(()).unwrap();
    let (response, _) = client.begin(request(1000), false).await;
    until("it is at the backend", || (backend.count() == 1).then_some(())).await;
    edge.signal(libc::SIGTERM);
    edge.said("draining").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // What the client has seen by now is a GOAWAY: it opens no further streams here.
    let late = client.try_begin(request(0)).await.unwrap_err();
    assert!(late.is_go_away(), "{late}");
    assert_eq!(Reply2::read(response).await.unwrap().text(), "done");
    assert!(edge.ended().await.success());
}

#[tokio::test]
async fn what_does_not_finish_is_cut_and_counted() {
    let backend = Backend::start(async |request, socket| {
        if request.target == "/ws" {
            socket.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await?;
        } else {
            socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await?;
        }
        std::future::pending().await
    });
    let mut edge = edge_for(&backend, "limits: {drain_timeout: 500ms}").await;
    let mut hanging = Client::plain(edge.http()).await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(hanging.response_head().await.status, 200);
    let mut socket = Client::plain(edge.http()).await;
    socket.send("GET /ws HTTP/1.1\r\nHost: acme.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(socket.response_head().await.status, 101);
    let begun = Instant::now();
    edge.signal(libc::SIGTERM);
    // The part of a chunked answer that came is not mistaken for the whole.
    let mut got = Vec::new();
    while let Ok(bytes) = hanging.some().await {
        if bytes.is_empty() {
            break;
        }
        got.extend(bytes);
    }
    assert_eq!(got, b"1\r\nx\r\n");
    assert!(edge.ended().await.success());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(2), "{took:?}");
    let said = edge.said("what had not finished in time was cut").await;
    assert_eq!((&said["requests_cut"], &said["connections_cut"]), (&2.into(), &2.into()));
    let log = edge.access_log();
    assert_eq!(log.len(), 2, "what was cut is recorded: {log:?}");
    assert!(log.iter().all(|entry| entry["termination"] == "drained"), "{log:?}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let backend = slow();
    let mut edge = edge_for(&backend, "").await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET /60000 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    until("it is at the backend", || (backend.count() == 1).then_some(())).await;
    edge.signal(libc::SIGTERM);
    edge.said("draining").await;
    edge.signal(libc::SIGTERM);
    assert_eq!(edge.ended().await.code(), Some(1));
    assert!(client.is_closed().await);
}
