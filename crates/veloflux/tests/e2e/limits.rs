//! Limits of connections and heads: what exceeds one is told so and cut.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Edge, forward_to};

async fn limited(backend: &Backend, limits: &str) -> Edge {
    Edge::new()
        .process(&format!("limits: {{{limits}}}"))
        .tenant("acme", "acme.test", &forward_to(&[backend]))
        .start()
        .await
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let backend = Backend::named("b");
    let edge = limited(&backend, "header_timeout: 500ms, keep_alive_timeout: 300ms").await;
    let begun = Instant::now();
    let (mut reader, mut writer) = Client::plain(edge.http()).await.split();
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if writer.try_send([*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    let response = tokio::select! {
        response = reader.response() => response,
        () = trickle => unreachable!(),
    };
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(1500), "{took:?}");

    // Silence before a request needs no answer, between requests neither.
    let mut silent = Client::plain(edge.http()).await;
    assert!(silent.is_closed().await);
    let mut kept = Client::plain(edge.http()).await;
    assert_eq!(kept.get("acme.test", "/").await.text(), "b");
    assert!(kept.is_closed().await);
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut() {
    let backend = Backend::echo();
    let rest = format!("{}\ntimeouts: {{idle: 300ms, total: 1s}}", forward_to(&[&backend]));
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let head = "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 1000\r\n\r\nhalf";
    let mut silent = Client::plain(edge.http()).await;
    silent.send(head).await;
    assert_eq!(silent.response().await.status, 408);
    let (mut reader, mut writer) = Client::plain(edge.http()).await.split();
    writer.send(head).await;
    let trickle = async {
        while writer.try_send("x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        response = reader.response() => assert_eq!(response.status, 408),
        () = trickle => unreachable!(),
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_cut() {
    let backend = Backend::named("b");
    let edge = limited(&backend, "header_timeout: 300ms").await;
    let mut silent = Client::plain(edge.https()).await;
    assert!(silent.is_closed().await);
    edge.metric_becomes("veloflux_handshakes_failed_total", 1.0).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let backend = Backend::named("b");
    let edge = limited(&backend, "max_connections: 3").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = Client::plain(edge.http()).await;
        assert_eq!(client.get("acme.test", "/").await.text(), "b");
        held.push(client);
    }
    let mut beyond = Client::plain(edge.http()).await;
    assert!(beyond.is_closed().await);
    assert_eq!(edge.metric("veloflux_connections_refused_total").await, Some(1.0));
    assert_eq!(held[0].get("acme.test", "/").await.text(), "b");
    drop(held.pop());
    someone_is_served(&edge).await;
}

/// Waits until a new connection finds a place.
async fn someone_is_served(edge: &Edge) {
    crate::harness::soon("a place is free", async {
        loop {
            let mut client = Client::plain(edge.http()).await;
            let sent = client.try_send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
            if sent.is_ok() && client.try_response().await.is_ok_and(|r| r.status == 200) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_clients_connections_beyond_its_limit_are_closed_and_others_are_not() {
    let backend = Backend::named("b");
    let edge = limited(&backend, "max_connections_per_client: 2").await;
    // They need not ask for anything. Which of them a core sees last is chance.
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(Client::plain(edge.http()).await);
    }
    edge.metric_becomes("veloflux_connections_refused_total", 1.0).await;
    assert_eq!(Client::plain_from("127.0.0.2", edge.http()).await.get("acme.test", "/").await.text(), "b");
    let mut served = 0;
    for client in &mut opened {
        let sent = client.try_send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        served += usize::from(sent.is_ok() && client.try_response().await.is_ok_and(|r| r.text() == "b"));
    }
    assert_eq!(served, 2);
    assert_eq!(edge.metric("veloflux_connections_refused_total").await, Some(1.0));
    opened.clear();
    someone_is_served(&edge).await;
}

#[tokio::test]
async fn the_systems_limit_of_open_files_is_used_up_to_the_hard_one() {
    let backend = Backend::start(async |_, socket| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        socket.answer(200, "b").await
    });
    let edge = Edge::new().open_files("64:4096").tenant("acme", "acme.test", &forward_to(&[&backend]));
    let edge = edge.start().await;
    // Two descriptors each, and all at once.
    let mut clients = Vec::new();
    for _ in 0..150 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "b");
    }
    edge.said("max_connections").await;
}

#[tokio::test]
async fn heads_beyond_their_limits_are_refused() {
    let backend = Backend::named("b");
    let edge = limited(&backend, "max_header_bytes: 4KiB, max_headers: 20").await;
    let long = "a".repeat(5000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: acme.test\r\n\r\n"), 414),
        // The line's end is not needed to see that.
        (format!("GET /{long}"), 414),
        (format!("GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: {long}"), 431),
        (format!("GET / HTTP/1.1\r\nHost: acme.test\r\n{}\r\n", "X: y\r\n".repeat(20)), 431),
        (format!("GET / HTTP/1.1\r\nHost: acme.test\r\n{}\r\n", "X: y\r\n".repeat(19)), 200),
        (format!("GET /{} HTTP/1.1\r\nHost: acme.test\r\n\r\n", &long[..4000]), 200),
    ] {
        let mut client = Client::plain(edge.http()).await;
        client.send(&request).await;
        assert_eq!(client.response().await.status, status, "{}", &request[..50]);
        if status != 200 {
            assert!(client.is_closed().await);
        }
    }
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn what_nobody_reads_is_not_gathered() {
    let backend = Backend::start(async |request, socket| {
        if request.method == "POST" {
            return std::future::pending().await;
        }
        socket.answer(200, vec![b'x'; 64 << 20]).await
    });
    let edge = Edge::new().tls_tenant(&format!("max_body: 1GiB\n{}", forward_to(&[&backend]))).start().await;
    let before = edge.memory_kib();
    // Downloads that are not read, over both protocols.
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        held.push(client);
    }
    let mut client = edge.h2("acme.test").await;
    let mut responses = Vec::new();
    for _ in 0..10 {
        let request = http::Request::get("https://acme.test/").body(()).unwrap();
        responses.push(client.begin(request, false).await.0.await.unwrap());
    }
    // Uploads that the backend does not read.
    let mut uploads = Vec::new();
    for _ in 0..10 {
        let mut upload = Client::plain(edge.http()).await;
        upload.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 100000000\r\n\r\n").await;
        let piece = vec![b'y'; 1 << 20];
        while tokio::time::timeout(Duration::from_millis(50), upload.try_send(&piece)).await.is_ok() {}
        uploads.push(upload);
    }
    let request = http::Request::post("https://acme.test/").body(()).unwrap();
    let (_response, mut stream) = client.begin(request, true).await;
    let large = vec![b'z'; 8 << 20];
    let flood = crate::harness::send_body(&mut stream, &large, true);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), flood).await.is_err(),
        "the window is not opened"
    );
    let grown = edge.memory_kib() - before;
    assert!(grown < 24 << 10, "{grown} KiB for 31 exchanges of 64 MiB and more");
}

#[tokio::test]
async fn http2_keeps_the_same_limits() {
    let backend = Backend::start(async |request, socket| match request.target.as_str() {
        "/hang" => std::future::pending().await,
        _ => socket.answer(200, "b").await,
    });
    let edge = Edge::new()
        .process("limits: {max_header_bytes: 4KiB, max_headers: 20, http2: {max_reset_streams: 5}}")
        .tls_tenant(&forward_to(&[&backend]))
        .start()
        .await;
    let get = |path: &str| http::Request::get(format!("https://acme.test{path}"));
    let mut client = edge.h2("acme.test").await;
    let long = get("/").header("x-a", "a".repeat(5000)).body(()).unwrap();
    assert_eq!(client.request(long).await.unwrap().status(), 431);
    let mut many = get("/");
    for _ in 0..21 {
        many = many.header("x", "y");
    }
    assert_eq!(client.request(many.body(()).unwrap()).await.unwrap().status(), 431);
    assert_eq!(client.get("https://acme.test/").await.text(), "b");

    // Streams that are opened and reset at once end the connection (CVE-2023-44487).
    let mut attacker = edge.h2("acme.test").await;
    for _ in 0..200 {
        if attacker.connection.is_finished() {
            break;
        }
        let Ok(mut stream) = attacker.try_begin(get("/hang").body(()).unwrap()).await else { break };
        stream.send_reset(h2::Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    let ended = crate::harness::soon("the connection ends", &mut attacker.connection).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(client.get("https://acme.test/").await.text(), "b", "others go on");
}
