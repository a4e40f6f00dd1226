//! What breaks HTTP's grammar, or could be read in two ways, is refused and never forwarded.

use http::Request;

use crate::harness::{Backend, Client, Edge, forward_to};

/// Requests that must be answered with 400 and a closed connection. Each is followed by a request that a parser which
/// reads it differently would see.
const BAD: &[&str] = &[
    // RFC 9112 section 6.3: one message, two lengths.
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5, 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: -5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length:\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // White space and line ends where they may not be.
    "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length : 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: acme.test\r\n\r\n",
    "GET / HTTP/1.1\nHost: acme.test\n\n",
    "GET / HTTP/1.1\r\nHost: acme.test\nX-A: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: b\r\n\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: a\rX-B: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX-A: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX A: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nX-\u{e4}: b\r\n\r\n",
    // The request line.
    "GET  / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: acme.test\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "GET /\tHTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "GET /\r\nHost: acme.test\r\n\r\n",
    "GET / http/1.1\r\nHost: acme.test\r\n\r\n",
    "GET / HTTP/1.1.1\r\nHost: acme.test\r\n\r\n",
    "G@T / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "GET acme.test/ HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    "\0\r\n\r\n",
    // Host.
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nHost: acme.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test\r\nHost: other.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test, other.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: acme.test/x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: user@acme.test\r\n\r\n",
    "GET http://user@acme.test/ HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    // Chunked coding.
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A : b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n",
];

/// Transfer codings other than exactly `chunked`: 501 (RFC 9112 section 6.1), and closed.
const CODINGS: &[&str] = &[
    "gzip, chunked",
    "chunked, chunked",
    "identity",
    "xchunked",
    "chunked, identity",
    "\u{b}chunked",
    "chunked;q=1",
];

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: acme.test\r\n\r\n";

#[tokio::test]
async fn malformed_requests_are_refused_and_the_connection_closed() {
    let backend = Backend::echo();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    for bad in BAD {
        let mut client = Client::plain(edge.http()).await;
        client.send(format!("{bad}{NEXT}")).await;
        let response = client.try_response().await.unwrap_or_else(|e| panic!("{bad:?}: {e}"));
        assert_eq!(response.status, 400, "{bad:?}");
        assert_eq!(response.header("connection"), Some("close"), "{bad:?}");
        assert!(client.is_closed().await, "{bad:?}");
    }
    // Broken chunks may show only after the head has gone out; nothing of what follows them may.
    let forwarded: Vec<_> = backend.requests().into_iter().map(|r| (r.method, r.target, r.body)).collect();
    assert!(forwarded.iter().all(|(_, target, _)| target == "/"), "{forwarded:?}");
    assert!(forwarded.iter().all(|(method, _, body)| method == "POST" && body.is_empty()), "{forwarded:?}");
    let chunked = BAD.iter().filter(|bad| bad.contains("chunked\r\n\r\n")).count();
    assert!(forwarded.len() <= chunked, "{forwarded:?}");
}

#[tokio::test]
async fn only_the_chunked_coding_is_understood() {
    let backend = Backend::echo();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    for coding in CODINGS {
        let mut client = Client::plain(edge.http()).await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n{NEXT}"
            ))
            .await;
        let response = client.response().await;
        assert!(matches!(response.status, 400 | 501), "{coding:?}: {}", response.status);
        assert!(client.is_closed().await, "{coding:?}");
    }
    let mut client = Client::plain(edge.http()).await;
    client.send(format!("GET / HTTP/2.0\r\nHost: acme.test\r\n\r\n{NEXT}")).await;
    assert_eq!(client.response().await.status, 505);
    assert!(client.is_closed().await);
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn what_is_odd_but_allowed_is_served() {
    let backend = Backend::echo();
    let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    for (odd, target) in [
        ("GET http://acme.test/a?b HTTP/1.1\r\nHost: other.test\r\n\r\n", "/a?b"),
        ("GET http://ACME.test HTTP/1.1\r\nHost: acme.test\r\n\r\n", "/"),
        ("\r\nGET /b HTTP/1.1\r\nhOST:acme.test\r\nX-Empty:\r\n\r\n", "/b"),
        ("GET /c HTTP/1.1\r\nHost: ACME.TEST.:80\r\n\r\n", "/c"),
        ("POST /d HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: Chunked\r\n\r\n00;a=b\r\n\r\n", "/d"),
        ("OPTIONS * HTTP/1.1\r\nHost: acme.test\r\n\r\n", "*"),
        ("BREW /e HTTP/1.1\r\nHost: acme.test\r\n\r\n", "/e"),
    ] {
        let mut client = Client::plain(edge.http()).await;
        client.send(odd).await;
        assert_eq!(client.response().await.status, 200, "{odd:?}");
        assert_eq!(backend.requests().last().unwrap().target, target, "{odd:?}");
    }
    let absolute = &backend.requests()[0];
    assert_eq!(absolute.header("host"), Some("acme.test"), "the target's authority counts");
}

#[tokio::test]
async fn http2_requests_that_disagree_with_themselves_are_refused() {
    let backend = Backend::echo();
    let edge = Edge::new().tls_tenant(&forward_to(&[&backend])).start().await;
    let mut client = edge.h2("acme.test").await;
    let two_hosts = Request::get("https://acme.test/").header("host", "other.test").body(()).unwrap();
    assert_eq!(client.request(two_hosts).await.unwrap().status(), 400);
    let wrong_length = Request::post("https://acme.test/").header("content-length", "5").body(()).unwrap();
    let (response, mut stream) = client.begin(wrong_length, true).await;
    stream.send_data("too much".into(), true).unwrap();
    assert!(crate::harness::Reply2::read(response).await.is_err());
    assert_eq!(client.get("https://acme.test/").await.status(), 200, "other streams go on");
    let requests = backend.requests();
    assert!(requests.iter().all(|r| r.body.is_empty()), "{requests:?}");
}
