//! Backends that break off, fall silent or talk nonsense: the client never takes a broken answer for a whole one.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};

use crate::harness::{
    Backend, Backend2, Client, Edge, forward_to, list, pattern, read_body, send_body, until,
};

async fn edge_for(backend: &Backend, rest: &str) -> Edge {
    Edge::new().tls_tenant(&format!("{}\n{rest}", forward_to(&[backend]))).start().await
}

#[tokio::test]
async fn a_backend_that_dies_in_mid_body_breaks_the_answer() {
    let backend = Backend::start(async |request, socket| {
        let head = match request.target.as_str() {
            "/length" | "/length/reset" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            "/chunked" | "/chunked/reset" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
            }
            "/inside" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
            "/trailer" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
            "/close/reset" => "HTTP/1.1 200 OK\r\n\r\nhalf",
            "/bad-chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
            "/long-chunk" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf and more\r\n0\r\n\r\n"
            }
            other => panic!("{other}"),
        };
        socket.send(head).await?;
        // What was sent has arrived at the edge before the break does.
        tokio::time::sleep(Duration::from_millis(30)).await;
        if request.target.ends_with("/reset") {
            socket.reset();
            Ok(())
        } else {
            socket.close().await
        }
    });
    let edge = edge_for(&backend, "").await;
    for path in [
        "/length",
        "/length/reset",
        "/chunked",
        "/chunked/reset",
        "/inside",
        "/trailer",
        "/close/reset",
        "/bad-chunk",
        "/long-chunk",
    ] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: acme.test\r\n\r\n");
        for mut client in [Client::plain(edge.http()).await, edge.tls("acme.test").await] {
            client.send(&get).await;
            let broken = client.try_response().await;
            assert!(broken.is_err(), "HTTP/1 {path}: {broken:?}");
        }
        let mut client = Client::plain(edge.http()).await;
        client.send(get.replace("HTTP/1.1", "HTTP/1.0")).await;
        let broken = client.try_response().await;
        assert!(broken.is_err(), "HTTP/1.0 {path}: {broken:?}");

        let mut client = edge.h2("acme.test").await;
        let request = || Request::get(format!("https://acme.test{path}")).body(()).unwrap();
        let broken = client.request(request()).await.unwrap_err();
        assert!(broken.is_reset(), "HTTP/2 {path}: {broken}");
    }
    let log = edge.access_log();
    assert!(log.iter().all(|entry| entry["termination"] == "backend_closed"), "{log:?}");
}

#[tokio::test]
async fn an_http2_backend_that_dies_in_mid_body_breaks_the_answer() {
    let backend = Backend2::start(|_, mut respond: SendResponse<Bytes>| async move {
        let mut send = respond.send_response(Response::new(()), false)?;
        send_body(&mut send, b"half", false).await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
        send.send_reset(h2::Reason::INTERNAL_ERROR);
        Ok(())
    })
    .await;
    let rest = format!(
        "pools: [{{name: web, protocol: http2, backends: [{{address: '{}'}}]}}]\n\
         routes: [{{name: all, forward: {{pool: web}}}}]",
        backend.address()
    );
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert!(client.try_response().await.is_err());
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502() {
    let backend = Backend::start(async |request, socket| {
        let answer = match request.target.as_str() {
            "/nonsense" => "220 mail.test ESMTP\r\n\r\n",
            "/bare-lf" => "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "/two-lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "/length-and-chunked" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            }
            "/coding" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
            "/control" => "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
            "/switch" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "/interim" => return socket.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await,
            "/huge" => {
                return socket.send(format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(100_000))).await;
            }
            "/nothing" => "",
            other => panic!("{other}"),
        };
        socket.send(answer).await?;
        socket.close().await
    });
    let edge = edge_for(&backend, "").await;
    for path in [
        "/nonsense",
        "/bare-lf",
        "/two-lengths",
        "/length-and-chunked",
        "/coding",
        "/control",
        "/switch",
        "/interim",
        "/huge",
        "/nothing",
    ] {
        let response = edge.get("acme.test", path).await;
        assert_eq!(response.status, 502, "{path}");
        assert_eq!(response.json()["status"], 502, "{path}");
    }
}

#[tokio::test]
async fn bytes_after_a_response_do_not_become_the_next_one() {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";
    let backend = Backend::start(async |request, socket| {
        let target = request.target;
        if target.starts_with("/at-once") {
            return socket
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}{POISON}", target.len()))
                .await;
        }
        socket.answer(200, &target).await?;
        socket.send(POISON).await
    });
    let edge = edge_for(&backend, "").await;
    let mut client = Client::plain(edge.http()).await;
    for path in ["/at-once", "/soon-after"] {
        for n in 0..10 {
            let target = format!("{path}/{n}");
            assert_eq!(client.get("acme.test", &target).await.text(), target);
            if path == "/soon-after" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn silence_ends_after_its_limit() {
    let backend = Backend::start(async |request, socket| {
        match request.target.as_str() {
            "/silent" => {}
            "/patient" => {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                return socket.answer(200, "late").await;
            }
            "/stalled" => socket.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await?,
            "/dripping" => {
                socket.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await?;
                for _ in 0..1000 {
                    socket.send("x").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            _ => return socket.answer(200, "ok").await,
        }
        std::future::pending().await
    });
    let pools = format!("pools: [{{name: web, retry: {{attempts: 0}}, backends: {}}}]", list(&[&backend]));
    let rest = format!(
        "{pools}\ntimeouts: {{first_byte: 300ms, idle: 400ms, total: 1s}}\n\
         routes:\n\
         - {{name: all, forward: {{pool: web}}}}\n\
         - {{name: patient, path: {{exact: /patient}}, forward: {{pool: web}}, timeouts: {{first_byte: 5s, total: 5s}}}}"
    );
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let begun = Instant::now();
    let response = edge.get("acme.test", "/silent").await;
    assert_eq!(response.status, 504);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(900), "{took:?}");
    assert_eq!(edge.get("acme.test", "/patient").await.text(), "late", "a route may have limits of its own");
    for (path, at_least, termination) in
        [("/stalled", 400, "backend_timeout"), ("/dripping", 1000, "backend_timeout")]
    {
        let begun = Instant::now();
        let mut client = Client::plain(edge.http()).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: acme.test\r\n\r\n")).await;
        let id = {
            let head = client.response_head().await;
            head.header("x-request-id").unwrap().to_owned()
        };
        while client.some().await.is_ok_and(|bytes| !bytes.is_empty()) {}
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(at_least) && took < Duration::from_millis(at_least + 900),
            "{took:?}"
        );
        assert_eq!(edge.access(&id).await["termination"], termination, "{path}");
    }
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_a_504_or_502_in_time() {
    // A listener whose queue is full takes no further connection, and says nothing about it.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
    }
    let closed = Backend::named("x").address();
    let pool = |address| {
        format!(
            "pools: [{{name: web, backends: [{{address: '{address}'}}]}}]\n\
             routes: [{{name: all, forward: {{pool: web}}}}]\ntimeouts: {{connect: 200ms}}"
        )
    };
    let edge = Edge::new()
        .tenant("a", "full.test", &pool(address))
        .tenant("b", "closed.test", &pool(closed))
        .start()
        .await;
    let begun = Instant::now();
    assert_eq!(edge.get("full.test", "/").await.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(edge.get("closed.test", "/").await.status, 502);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_held_against_the_backend() {
    let backend = Backend::start(async |request, socket| {
        let size = if request.target == "/large" { 50 << 20 } else { 2 };
        socket.answer(200, vec![b'x'; size]).await
    });
    let edge = edge_for(&backend, "timeouts: {idle: 200ms}").await;
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET /large HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        let id = client.response_head().await.header("x-request-id").unwrap().to_owned();
        idle.push((client, id));
    }
    for (_, id) in &idle {
        assert_eq!(edge.access(id).await["termination"], "client_timeout");
    }
    let up =
        format!("veloflux_backend_health{{tenant=\"acme\",pool=\"web\",backend=\"{}\"}}", backend.address());
    assert_eq!(edge.metric(&up).await, Some(1.0));
    assert_eq!(edge.get("acme.test", "/small").await.text(), "xx");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_not_held_against_the_backend() {
    let backend = Backend::start(async |_, socket| {
        // Answers before the request has ended, and then waits for the rest of it.
        socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await?;
        socket.body().await?;
        socket.send("0\r\n\r\n").await
    });
    let edge = edge_for(&backend, "timeouts: {idle: 200ms}").await;
    let mut client = Client::plain(edge.http()).await;
    client.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 1000\r\n\r\nhalf").await;
    let id = client.response_head().await.header("x-request-id").unwrap().to_owned();
    assert_eq!(edge.access(&id).await["termination"], "client_timeout");
}

#[tokio::test]
async fn a_backend_that_does_not_read_is_not_held_against_the_client() {
    let backend = Backend::start(async |_, _| std::future::pending().await);
    let edge = edge_for(&backend, "timeouts: {idle: 300ms, first_byte: 300ms}\nmax_body: 1GiB").await;
    let mut writer = Client::plain(edge.http()).await;
    writer.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 100000000\r\n\r\n").await;
    let piece = pattern(1 << 20);
    while writer.try_send(&piece).await.is_ok() {}
    // Whoever sends on and on may miss the answer; the log has it.
    let answered = until("an entry", || edge.access_log().pop()).await;
    assert_eq!((&answered["status"], &answered["termination"]), (&504.into(), &"rejected".into()));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_at_the_backend() {
    let backend = Backend::start(async |_, socket| {
        // Ends when the edge closes the connection.
        let end = socket.some().await?;
        assert!(end.is_empty());
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let edge = edge_for(&backend, "").await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET /one HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    until("the request arrives", || (backend.count() == 1).then_some(())).await;
    drop(client);
    until("it is recorded", || {
        edge.access_log().iter().any(|entry| entry["termination"] == "client_closed").then_some(())
    })
    .await;
    edge.metric_becomes("veloflux_active_connections{tenant=\"acme\"}", 0.0).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_its_request_is_not_taken_for_one_that_ended() {
    let (told, outcomes) = mpsc::channel();
    let h1 = Backend::start(async move |_, socket| {
        told.send(socket.body().await.is_err()).unwrap();
        socket.close().await
    });
    let (told, outcomes2) = mpsc::channel();
    let h2 = Backend2::start(move |body: h2::RecvStream, _respond: SendResponse<Bytes>| {
        let told = told.clone();
        async move {
            told.send(read_body(body).await.is_err()).unwrap();
            Ok(())
        }
    })
    .await;
    let edge = Edge::new()
        .tls_tenant(&format!(
            "pools:\n\
             - {{name: h1, backends: [{{address: '{}'}}]}}\n\
             - {{name: h2, protocol: http2, backends: [{{address: '{}'}}]}}\n\
             routes:\n\
             - {{name: h1, path: {{prefix: /h1}}, forward: {{pool: h1}}}}\n\
             - {{name: h2, path: {{prefix: /h2}}, forward: {{pool: h2}}}}",
            h1.address(),
            h2.address()
        ))
        .start()
        .await;
    for (path, outcomes) in [("/h1", &outcomes), ("/h2", &outcomes2)] {
        for framing in ["Content-Length: 1000\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
        {
            let mut client = Client::plain(edge.http()).await;
            client.send(format!("POST {path} HTTP/1.1\r\nHost: acme.test\r\n{framing}")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(client);
            let broken = until("the backend sees the end", || outcomes.try_recv().ok()).await;
            assert!(broken, "{path} {framing:?}");
        }
        let mut client = edge.h2("acme.test").await;
        let request = Request::post(format!("https://acme.test{path}")).body(()).unwrap();
        let (_response, mut stream) = client.begin(request, true).await;
        send_body(&mut stream, b"half", false).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(h2::Reason::CANCEL);
        let broken = until("the backend sees the end", || outcomes.try_recv().ok()).await;
        assert!(broken, "{path} from HTTP/2");
    }
}
