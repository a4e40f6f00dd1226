//! Exchanges between every pair of protocols: bodies of every framing, both ways, byte for byte.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};

use crate::harness::{Backend, Backend2, Client, Edge, Reply2, forward_to, pattern, send_body};

/// A body that does not fit any buffer on the way.
const LARGE: usize = 10 << 20;

/// A tenant `acme` with `routes` in front of these backends: `/h1` goes to one, all else to the other.
async fn both(h1: &Backend, h2: &Backend2) -> Edge {
    // One thread, and so one pool of connections to each backend.
    Edge::new()
        .process("threads: 1")
        .tls_tenant(&format!(
            "pools:\n\
             - {{name: h1, backends: [{{address: '{}'}}]}}\n\
             - {{name: h2, protocol: http2, backends: [{{address: '{}'}}]}}\n\
             routes:\n\
             - {{name: h1, path: {{prefix: /h1}}, forward: {{pool: h1}}}}\n\
             - {{name: h2, path: {{prefix: /h2}}, forward: {{pool: h2}}}}\n\
             max_body: 1GiB",
            h1.address(),
            h2.address()
        ))
        .start()
        .await
}

/// Sends back what it receives, as it arrives.
async fn echo_stream(
    mut socket_body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut send = respond.send_response(Response::new(()), false)?;
    while let Some(piece) = socket_body.data().await {
        let piece = piece?;
        send_body(&mut send, &piece, false).await?;
        let _ = socket_body.flow_control().release_capacity(piece.len());
    }
    match socket_body.trailers().await? {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    }
}

/// Sends back what it receives, as it arrives, chunked.
fn echo_chunks() -> Backend {
    Backend::start(async |request, socket| {
        let length = request.header("content-length").map(|n| n.parse::<usize>().unwrap());
        let Some(mut left) = length else {
            let body = socket.body().await?;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            return socket
                .send([head.as_bytes(), &chunks(&body, 5000), b"X-After: yes\r\n\r\n"].concat())
                .await;
        };
        socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        while left > 0 {
            let piece = socket.some().await?;
            assert!(!piece.is_empty(), "the request ended early");
            left -= piece.len();
            socket.send([format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat()).await?;
        }
        socket.send("0\r\nX-After: yes\r\n\r\n").await
    })
}

/// Chunked coding of `body` up to its last chunk; the trailer section is still to come.
fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n");
    out
}

#[tokio::test]
async fn large_bodies_cross_both_ways_at_once_between_all_protocols() {
    let (h1, h2) = (echo_chunks(), Backend2::start(echo_stream).await);
    let edge = both(&h1, &h2).await;
    let sent = pattern(LARGE);
    for path in ["/h1", "/h2"] {
        let mut client = edge.h2("acme.test").await;
        let request = Request::post(format!("https://acme.test{path}")).header("content-length", LARGE);
        let reply = client.post_pattern(request.body(()).unwrap(), LARGE).await;
        assert!(reply.body == sent, "HTTP/2 to {path}: {} bytes came back", reply.body.len());

        let (mut reader, mut writer) = edge.tls("acme.test").await.split();
        let head = format!("POST {path} HTTP/1.1\r\nHost: acme.test\r\nContent-Length: {LARGE}\r\n\r\n");
        let upload = async {
            writer.send(head).await;
            writer.send(&sent).await;
        };
        let ((), response) = tokio::join!(upload, reader.response());
        assert!(response.body == sent, "HTTP/1 to {path}: {} bytes came back", response.body.len());
    }
}

#[tokio::test]
async fn request_bodies_keep_their_content_whatever_their_framing() {
    let (h1, h2) = (Backend::echo(), Backend2::start(echo_stream).await);
    let edge = both(&h1, &h2).await;
    let body = pattern(100_000);
    let length = [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let chunked = [b"Transfer-Encoding: chunked\r\n\r\n", &chunks(&body, 7777)[..], b"\r\n"].concat();
    let mut client = Client::plain(edge.http()).await;
    for path in ["/h1", "/h2"] {
        for framed in [&length, &chunked] {
            client.send(format!("POST {path} HTTP/1.1\r\nHost: acme.test\r\n")).await;
            client.send(framed).await;
            let response = client.response().await;
            assert!(response.body == body);
            // Where the answer begins before the request has ended, the connection is not used again.
            if response.header("connection") == Some("close") {
                client = Client::plain(edge.http()).await;
            }
        }
    }
    let heads = h1.requests();
    assert_eq!(
        (heads[0].header("content-length"), heads[0].header("transfer-encoding")),
        (Some("100000"), None)
    );
    assert_eq!(
        (heads[1].header("content-length"), heads[1].header("transfer-encoding")),
        (None, Some("chunked"))
    );

    let mut client = edge.h2("acme.test").await;
    for path in ["/h1", "/h2"] {
        let request = Request::post(format!("https://acme.test{path}")).body(()).unwrap();
        assert!(client.post_pattern(request, body.len()).await.body == body);
    }
    assert_eq!(h1.requests()[2].header("transfer-encoding"), Some("chunked"));
    assert_eq!(h1.connections(), 1, "the connection to the backend is kept");
}

#[tokio::test]
async fn trailers_cross_between_all_protocols() {
    let (h1, h2) = (echo_chunks(), Backend2::start(echo_stream).await);
    let edge = both(&h1, &h2).await;
    let body = "POST /PATH HTTP/1.1\r\nHost: acme.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                3\r\nabc\r\n0\r\nX-After: yes\r\nContent-Length: 5\r\n\r\n";
    for path in ["h1", "h2"] {
        let mut client = Client::plain(edge.http()).await;
        client.send(body.replace("PATH", path)).await;
        let response = client.response().await;
        assert_eq!(response.text(), "abc");
        assert_eq!(
            response.trailers.0,
            [("x-after".to_owned(), "yes".to_owned())].map(|(n, v)| {
                // HTTP/2 has names in lower case only.
                if path == "h1" { ("X-After".to_owned(), v) } else { (n, v) }
            })
        );

        let mut client = edge.h2("acme.test").await;
        let request = Request::post(format!("https://acme.test/{path}")).body(()).unwrap();
        let (response, mut stream) = client.begin(request, true).await;
        send_body(&mut stream, b"abc", false).await.unwrap();
        stream
            .send_trailers(HeaderMap::from_iter([("x-after".parse().unwrap(), "yes".parse().unwrap())]))
            .unwrap();
        let reply = Reply2::read(response).await.unwrap();
        assert_eq!(reply.text(), "abc");
        assert_eq!(reply.trailers.unwrap()["x-after"], "yes");
    }
    let received = &h1.requests()[0].trailers.0;
    assert_eq!(
        received[..],
        [("X-After".to_owned(), "yes".to_owned())],
        "framing fields do not pass in trailers"
    );
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let h1 = Backend::start(async |request, socket| {
        socket
            .send(match request.target.as_str() {
                "/h1/204" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
                "/h1/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
                _ if request.method == "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            })
            .await
    });
    let h2 = Backend2::start(|_, mut respond: SendResponse<Bytes>| async move {
        respond.send_response(Response::builder().status(204).body(()).unwrap(), true).map(drop)
    })
    .await;
    let edge = both(&h1, &h2).await;
    let mut client = Client::plain(edge.http()).await;
    for _ in 0..2 {
        client.send("HEAD /h1 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        let head = client.response_head().await;
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
        let response = client.get("acme.test", "/h1/204").await;
        assert_eq!(
            (response.status, response.header("content-length"), response.header("x-a")),
            (204, None, Some("1"))
        );
        let response = client.get("acme.test", "/h1/304").await;
        assert_eq!((response.status, response.header("etag")), (304, Some("\"x\"")));
        assert_eq!(client.get("acme.test", "/h1").await.text(), "hello");
        assert_eq!(client.get("acme.test", "/h2").await.status, 204);
    }
    let mut client = edge.h2("acme.test").await;
    let head = client.request(Request::head("https://acme.test/h1").body(()).unwrap()).await.unwrap();
    assert_eq!((head.status(), head.header("content-length"), head.text()), (200, Some("5"), ""));
    for (path, status) in [("/h1/204", 204), ("/h1/304", 304), ("/h2", 204)] {
        let reply = client.get(&format!("https://acme.test{path}")).await;
        assert_eq!((reply.status(), reply.text()), (status, ""));
    }
    assert_eq!(h1.connections(), 1, "the connection to the backend stayed in step");
}

#[tokio::test]
async fn a_response_may_end_with_the_connection() {
    let backend = Backend::start(async |request, socket| {
        let version = if request.target == "/h1/old" { "HTTP/1.0" } else { "HTTP/1.1" };
        socket.send(format!("{version} 200 OK\r\n\r\nuntil ")).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.send("the end").await?;
        socket.close().await
    });
    let h2 = Backend2::start(echo_stream).await;
    let edge = both(&backend, &h2).await;
    let mut client = Client::plain(edge.http()).await;
    for path in ["/h1", "/h1", "/h1/old"] {
        let response = client.get("acme.test", path).await;
        assert_eq!(response.text(), "until the end");
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(edge.h2("acme.test").await.get("https://acme.test/h1").await.text(), "until the end");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_as_such() {
    let backend = Backend::start(async |_, socket| {
        socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await
    });
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.0\r\nHost: acme.test\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text(), response.header("transfer-encoding")), ("hello", None));
    assert!(client.is_closed().await);

    let lengths = Backend::named("kept");
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&lengths])).start().await;
    let mut client = Client::plain(edge.http()).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: acme.test\r\nConnection: keep-alive\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.text(), response.header("connection")), ("kept", Some("keep-alive")));
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start(async |request, socket| {
        if request.target == "/slow" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = socket.body().await?;
        socket.answer(200, [request.target.as_bytes(), &body].concat()).await
    });
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut client = Client::plain(edge.http()).await;
    client
        .send(
            "GET /slow HTTP/1.1\r\nHost: acme.test\r\n\r\n\
             POST /b HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             \r\nGET /c HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n\
             GET /never HTTP/1.1\r\nHost: acme.test\r\n\r\n",
        )
        .await;
    for expected in ["/slow", "/babc", "/c"] {
        assert_eq!(client.response().await.text(), expected);
    }
    assert!(client.is_closed().await);
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_when_its_body_is_wanted() {
    let backend = Backend::echo();
    let rest = format!("{}\nmax_body: 10B", forward_to(&[&backend]));
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let mut client = Client::plain(edge.http()).await;
    let head = |length: usize| {
        format!(
            "PUT / HTTP/1.1\r\nHost: acme.test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    for _ in 0..2 {
        client.send(head(5)).await;
        assert_eq!(client.response().await.status, 100);
        client.send("hello").await;
        assert_eq!(client.response().await.text(), "hello");
    }
    assert_eq!(backend.requests()[0].header("expect"), None, "the edge has answered the expectation");
    client.send(head(11)).await;
    assert_eq!(client.response().await.status, 413, "no 100 before a refusal");
    assert!(client.is_closed().await);
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn an_early_answer_arrives_while_the_request_is_still_being_sent() {
    let h1 = Backend::start(async |_, socket| {
        socket.answer(403, pattern(50_000)).await?;
        // Neither reads nor closes: the answer has to stand by itself.
        tokio::time::sleep(Duration::from_secs(2)).await;
        socket.close().await
    });
    let h2 = Backend2::start(|_body, mut respond: SendResponse<Bytes>| async move {
        let mut send = respond.send_response(Response::builder().status(403).body(()).unwrap(), false)?;
        send_body(&mut send, &pattern(50_000), true).await
    })
    .await;
    let edge = both(&h1, &h2).await;
    for path in ["/h1", "/h2"] {
        let mut client = Client::plain(edge.http()).await;
        client
            .send(format!("POST {path} HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5000000\r\n\r\n"))
            .await;
        client.send(pattern(100_000)).await;
        let response = client.response().await;
        assert_eq!(response.status, 403, "HTTP/1 to {path}");
        assert!(response.body == pattern(50_000), "HTTP/1 to {path}");
        assert_eq!(response.header("connection"), Some("close"));

        let mut client = edge.h2("acme.test").await;
        let request = Request::post(format!("https://acme.test{path}")).body(()).unwrap();
        let (response, mut stream) = client.begin(request, true).await;
        send_body(&mut stream, &pattern(50_000), false).await.unwrap();
        let reply = Reply2::read(response).await.unwrap();
        assert_eq!(reply.status(), 403, "HTTP/2 to {path}");
        assert!(reply.body == pattern(50_000), "HTTP/2 to {path}");
    }
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let backend = Backend::start(async |_, socket| {
        socket
            .send(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Own\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\n\
                 X-Passed: 1\r\nContent-Length: 0\r\n\r\n",
            )
            .await
    });
    let h2 = Backend2::start(echo_stream).await;
    let edge = both(&backend, &h2).await;
    let mut client = Client::plain(edge.http()).await;
    client
        .send(
            "GET /h1 HTTP/1.1\r\nHost: acme.test\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
             Proxy-Connection: keep-alive\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
        )
        .await;
    let response = client.response().await;
    let request = &backend.requests()[0];
    for gone in ["x-mine", "keep-alive", "proxy-connection", "te", "connection"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
    assert_eq!(request.header("x-kept"), Some("1"));
    assert_eq!(request.header("host"), Some("acme.test"));
    for gone in ["x-own", "keep-alive"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_eq!(response.header("x-passed"), Some("1"));
    let reply = edge.h2("acme.test").await.get("https://acme.test/h1").await;
    assert_eq!(
        (reply.header("x-own"), reply.header("connection"), reply.header("x-passed")),
        (None, None, Some("1"))
    );
}
