//! WebSocket, server-sent events and gRPC: nothing waits for more than has been sent.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};

use crate::harness::{Backend, Backend2, Client, Edge, forward_to, pattern, soon};

/// A backend that switches to a protocol that sends everything back.
pub(crate) fn websocket() -> Backend {
    Backend::start(async |request, socket| {
        if request.header("upgrade").is_none() {
            return socket.answer(200, "no upgrade").await;
        }
        let key = request.header("sec-websocket-key").unwrap_or_default();
        socket
            .send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: of-{key}\r\n\r\nhello"
            ))
            .await?;
        loop {
            let bytes = socket.some().await?;
            if bytes.is_empty() {
                socket.send("the end").await?;
                return socket.close().await;
            }
            socket.send(bytes).await?;
        }
    })
}

pub(crate) const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: acme.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn with_certificate(rest: &str) -> Edge {
    Edge::new().tls_tenant(rest).start().await
}

#[tokio::test]
async fn websockets_pass_both_ways() {
    let backend = websocket();
    let edge = with_certificate(&forward_to(&[&backend])).await;
    for mut client in [Client::plain(edge.http()).await, edge.tls("acme.test").await] {
        // The first frame rides along with the request; servers see it after the switch.
        client.send([UPGRADE.as_bytes(), b"first"].concat()).await;
        let head = client.response_head().await;
        assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")));
        assert_eq!(head.header("sec-websocket-accept"), Some("of-k"));
        assert_eq!(client.exactly(5).await, b"hello");
        assert_eq!(client.exactly(5).await, b"first");
        for n in 0..20 {
            let message = format!("message {n}");
            client.send(&message).await;
            assert_eq!(client.exactly(message.len()).await, message.as_bytes());
        }
        let (mut reader, mut writer) = client.split();
        let sent = pattern(1 << 20);
        let ((), back) = tokio::join!(writer.send(&sent), reader.exactly(sent.len()));
        assert!(back == sent);
        writer.shutdown().await;
        assert_eq!(reader.exactly(7).await, b"the end", "one side may end before the other");
        assert!(reader.is_closed().await);
    }
    let log =
        crate::harness::until("both are recorded", || Some(edge.access_log()).filter(|l| l.len() == 2)).await;
    assert!(log.iter().all(|e| e["status"] == 101 && e["termination"] == "complete"), "{log:?}");
    assert!(log.iter().all(|e| e["bytes_in"].as_u64() > Some(1 << 20)), "{log:?}");
}

#[tokio::test]
async fn an_upgraded_connection_outlives_the_total_but_not_the_idle_limit() {
    let backend = websocket();
    let rest = format!("{}\ntimeouts: {{total: 300ms, idle: 500ms}}", forward_to(&[&backend]));
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let mut client = Client::plain(edge.http()).await;
    client.send(UPGRADE).await;
    assert_eq!(client.response_head().await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, b"ping");
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_upgrade_that_was_not_asked_for_or_not_granted_is_none() {
    let refusing = Backend::start(async |_, socket| socket.answer(426, "not here").await);
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&refusing])).start().await;
    let mut client = Client::plain(edge.http()).await;
    for _ in 0..2 {
        client.send(UPGRADE).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (426, "not here"));
    }
    // Without Connection: upgrade the field is hop-by-hop and stays behind.
    let backend = websocket();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "no upgrade");
}

#[tokio::test]
async fn an_upgrade_to_http2_is_not_passed_on() {
    // Requests of the tunnelled connection would pass by routes and firewall.
    let backend = websocket();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    for upgrade in ["h2c", "H2C", "websocket, h2c", "websocket\r\nUpgrade: h2c"] {
        let mut client = Client::plain(edge.http()).await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: acme.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
                 HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
            ))
            .await;
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (200, "no upgrade"), "{upgrade}");
    }
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let backend = Backend::start(async |request, socket| {
        socket
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        for _ in 0..5 {
            socket.send("9\r\ndata: x\n\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if request.target == "/endless" {
            // Ends with the edge's connection.
            while !socket.some().await?.is_empty() {}
        }
        socket.send("0\r\n\r\n").await
    });
    // The total limit is not for event streams.
    let edge = with_certificate(&format!("{}\ntimeouts: {{total: 500ms}}", forward_to(&[&backend]))).await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.header("content-type"), Some("text/event-stream"));
    for _ in 0..5 {
        let event = tokio::time::timeout(Duration::from_millis(350), client.exactly(14)).await;
        assert_eq!(event.expect("an event that is not held back"), b"9\r\ndata: x\n\n\r\n");
    }
    assert_eq!(client.exactly(5).await, b"0\r\n\r\n");

    let mut client = edge.h2("acme.test").await;
    let (response, _) =
        client.begin(Request::get("https://acme.test/endless").body(()).unwrap(), false).await;
    let mut body = soon("a response", response).await.unwrap().into_body();
    for _ in 0..5 {
        let event = tokio::time::timeout(Duration::from_millis(350), body.data()).await;
        assert_eq!(event.expect("an event that is not held back").unwrap().unwrap(), "data: x\n\n");
    }
    drop(body);
    crate::harness::until("the stream is let go", || {
        edge.access_log()
            .iter()
            .any(|e| e["path"] == "/endless" && e["termination"] == "client_closed")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn grpc_streams_both_ways_and_ends_with_trailers() {
    let backend = Backend2::start(|mut body: h2::RecvStream, mut respond: SendResponse<Bytes>| async move {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut send = respond.send_response(head, false)?;
        // One answer for every message, and more messages only after the answer.
        while let Some(message) = body.data().await {
            let message = message?;
            let _ = body.flow_control().release_capacity(message.len());
            if message.is_empty() {
                continue;
            }
            send.send_data([b"re: ", &message[..]].concat().into(), false)?;
        }
        send.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))
    })
    .await;
    let edge = with_certificate(&format!(
        "pools: [{{name: grpc, protocol: http2, backends: [{{address: '{}'}}]}}]\n\
         routes: [{{name: all, forward: {{pool: grpc}}}}]\ntimeouts: {{total: 300ms}}",
        backend.address()
    ))
    .await;
    let mut client = edge.h2("acme.test").await;
    let call = Request::post("https://acme.test/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut send) = client.begin(call, true).await;
    let (head, mut body) = soon("a head before the first message", response).await.unwrap().into_parts();
    assert_eq!(head.headers["content-type"], "application/grpc");
    for n in 0..5 {
        send.send_data(format!("message {n}").into(), false).unwrap();
        let answer = soon("an answer", body.data()).await.unwrap().unwrap();
        assert_eq!(answer, format!("re: message {n}"));
        body.flow_control().release_capacity(answer.len()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send.send_data(Bytes::new(), true).unwrap();
    let end = soon("the end", body.data()).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    let received = &backend.requests()[0];
    assert_eq!(received.headers()["te"], "trailers");
    assert_eq!(received.uri().path(), "/pkg.Service/Method");
}

#[tokio::test]
async fn a_grpc_error_that_is_all_head_is_passed() {
    let backend = Backend2::start(|_, mut respond: SendResponse<Bytes>| async move {
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        respond.send_response(head.body(()).unwrap(), true).map(drop)
    })
    .await;
    let edge = with_certificate(&format!(
        "pools: [{{name: grpc, protocol: http2, backends: [{{address: '{}'}}]}}]\n\
         routes: [{{name: all, forward: {{pool: grpc}}}}]",
        backend.address()
    ))
    .await;
    let mut client = edge.h2("acme.test").await;
    let call = Request::post("https://acme.test/m").header("te", "trailers").body(()).unwrap();
    let (response, mut send) = client.begin(call, true).await;
    send.send_data("message".into(), true).unwrap();
    let reply = crate::harness::Reply2::read(response).await.unwrap();
    assert_eq!((reply.header("grpc-status"), reply.text()), (Some("5"), ""));
}
