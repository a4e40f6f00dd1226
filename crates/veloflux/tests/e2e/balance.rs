//! Which backend a request goes to, and when it may go to another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;

use crate::harness::{Backend, Backend2, Client, Edge, list, read_body, soon, until};

/// A tenant whose one pool is described by `pool`. One serving thread, so that turns are exact.
async fn balanced(pool: &str) -> Edge {
    let rest = format!("pools: [{{name: web, {pool}}}]\nroutes: [{{name: all, forward: {{pool: web}}}}]");
    Edge::new().process("threads: 1").tenant("acme", "acme.test", &rest).start().await
}

/// Who answers `n` requests.
async fn tally(client: &mut Client, n: usize) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..n {
        *tally.entry(client.get("acme.test", "/").await.text().to_owned()).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(name, n)| (name.to_owned(), n)).into()
}

fn health_line(backend: &Backend) -> String {
    format!("veloflux_backend_health{{tenant=\"acme\",pool=\"web\",backend=\"{}\"}}", backend.address())
}

#[tokio::test]
async fn round_robin_is_even_and_weights_are_kept() {
    let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    let edge = balanced(&format!("algorithm: round_robin, backends: {}", list(&[&a, &b, &c]))).await;
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 30).await, counts([("a", 10), ("b", 10), ("c", 10)]));

    let edge = balanced(&format!(
        "algorithm: weighted_round_robin, backends: [{{address: '{}', weight: 3}}, {{address: '{}'}}]",
        a.address(),
        b.address()
    ))
    .await;
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 40).await, counts([("a", 30), ("b", 10)]));
    let mut longest = (0, 0);
    for _ in 0..16 {
        let run = if client.get("acme.test", "/").await.text() == "a" { longest.1 + 1 } else { 0 };
        longest = (longest.0.max(run), run);
    }
    assert!(longest.0 <= 3, "smooth: {} in a row", longest.0);
}

#[tokio::test]
async fn ip_hash_keeps_a_client_where_it_is() {
    let backends = [Backend::named("a"), Backend::named("b"), Backend::named("c")];
    let [a, b, c] = &backends;
    let edge =
        balanced(&format!("algorithm: ip_hash, retry: {{attempts: 2}}, backends: {}", list(&[a, b, c])))
            .await;
    let place = async |n: usize| {
        let source = format!("127.0.1.{}", n + 1);
        Client::plain_from(&source, edge.http()).await.get("acme.test", "/").await.text().to_owned()
    };
    let mut places = Vec::new();
    for n in 0..30 {
        places.push(place(n).await);
        assert_eq!(place(n).await, places[n], "client {n}");
    }
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), 3, "all are used: {places:?}");
    let [_, b, _c] = backends;
    b.kill();
    for (n, before) in places.iter().enumerate() {
        let now = place(n).await;
        assert!(
            before == "b" || now == *before,
            "a lost backend moves its own clients only: {before} -> {now}"
        );
        assert_ne!(now, "b");
    }
}

#[tokio::test]
async fn least_conn_goes_where_fewest_requests_are() {
    let busy = Backend::start(async |_, socket| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        socket.answer(200, "busy").await
    });
    let free = Backend::named("free");
    let edge = balanced(&format!("algorithm: least_conn, backends: {}", list(&[&busy, &free]))).await;
    // One of the first two gets stuck at the busy one.
    let mut stuck = Vec::new();
    while busy.count() == 0 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        stuck.push(client);
    }
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 10).await, counts([("free", 10)]));
}

#[tokio::test]
async fn random_two_uses_every_backend() {
    let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    let edge = balanced(&format!("algorithm: random_two, backends: {}", list(&[&a, &b, &c]))).await;
    let mut client = Client::plain(edge.http()).await;
    let tally = tally(&mut client, 60).await;
    assert_eq!(tally.len(), 3, "{tally:?}");
}

#[tokio::test]
async fn a_sticky_cookie_binds_and_a_forged_one_does_not() {
    let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    let edge =
        balanced(&format!("sticky_sessions: {{cookie: stick, ttl: 1h}}, backends: {}", list(&[&a, &b, &c])))
            .await;
    let mut client = Client::plain(edge.http()).await;
    let first = client.get("acme.test", "/").await;
    let cookie = first.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.starts_with("stick=") && cookie.contains("HttpOnly") && cookie.contains("SameSite"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    let mut with = async |cookie: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: acme.test\r\nCookie: x=y; {cookie}\r\n\r\n")).await;
        let response = client.response().await;
        (response.text().to_owned(), response.header("set-cookie").is_some())
    };
    for _ in 0..6 {
        assert_eq!(with(pair).await, (first.text().to_owned(), false));
    }
    // One character changed: signed no more.
    let mut forged = pair.to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    let mut places = BTreeSet::new();
    for _ in 0..6 {
        let (place, set) = with(&forged).await;
        assert!(set, "a forged cookie is replaced");
        places.insert(place);
    }
    assert_eq!(places.len(), 3);
}

#[tokio::test]
async fn a_sticky_backend_that_is_gone_is_replaced() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let edge = balanced(&format!("sticky_sessions: {{cookie: stick}}, backends: {}", list(&[&a, &b]))).await;
    let mut client = Client::plain(edge.http()).await;
    let mut first = client.get("acme.test", "/").await;
    while first.text() != "a" {
        first = client.get("acme.test", "/").await;
    }
    let pair = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    a.kill();
    client.send(format!("GET / HTTP/1.1\r\nHost: acme.test\r\nCookie: {pair}\r\n\r\n")).await;
    let response = client.response().await;
    assert_eq!(response.text(), "b");
    assert!(response.header("set-cookie").is_some());
}

#[tokio::test]
async fn a_health_check_takes_a_backend_out_and_back() {
    let ill = Arc::new(AtomicBool::new(false));
    let told = ill.clone();
    let a = Backend::start(async move |request, socket| match request.target.as_str() {
        "/health?deep" if told.load(SeqCst) => socket.answer(200, "ill").await,
        "/health?deep" => socket.answer(200, "all is well").await,
        _ => socket.answer(200, "a").await,
    });
    let b = Backend::start(async |request, socket| {
        socket.answer(200, if request.target == "/health?deep" { "well" } else { "b" }).await
    });
    let edge = balanced(&format!(
        "health_check: {{path: '/health?deep', host: health.test, expected_status: [200], \
         expected_body: well, interval: 100ms, timeout: 90ms, rise: 2, fall: 2}}, backends: {}",
        list(&[&a, &b])
    ))
    .await;
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 10).await, counts([("a", 5), ("b", 5)]));
    ill.store(true, SeqCst);
    edge.metric_becomes(&health_line(&a), 0.0).await;
    assert_eq!(tally(&mut client, 10).await, counts([("b", 10)]));
    ill.store(false, SeqCst);
    edge.metric_becomes(&health_line(&a), 1.0).await;
    assert_eq!(tally(&mut client, 10).await, counts([("a", 5), ("b", 5)]));
    let check = a.requests().into_iter().find(|r| r.target == "/health?deep").unwrap();
    assert_eq!(check.header("host"), Some("health.test"));
}

#[tokio::test]
async fn a_health_check_speaks_the_pools_protocol() {
    let backend = Backend2::start(|_, mut respond: SendResponse<Bytes>| async move {
        respond.send_response(Response::builder().status(204).body(()).unwrap(), true).map(drop)
    })
    .await;
    let edge = balanced(&format!(
        "protocol: http2, health_check: {{path: /health, interval: 100ms, timeout: 90ms}}, backends: [{{address: '{}'}}]",
        backend.address()
    ))
    .await;
    until("it is checked", || (backend.requests().len() >= 3).then_some(())).await;
    assert_eq!(backend.requests()[0].uri().path(), "/health");
    assert_eq!(edge.get("acme.test", "/").await.status, 204);
}

#[tokio::test]
async fn a_backend_may_have_a_name() {
    let backend = Backend::named("named");
    let edge = balanced(&format!("backends: [{{address: 'localhost:{}'}}]", backend.address().port())).await;
    assert_eq!(edge.get("acme.test", "/").await.text(), "named");
}

#[tokio::test]
async fn a_pool_without_a_healthy_backend_says_so() {
    let a = Backend::named("a");
    let address = a.address();
    let edge = balanced(&format!(
        "health_check: {{type: tcp, interval: 100ms, timeout: 90ms, rise: 1, fall: 1}}, backends: {}",
        list(&[&a])
    ))
    .await;
    let line = health_line(&a);
    a.kill();
    edge.metric_becomes(&line, 0.0).await;
    let response = edge.get("acme.test", "/").await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    let _back = Backend::start_on(address, async |_, socket| socket.answer(200, "back").await);
    edge.metric_becomes(&line, 1.0).await;
    assert_eq!(edge.get("acme.test", "/").await.text(), "back");
}

#[tokio::test]
async fn a_backend_that_fails_requests_is_ejected_for_a_while() {
    let failing = Arc::new(AtomicBool::new(true));
    let told = failing.clone();
    let bad = Backend::start(async move |_, socket| {
        socket.answer(if told.load(SeqCst) { 503 } else { 200 }, "bad").await
    });
    let good = Backend::named("good");
    let edge = balanced(&format!(
        "ejection: {{consecutive_failures: 3, base: 600ms}}, backends: {}",
        list(&[&bad, &good])
    ))
    .await;
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 12).await, counts([("bad", 3), ("good", 9)]));
    assert_eq!(edge.metric(&health_line(&bad)).await, Some(0.0));
    failing.store(false, SeqCst);
    edge.metric_becomes(&health_line(&bad), 1.0).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let tally = tally(&mut client, 10).await;
    assert!(tally["bad"] >= 4, "{tally:?}");
}

/// A backend that takes a request and breaks the connection before it answers.
fn breaking(seen: &Arc<AtomicUsize>) -> Backend {
    let seen = seen.clone();
    Backend::start(async move |_, socket| {
        seen.fetch_add(1, SeqCst);
        socket.body().await?;
        socket.reset();
        Err(io::ErrorKind::ConnectionReset.into())
    })
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let broken = Arc::new(AtomicUsize::new(0));
    let bad = breaking(&broken);
    let good = Backend::echo();
    let edge = balanced(&format!(
        "retry: {{budget_percent: 100}}, ejection: {{consecutive_failures: 1000}}, backends: {}",
        list(&[&bad, &good])
    ))
    .await;
    let mut client = Client::plain(edge.http()).await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        for _ in 0..4 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: acme.test\r\n\r\n")).await;
            let status = if method == "HEAD" {
                client.response_head().await.status
            } else {
                client.response().await.status
            };
            assert_eq!(status, 200, "{method}");
        }
    }
    assert!(broken.load(SeqCst) >= 8, "half of them were broken at first");

    let before = (broken.load(SeqCst), good.count());
    let mut statuses = BTreeMap::<u16, usize>::new();
    for _ in 0..8 {
        for method in ["POST", "PATCH"] {
            let mut client = Client::plain(edge.http()).await;
            client
                .send(format!("{method} / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 2\r\n\r\nhi"))
                .await;
            *statuses.entry(client.response().await.status).or_default() += 1;
        }
    }
    assert_eq!(statuses, BTreeMap::from([(200, 8), (502, 8)]));
    let sent = (broken.load(SeqCst) - before.0) + (good.count() - before.1);
    assert_eq!(sent, 16, "each was sent once");
}

#[tokio::test]
async fn whatever_never_reached_a_backend_may_go_to_another() {
    let gone = Backend::named("gone");
    let good = Backend::echo();
    let pool = format!("ejection: {{consecutive_failures: 1000}}, backends: {}", list(&[&gone, &good]));
    gone.kill();
    let edge = balanced(&pool).await;
    let mut client = Client::plain(edge.http()).await;
    for _ in 0..4 {
        client.send("POST / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        // Its body has not been read when the connection fails.
        client.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.response().await.text(), "hi");
    }
}

#[tokio::test]
async fn kept_connections_that_the_backend_closed_do_not_show() {
    let backend = Backend::start(async |request, socket| {
        socket.body().await?;
        socket.answer(200, &request.method).await?;
        // An impatient server: closes every connection a moment after its answer, without having said so.
        tokio::time::sleep(Duration::from_millis(5)).await;
        socket.close().await
    });
    let edge = balanced(&format!("backends: {}", list(&[&backend]))).await;
    let mut client = Client::plain(edge.http()).await;
    for n in 0..60 {
        assert_eq!(client.get("acme.test", "/").await.text(), "GET", "{n}");
        tokio::time::sleep(Duration::from_millis(n % 8)).await;
    }
    // Nothing of a POST may be lost or sent twice either, when the close came before it.
    for n in 0..10 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        client.send("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.response().await.text(), "POST", "{n}");
    }
    assert_eq!(backend.requests().iter().filter(|r| r.method == "POST").count(), 10);
    assert_eq!(
        edge.metric(&health_line(&backend)).await,
        Some(1.0),
        "a closed idle connection is no failure"
    );
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let broken = Arc::new(AtomicUsize::new(0));
    let (bad, worse) = (breaking(&broken), breaking(&broken));
    let edge = balanced(&format!(
        "ejection: {{consecutive_failures: 1000}}, retry: {{attempts: 2, budget_percent: 10}}, backends: {}",
        list(&[&bad, &worse])
    ))
    .await;
    for _ in 0..100 {
        assert_eq!(edge.get("acme.test", "/").await.status, 502);
    }
    let attempts = broken.load(SeqCst);
    assert!((100..=115).contains(&attempts), "10 % of 100, and a floor of 10: {attempts}");
    assert_eq!(edge.metric("veloflux_retries_total").await, Some((attempts - 100) as f64));
}

#[tokio::test]
async fn an_http2_backend_with_few_streams_serves_many_requests() {
    let backend = Backend2::limited(10, usize::MAX, |_, mut respond: SendResponse<Bytes>| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        respond.send_response(Response::new(()), false)?.send_data("ok".into(), true)
    })
    .await;
    let edge = balanced(&format!("protocol: http2, backends: [{{address: '{}'}}]", backend.address())).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        clients.push(client);
    }
    for mut client in clients {
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (200, "ok"));
    }
    assert!(backend.connections() <= 4, "{} connections", backend.connections());
    assert_eq!(backend.requests().len(), 200, "none was refused and sent again");
}

#[tokio::test]
async fn an_http2_backend_that_says_goodbye_loses_nothing() {
    // Each connection takes five requests, as servers do that renew connections now and then.
    let backend =
        Backend2::limited(100, 5, |body: h2::RecvStream, mut respond: SendResponse<Bytes>| async move {
            let (body, _) = read_body(body).await?;
            respond.send_response(Response::new(()), false)?.send_data(body.into(), true)
        })
        .await;
    let edge = balanced(&format!("protocol: http2, backends: [{{address: '{}'}}]", backend.address())).await;
    let mut client = Client::plain(edge.http()).await;
    for n in 0..60 {
        let body = format!("{n:02}");
        client.send(format!("POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 2\r\n\r\n{body}")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (200, body.as_str()), "{n}");
    }
    assert_eq!(backend.requests().len(), 60);
}

#[tokio::test]
async fn a_draining_backend_finishes_and_gets_nothing_new() {
    let release = Arc::new(AtomicBool::new(false));
    let told = release.clone();
    let leaving = Backend::start(async move |request, socket| {
        while request.target == "/slow" && !told.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        socket.answer(200, "leaving").await
    });
    let staying = Backend::named("staying");
    let pool = |drain: bool| {
        format!(
            "pools: [{{name: web, backends: [{{address: '{}', drain: {drain}}}, {{address: '{}'}}]}}]\n\
             domains: [{{host: acme.test}}]\nroutes: [{{name: all, forward: {{pool: web}}}}]",
            leaving.address(),
            staying.address()
        )
    };
    let mut edge = Edge::new();
    edge.set_tenant("acme", &pool(false));
    let mut edge = edge.start().await;
    let mut waiting = Vec::new();
    while leaving.count() == 0 {
        let mut client = Client::plain(edge.http()).await;
        client.send("GET /slow HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        waiting.push(client);
    }
    edge.set_tenant("acme", &pool(true));
    edge.reload().await;
    let mut client = Client::plain(edge.http()).await;
    assert_eq!(tally(&mut client, 6).await, counts([("staying", 6)]));
    release.store(true, SeqCst);
    let last = waiting.last_mut().unwrap();
    assert_eq!(soon("the slow request", last.response()).await.text(), "leaving");
    until("it is recorded", || edge.access_log().iter().any(|e| e["path"] == "/slow").then_some(())).await;
}
