//! The firewall at work, with the OWASP CRS that is on the machine; without one these tests say that they are skipped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Backend, Client, Edge, Response, forward_to, pattern};

pub(crate) const INJECTION: &str = "/?id=1%27%20OR%20%271%27%3D%271%27%20--%20&lang=en";

/// The rules beside the repository, else Debian's.
fn rules() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared =
        std::env::var_os("VELOFLUX_SHARED").map_or_else(|| root.join("../shared"), |dir| root.join(dir));
    let places = [shared.join("data/crs-4.28.0"), "/usr/share/modsecurity-crs".into()];
    places.into_iter().find(|place| place.join("rules").is_dir())
}

/// An edge with the rules installed; `None`: there are none.
pub(crate) fn with_rules() -> Option<Edge> {
    let Some(rules) = rules() else {
        println!("skipped: no CRS beside the repository (data/crs-4.28.0) nor in /usr/share/modsecurity-crs");
        return None;
    };
    let edge = Edge::new();
    let installed = edge.command(&["crs", "install", "--from", rules.to_str().unwrap()]);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    Some(edge)
}

pub(crate) fn policy(backend: &Backend, policy: &str) -> String {
    format!("{}\nfirewall: {{{policy}}}", forward_to(&[backend]))
}

/// A GET as a usual client writes it.
pub(crate) fn get(host: &str, target: &str, accept: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: e2e/1\r\nAccept: {accept}\r\n\r\n")
}

pub(crate) fn post(host: &str, kind: &str, body: &str) -> String {
    format!(
        "POST /form HTTP/1.1\r\nHost: {host}\r\nUser-Agent: e2e/1\r\nAccept: */*\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) async fn ask(edge: &Edge, request: &str) -> Response {
    let mut client = Client::plain(edge.http()).await;
    client.send(request).await;
    client.response().await
}

pub(crate) fn id(response: &Response) -> &str {
    response.header("x-request-id").unwrap()
}

#[tokio::test]
async fn an_attack_is_refused_and_the_log_has_the_rule_that_caught_it() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::named("b");
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: block")).start().await;
    let page = ask(&edge, &get("acme.test", INJECTION, "text/html,application/json;q=0.9")).await;
    assert_eq!((page.status, page.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert!(page.text().contains(id(&page)));
    let problem = ask(&edge, &get("acme.test", INJECTION, "application/json")).await;
    assert_eq!((problem.status, problem.header("content-type")), (403, Some("application/problem+json")));
    assert_eq!(problem.json()["request_id"], id(&problem));
    assert_eq!(problem.json()["status"], 403);
    assert_eq!(backend.count(), 0);

    for response in [&page, &problem] {
        let event = edge.event(id(response)).await;
        for (key, expected) in [
            ("log", "firewall"),
            ("action", "blocked"),
            ("tenant", "acme"),
            ("route", "all"),
            ("client", "127.0.0.1"),
            ("method", "GET"),
            ("host", "acme.test"),
            ("path", "/"),
        ] {
            assert_eq!(event[key], expected, "{key}: {event}");
        }
        assert!(event["inbound_score"].as_u64() >= Some(5), "{event}");
        assert_eq!(event["inbound_threshold"], 5);
        let rules = event["rules"].as_array().unwrap();
        let caught = rules.iter().find(|rule| rule["id"] == 942_100).unwrap_or_else(|| panic!("{event}"));
        assert_eq!(caught["variable"], "ARGS:id");
        assert!(caught["tags"].as_array().unwrap().iter().any(|tag| tag == "attack-sqli"), "{caught}");
        assert!(
            caught["value"].as_str().unwrap().contains("***("),
            "shown by its start and length: {caught}"
        );
        assert!(!event.to_string().contains("OR '1'"), "{event}");

        let entry = edge.access(id(response)).await;
        assert_eq!((&entry["status"], &entry["waf"]["verdict"]), (&403.into(), &"blocked".into()));
        assert!(entry["waf"]["rules"].as_array().unwrap().iter().any(|rule| *rule == 942_100), "{entry}");
    }
    assert_eq!(edge.metric("veloflux_waf_blocked_total{tenant=\"acme\"}").await, Some(2.0));
    assert_eq!(edge.metric("veloflux_waf_transaction_seconds_count{tenant=\"acme\"}").await, Some(2.0));
}

#[tokio::test]
async fn attacks_in_bodies_headers_and_over_http2_are_refused() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let rest = policy(&backend, "mode: block");
    let edge = edge.tls_tenant(&rest).start().await;
    let urlencoded = "application/x-www-form-urlencoded";
    let multipart =
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n<script>alert(1)</script>\r\n--x--\r\n";
    for attack in [
        post("acme.test", urlencoded, "name=x&q=1%27+UNION+SELECT+password+FROM+users--+"),
        post("acme.test", "application/json", r#"{"a": {"b": ["1' OR '1'='1' -- "]}}"#),
        post("acme.test", "multipart/form-data; boundary=x", multipart),
        get("acme.test", "/?page=../../../../etc/passwd", "*/*"),
        get("acme.test", "/", "*/*").replace("e2e/1", "() { :; }; /bin/bash -c 'id'"),
    ] {
        let response = ask(&edge, &attack).await;
        assert_eq!(response.status, 403, "{attack}");
        assert_eq!(edge.event(id(&response)).await["action"], "blocked", "{attack}");
    }
    let chunked = post("acme.test", urlencoded, "q=1%27+UNION+SELECT+password+FROM+users--+")
        .replace("Content-Length: 42\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2a\r\n")
        + "\r\n0\r\n\r\n";
    assert!(chunked.contains("chunked"));
    assert_eq!(ask(&edge, &chunked).await.status, 403);

    let mut client = edge.h2("acme.test").await;
    let request = http::Request::get(format!("https://acme.test{INJECTION}")).header("user-agent", "e2e/1");
    let request = request.header("accept", "text/html").body(()).unwrap();
    let refused = client.request(request).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains(refused.header("x-request-id").unwrap()));
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_clean_request_passes_without_an_event() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: block")).start().await;
    let response = ask(&edge, &get("acme.test", "/search?q=blue+shoes&page=2", "text/html")).await;
    assert_eq!(response.status, 200);
    let entry = edge.access(id(&response)).await;
    assert_eq!(entry["waf"]["verdict"], "passed");
    assert_eq!(entry["waf"]["score"], 0);
    let form = "name=Anna+Schmidt&text=Hello%2C+I+would+like+two+of+them.";
    let response = ask(&edge, &post("acme.test", "application/x-www-form-urlencoded", form)).await;
    assert_eq!((response.status, response.text()), (200, form));
    let sent = backend.requests().pop().unwrap();
    assert_eq!(sent.header("content-length"), Some(form.len().to_string().as_str()));
    edge.access(id(&response)).await;
    assert_eq!(std::fs::read_to_string(edge.path("events.log")).unwrap(), "");
}

#[tokio::test]
async fn detect_mode_lets_pass_and_says_so() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::named("b");
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: detect")).start().await;
    let response = ask(&edge, &get("acme.test", INJECTION, "*/*")).await;
    assert_eq!((response.status, response.text()), (200, "b"));
    let event = edge.event(id(&response)).await;
    assert_eq!(event["action"], "detected");
    assert!(event["rules"].as_array().unwrap().iter().any(|rule| rule["id"] == 942_100), "{event}");
    assert_eq!(edge.access(id(&response)).await["waf"]["verdict"], "detected");
    assert_eq!(edge.metric("veloflux_waf_detected_total{tenant=\"acme\"}").await, Some(1.0));
    assert_eq!(edge.metric("veloflux_waf_blocked_total{tenant=\"acme\"}").await, Some(0.0));
}

#[tokio::test]
async fn each_tenant_and_route_has_its_own_level() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::named("b");
    let routes = format!(
        "pools: [{{name: web, backends: [{{address: '{}'}}]}}]\n\
         routes:\n\
         - {{name: raw, path: {{prefix: /raw}}, forward: {{pool: web}}, firewall: {{mode: off}}}}\n\
         - {{name: odd, path: {{prefix: /odd}}, forward: {{pool: web}}, firewall: {{exclusions: [{{tag: attack-sqli}}]}}}}\n\
         - {{name: all, forward: {{pool: web}}}}\nfirewall: {{mode: block}}",
        backend.address()
    );
    let edge = edge
        .tenant("easy", "easy.test", &routes)
        .tenant("strict", "strict.test", &policy(&backend, "paranoia_level: 4"))
        .tenant("lax", "lax.test", &policy(&backend, "inbound_threshold: 10000"))
        .start()
        .await;
    // Characters that only the highest level objects to.
    let odd = "/?q=a%3Cb%3B%7Bc%7D";
    for (host, target, status) in [
        ("easy.test", odd, 200),
        ("strict.test", odd, 403),
        ("easy.test", INJECTION, 403),
        ("strict.test", INJECTION, 403),
        ("lax.test", INJECTION, 200),
        ("easy.test", &INJECTION.replacen('/', "/raw", 1), 200),
        ("easy.test", &INJECTION.replacen('/', "/odd", 1), 200),
    ] {
        let response = ask(&edge, &get(host, target, "*/*")).await;
        assert_eq!(response.status, status, "{host}{target}");
    }
}

#[tokio::test]
async fn a_body_over_the_inspected_length_is_refused_or_passes_by_policy() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge
        .tenant("reject", "reject.test", &policy(&backend, "body_limit: 1KiB"))
        .tenant("prefix", "prefix.test", &policy(&backend, "body_limit: 1KiB, over_limit: inspect_prefix"))
        .start()
        .await;
    let kind = "application/x-www-form-urlencoded";
    let attack = "q=1%27+UNION+SELECT+password+FROM+users--+";
    let filler = format!("&a={}", "x".repeat(300)).repeat(4);
    let attack_first = format!("{attack}{filler}");
    let attack_last = format!("b=1{filler}&{attack}");
    let chunked = |request: String| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let (head, _) = head.rsplit_once("\r\nContent-Length").unwrap();
        format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    for (host, body, status) in [
        ("reject.test", &attack_last, 413),
        ("reject.test", &"a=1".to_owned(), 200),
        ("prefix.test", &attack_last, 200),
        ("prefix.test", &attack_first, 403),
    ] {
        let request = post(host, kind, body);
        for request in [chunked(request.clone()), request] {
            let response = ask(&edge, &request).await;
            assert_eq!(response.status, status, "{host}: {request}");
            assert!(status != 200 || response.text() == body);
        }
    }
    let before = backend.count();
    let large = format!("a={}", "y".repeat(1 << 20));
    assert!(
        ask(&edge, &post("prefix.test", kind, &large)).await.text() == large,
        "the rest follows the prefix"
    );
    assert_eq!(backend.count(), before + 1);
}

#[tokio::test]
async fn responses_are_inspected_and_still_arrive_whole() {
    let Some(edge) = with_rules() else { return };
    let leak = "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version";
    let backend = Backend::start(async move |request, socket| match request.target.as_str() {
        "/leak" => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
                leak.len()
            );
            socket.send([head.as_bytes(), leak.as_bytes()].concat()).await
        }
        "/large" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3000000\r\n\r\n";
            socket.send([head.as_bytes(), &b"word ".repeat(600_000)].concat()).await
        }
        "/dies" => {
            socket
                .send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\nhalf")
                .await?;
            socket.close().await
        }
        "/events" => {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            socket.send(format!("{head}9\r\ndata: x\n\n\r\n")).await?;
            std::future::pending().await
        }
        _ => socket.answer(200, pattern(1 << 20)).await,
    });
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: block")).start().await;
    let response = ask(&edge, &get("acme.test", "/leak", "application/json")).await;
    assert_eq!(response.status, 403);
    assert!(!response.text().contains("MySQL"));
    let event = edge.event(id(&response)).await;
    assert!(event["outbound_score"].as_u64() >= Some(4), "{event}");
    assert!(event["rules"].as_array().unwrap().iter().any(|rule| rule["phase"] == 4), "{event}");

    let response = ask(&edge, &get("acme.test", "/large", "*/*")).await;
    assert!(response.body == b"word ".repeat(600_000));
    assert!(ask(&edge, &get("acme.test", "/binary", "*/*")).await.body == pattern(1 << 20));

    let mut client = Client::plain(edge.http()).await;
    client.send(get("acme.test", "/dies", "*/*")).await;
    assert!(
        client.try_response().await.is_ok_and(|r| r.status == 502),
        "nothing of it had been passed on yet"
    );

    let mut client = Client::plain(edge.http()).await;
    client.send(get("acme.test", "/events", "text/event-stream")).await;
    assert_eq!(client.response_head().await.status, 200);
    let event = tokio::time::timeout(Duration::from_secs(1), client.exactly(14)).await;
    assert_eq!(event.expect("an event that is not held back"), b"9\r\ndata: x\n\n\r\n");
}

#[tokio::test]
async fn a_websocket_passes_the_firewall_after_its_head() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::start(async |_, socket| {
        socket.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await?;
        loop {
            let bytes = socket.some().await?;
            if bytes.is_empty() {
                return socket.close().await;
            }
            socket.send(bytes).await?;
        }
    });
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: block")).start().await;
    let upgrade = |target: &str| {
        get("acme.test", target, "*/*").replace(
            "\r\n\r\n",
            "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
        )
    };
    let mut client = Client::plain(edge.http()).await;
    client.send(upgrade("/ws")).await;
    assert_eq!(client.response_head().await.status, 101);
    client.send("ping").await;
    assert_eq!(client.exactly(4).await, b"ping");
    assert_eq!(ask(&edge, &upgrade(INJECTION)).await.status, 403);
    assert_eq!(backend.count(), 1);
}
