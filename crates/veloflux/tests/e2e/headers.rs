//! Header fields that the edge writes, removes and answers for: security headers by preset and merge, rules of routes,
//! CORS, and reports of browsers.

use http::Request;

use crate::firewall::{INJECTION, get, with_rules};
use crate::harness::{Backend, Client, Edge, Reply2, Response, forward_to};

const SECURITY: [&str; 11] = [
    "content-security-policy",
    "strict-transport-security",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "x-xss-protection",
    "server",
    "x-powered-by",
];

const BALANCED: [&[&str]; 11] = [
    &["base-uri 'self'; object-src 'self'"],
    &["max-age=31536000"],
    &["SAMEORIGIN"],
    &["nosniff"],
    &["strict-origin-when-cross-origin"],
    &["browsing-topics=(), hid=(), serial=(), usb=()"],
    &["same-origin-allow-popups"],
    &["cross-origin"],
    &["0"],
    &[],
    &[],
];

const STRICT_CSP: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

const STRICT: [&[&str]; 11] = [
    &[STRICT_CSP],
    &["max-age=63072000; includeSubDomains"],
    &["DENY"],
    &["nosniff"],
    &["no-referrer"],
    &["accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), \
         gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), screen-wake-lock=(), \
         serial=(), usb=(), xr-spatial-tracking=()"],
    &["same-origin"],
    &["same-origin"],
    &["0"],
    &[],
    &[],
];

/// What the edge says of the pages that it writes itself; a preset's policy comes beside it or not at all.
const OWN_CSP: &str = "default-src 'none'; frame-ancestors 'none'";

const OFF: [&[&str]; 11] = [&[]; 11];

/// The preset's headers where the response has some of its own.
fn but<'v>(preset: [&'v [&'v str]; 11], changes: &[(&str, &'v [&'v str])]) -> [&'v [&'v str]; 11] {
    let mut expected = preset;
    for (name, values) in changes {
        expected[SECURITY.iter().position(|known| known == name).unwrap()] = values;
    }
    expected
}

#[track_caller]
fn assert_security(response: &Response, expected: [&[&str]; 11], what: &str) {
    for (name, values) in SECURITY.into_iter().zip(expected) {
        assert_eq!(response.fields.all(name), values, "{name} of {what}");
    }
}

fn talkative() -> Backend {
    backend_with("Server: backend/1.2\r\nX-Powered-By: PHP/8\r\n")
}

/// A backend that answers with these field lines.
fn backend_with(fields: &'static str) -> Backend {
    Backend::start(async move |_, socket| {
        socket.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{fields}\r\nb")).await
    })
}

fn routes_to(backend: &Backend, rest: &str) -> String {
    let address = backend.address();
    format!(
        "pools: [{{name: web, backends: [{{address: '{address}'}}]}}]\n\
         routes:\n- {{name: to, path: {{prefix: /to}}, redirect: {{location: /}}}}\n\
         - {{name: all, path: {{prefix: /app}}, forward: {{pool: web}}}}\n\
         - {{name: only, path: {{prefix: /only}}, methods: [PUT], forward: {{pool: web}}}}\n{rest}"
    )
}

#[tokio::test]
async fn every_response_has_the_presets_headers() {
    for (preset, expected) in [("balanced", BALANCED), ("strict", STRICT), ("off", OFF)] {
        let backend = talkative();
        let rest = routes_to(&backend, &format!("security_headers: {{preset: {preset}}}"));
        let edge = Edge::new().tls_tenant(&rest).start().await;
        let mut client = edge.tls("acme.test").await;

        let named: &[(&str, &[&str])] =
            if preset == "off" { &[("server", &["backend/1.2"]), ("x-powered-by", &["PHP/8"])] } else { &[] };
        assert_security(&client.get("acme.test", "/app").await, but(expected, named), "a backend's");
        assert_security(&client.get("acme.test", "/to").await, expected, "a redirect");
        let refusal = but(
            expected,
            &[("content-security-policy", &[OWN_CSP]), ("x-content-type-options", &["nosniff"])],
        );
        for (target, status) in [("/nowhere", 404), ("/only", 405)] {
            let response = client.get("acme.test", target).await;
            assert_eq!(response.status, status);
            assert_security(&response, refusal, target);
        }

        // The plain listener that redirects, and the plain one: HTTPS is not promised where it is not spoken.
        let plain = but(expected, &[("strict-transport-security", &[])]);
        let redirected = Client::plain(edge.redirect()).await.get("acme.test", "/app").await;
        assert_eq!(redirected.status, 308);
        assert_security(&redirected, plain, "the redirect to HTTPS");
        let response = edge.get("acme.test", "/nowhere").await;
        assert_security(&response, but(refusal, &[("strict-transport-security", &[])]), "a plain refusal");

        // HTTP/2 says the same.
        let reply = edge.h2("acme.test").await.get("https://acme.test/app").await;
        for (name, values) in SECURITY.into_iter().zip(but(expected, named)) {
            let sent: Vec<_> = reply.head.headers().get_all(name).iter().collect();
            assert_eq!(sent, values, "{name} over HTTP/2");
        }
    }
}

#[tokio::test]
async fn who_is_nobodys_gets_the_defaults() {
    let edge = Edge::new().tenant("acme", "acme.test", "security_headers: {preset: off}").start().await;
    let expected =
        but(BALANCED, &[("content-security-policy", &[OWN_CSP]), ("strict-transport-security", &[])]);
    assert_security(&edge.get("other.test", "/").await, expected, "an unknown host");
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/9.9\r\n\r\n").await;
    assert_security(&client.response().await, expected, "a malformed head");
}

#[tokio::test]
async fn the_firewalls_refusal_has_the_routes_headers() {
    let backend = talkative();
    let Some(edge) = with_rules() else { return };
    let rest = format!("{}\nfirewall: {{}}\nsecurity_headers: {{preset: strict}}", forward_to(&[&backend]));
    let edge = edge.tls_tenant(&rest).start().await;
    let mut client = edge.tls("acme.test").await;
    client.send(get("acme.test", INJECTION, "text/html")).await;
    let response = client.response().await;
    assert_eq!(response.status, 403);
    let expected = but(STRICT, &[("content-security-policy", &[OWN_CSP])]);
    assert_security(&response, expected, "a 403");
}

#[tokio::test]
async fn merges_are_as_written_and_routes_refine_tenants() {
    let backend = backend_with(
        "content-security-policy: img-src 'self'\r\nX-FRAME-OPTIONS: ALLOW\r\nreferrer-policy: origin\r\n\
         Strict-Transport-Security: max-age=1\r\nx-xss-protection: 1\r\nServer: s\r\n",
    );
    let pool = format!("pools: [{{name: web, backends: [{{address: '{}'}}]}}]", backend.address());
    let tenant = "security_headers: {x_frame_options: {merge: override, value: DENY}, \
                  content_security_policy: {merge: append}, x_xss_protection: {merge: off}, hide_server: false}";
    let routes = "routes:\n- {name: inherits, path: {prefix: /a}, forward: {pool: web}}\n\
        - {name: refines, path: {prefix: /b}, forward: {pool: web}, \
           security_headers: {x_frame_options: {merge: keep}, referrer_policy: {merge: override}}}\n\
        - {name: anew, path: {prefix: /c}, forward: {pool: web}, \
           security_headers: {preset: 'off', content_security_policy: {value: \"default-src 'none'\"}}}";
    let edge = Edge::new().tls_tenant(&format!("{pool}\n{tenant}\n{routes}")).start().await;
    let mut client = edge.tls("acme.test").await;

    let theirs = [
        ("content-security-policy", &["img-src 'self'", "base-uri 'self'; object-src 'self'"][..]),
        ("strict-transport-security", &["max-age=1"]),
        ("x-frame-options", &["DENY"]),
        ("referrer-policy", &["origin"]),
        ("x-xss-protection", &["1"]),
        ("server", &["s"]),
    ];
    let inherited = but(BALANCED, &theirs);
    assert_security(&client.get("acme.test", "/a").await, inherited, "/a");
    let refined = but(
        inherited,
        &[("x-frame-options", &["ALLOW"]), ("referrer-policy", &["strict-origin-when-cross-origin"])],
    );
    assert_security(&client.get("acme.test", "/b").await, refined, "/b");
    // A route that names a preset takes nothing from the tenant, and keep is what is left to say.
    let anew = but(
        OFF,
        &[
            ("content-security-policy", &["img-src 'self'"]),
            ("strict-transport-security", &["max-age=1"]),
            ("x-frame-options", &["ALLOW"]),
            ("referrer-policy", &["origin"]),
            ("x-xss-protection", &["1"]),
            ("server", &["s"]),
        ],
    );
    assert_security(&client.get("acme.test", "/c").await, anew, "/c");
}

#[tokio::test]
async fn rules_change_what_backends_and_clients_get() {
    let backend =
        backend_with("X-Gone: 1\r\nX-Version: 1\r\nX-Version: 2\r\nX-More: 1\r\nCache-Control: a\r\n");
    let rest = format!(
        "pools: [{{name: web, backends: [{{address: '{}'}}]}}]\n\
         routes:\n- name: all\n  forward: {{pool: web}}\n  methods: [GET, POST]\n  max_body: 1B\n  \
         request_headers: {{remove: [x-secret], set: [{{name: x-env, value: '{{host}} {{client}}'}}], \
           add: [{{name: x-more, value: '{{path}}{{query}}'}}]}}\n  \
         response_headers: {{remove: [x-gone], set: [{{name: x-version, value: '3'}}, \
           {{name: cache-control, value: public}}], add: [{{name: x-more, value: 'id {{request_id}}'}}]}}",
        backend.address()
    );
    let edge = Edge::new().tenant("acme", "acme.test", &rest).start().await;
    let mut client = Client::plain(edge.http()).await;
    let head = "GET /a/../b?c=1 HTTP/1.1\r\nHost: ACME.test\r\nX-Secret: s\r\nx-env: forged\r\nX-More: theirs\r\n\r\n";
    client.send(head).await;
    let response = client.response().await;
    assert_eq!(response.header("x-gone"), None);
    assert_eq!(response.fields.all("x-version"), ["3"]);
    assert_eq!(response.fields.all("cache-control"), ["public"]);
    let id = format!("id {}", response.header("x-request-id").unwrap());
    assert_eq!(response.fields.all("x-more"), ["1", &id]);

    let seen = &backend.requests()[0].fields;
    assert_eq!(seen.get("x-secret"), None);
    assert_eq!(seen.all("x-env"), ["acme.test 127.0.0.1"]);
    assert_eq!(seen.all("x-more"), ["theirs", "/b?c=1"]);

    // A refusal is not the route's response: no cache is told to keep it.
    client.send("POST /b HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 2\r\n\r\nab").await;
    let refused = client.response().await;
    assert_eq!((refused.status, refused.fields.all("cache-control")), (413, vec!["no-store"]));
    assert_eq!(refused.header("x-version"), None);
}

/// Who allows what, as a tenant's lines.
fn shared(backend: &Backend) -> String {
    format!(
        "pools: [{{name: web, backends: [{{address: '{}'}}]}}]\n\
         routes:\n- {{name: api, path: {{prefix: /api}}, methods: [GET, PUT], forward: {{pool: web}}, \
             cors: {{origins: ['https://app.example', 'https://*.shop.example'], headers: [x-token, content-type], \
             exposed_headers: [x-total], credentials: true, max_age_s: 60}}}}\n\
         - {{name: open, path: {{prefix: /open}}, forward: {{pool: web}}, cors: {{origins: ['*']}}}}\n\
         - {{name: rest, path: {{prefix: /rest}}, forward: {{pool: web}}}}",
        backend.address()
    )
}

const CORS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
    "vary",
];

fn cors_fields(response: &Response) -> [String; 7] {
    CORS.map(|name| response.fields.all(name).join("|"))
}

#[tokio::test]
async fn preflights_are_answered_by_the_edge() {
    let backend = backend_with("Access-Control-Allow-Origin: *\r\n");
    let edge = Edge::new().tenant("acme", "acme.test", &shared(&backend)).start().await;
    let mut client = Client::plain(edge.http()).await;
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let api = ["true", "GET, PUT", "x-token, content-type", "60", "", vary];
    let open = ["", "GET, HEAD, POST", "", "600", "", vary];
    let refused = ["", "", "", "", "", vary];
    for (target, origin, allowed, rest) in [
        ("/api/a", "https://app.example", "https://app.example", api),
        ("/api/a", "https://eu.shop.example", "https://eu.shop.example", api),
        ("/api/a", "https://app.example.evil.example", "", refused),
        ("/api/a", "http://app.example", "", refused),
        ("/api/a", "https://shop.example", "", refused),
        ("/api/a", "null", "", refused),
        ("/open", "https://anybody.example", "*", open),
        ("/open", "null", "*", open),
    ] {
        client
            .send(format!(
                "OPTIONS {target} HTTP/1.1\r\nHost: acme.test\r\nOrigin: {origin}\r\n\
                 Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-token\r\n\r\n"
            ))
            .await;
        let response = client.response().await;
        assert_eq!(response.status, 204, "{target} {origin}");
        let mut expected = vec![allowed];
        expected.extend(rest);
        assert_eq!(cors_fields(&response).to_vec(), expected, "{target} {origin}");
    }
    assert_eq!(backend.count(), 0);

    // What is no preflight, or for a route that does not speak of other origins, goes its usual way.
    for (target, fields, status) in [
        ("/api/a", "Origin: https://app.example\r\n", 405),
        ("/open", "Access-Control-Request-Method: PUT\r\n", 200),
        ("/rest", "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n", 200),
        ("/api/a", "Origin: https://app.example\r\nAccess-Control-Request-Method: DELETE\r\n", 405),
    ] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: acme.test\r\n{fields}\r\n")).await;
        assert_eq!(client.response().await.status, status, "{target} {fields}");
    }
    assert_eq!(backend.count(), 2);
}

#[tokio::test]
async fn responses_may_be_read_by_whom_the_route_allows_alone() {
    let backend = backend_with(
        "Access-Control-Allow-Origin: https://evil.example\r\nAccess-Control-Allow-Credentials: true\r\n\
         Vary: Accept\r\n",
    );
    let edge = Edge::new().tls_tenant(&shared(&backend)).start().await;
    let allowed = ["https://app.example", "true", "", "", "", "x-total", "Accept|Origin"];
    let mut client = edge.tls("acme.test").await;
    for (target, origin, expected) in [
        ("/api", "Origin: https://app.example\r\n", allowed),
        ("/api", "Origin: https://evil.example\r\n", ["", "", "", "", "", "", "Accept|Origin"]),
        ("/api", "", ["", "", "", "", "", "", "Accept|Origin"]),
        ("/open", "Origin: https://evil.example\r\n", ["*", "", "", "", "", "", "Accept"]),
        ("/rest", "", ["https://evil.example", "true", "", "", "", "", "Accept"]),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: acme.test\r\n{origin}\r\n")).await;
        assert_eq!(cors_fields(&client.response().await), expected, "{target} {origin}");
    }
    let request = Request::get("https://acme.test/api").header("origin", "https://app.example");
    let reply: Reply2 = edge.h2("acme.test").await.request(request.body(()).unwrap()).await.unwrap();
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
}

#[tokio::test]
async fn browsers_report_to_the_edge() {
    let backend = Backend::named("b");
    let rest = format!(
        "{}\nsecurity_headers: {{csp_reports: true, csp_report_only: true}}",
        forward_to(&[&backend])
    );
    let edge = Edge::new().tenant("acme", "acme.test", &rest);
    let edge = edge.tenant("other", "other.test", &forward_to(&[&backend])).start().await;
    let page = edge.get("acme.test", "/").await;
    assert_eq!(page.header("content-security-policy"), None);
    assert_eq!(
        page.header("content-security-policy-report-only"),
        Some(
            "base-uri 'self'; object-src 'self'; report-uri /.well-known/veloflux/csp-report; report-to csp"
        )
    );
    assert_eq!(page.header("reporting-endpoints"), Some("csp=\"/.well-known/veloflux/csp-report\""));

    let post = async |host: &str, content_type: &str, body: &str| {
        let mut client = Client::plain(edge.http()).await;
        let head = format!(
            "POST /.well-known/veloflux/csp-report HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(format!("{head}{body}")).await;
        client.response().await
    };
    let report = r#"{"csp-report": {"document-uri": "https://acme.test/p/4111111111111111?token=s3cret",
        "effective-directive": "script-src", "blocked-uri": "https://evil.example/x.js?q", "disposition": "report"}}"#;
    let taken = post("acme.test", "application/csp-report", report).await;
    assert_eq!((taken.status, taken.text()), (204, ""));
    let event = edge.event(taken.header("x-request-id").unwrap()).await;
    assert_eq!(event["log"], "csp_report");
    assert_eq!(event["tenant"], "acme");
    assert_eq!(event["directive"], "script-src");
    assert_eq!(event["blocked"], "https://evil.example/x.js");
    assert_eq!(event["enforced"], false);
    let document = event["document"].as_str().unwrap();
    assert!(document.starts_with("https://acme.test/p/"), "{document}");
    assert!(!document.contains("4111111111111111") && !document.contains("s3cret"), "{document}");

    let many = r#"[{"type": "csp-violation", "body": {"documentURL": "https://acme.test/"}},
        {"type": "csp-violation", "body": {}}, {"type": "other"}]"#;
    assert_eq!(post("acme.test", "application/reports+json", many).await.status, 204);
    edge.metric_becomes("veloflux_csp_reports_total{tenant=\"acme\"}", 3.0).await;

    assert_eq!(post("acme.test", "text/plain", report).await.status, 400);
    assert_eq!(post("acme.test", "application/csp-report", "{").await.status, 400);
    assert_eq!(post("acme.test", "application/csp-report", &" ".repeat(20_000)).await.status, 413);
    assert_eq!(edge.metric("veloflux_csp_reports_total{tenant=\"acme\"}").await, Some(3.0));
    // Nothing of it reached the backend; a tenant that did not ask for reports has no such address.
    assert_eq!(backend.count(), 1);
    assert_eq!(post("other.test", "application/csp-report", report).await.text(), "b");
    assert_eq!(edge.metric("veloflux_csp_reports_total{tenant=\"other\"}").await, Some(0.0));
}

#[tokio::test]
async fn reports_are_bounded_in_how_often_they_come() {
    let edge = Edge::new().tenant("acme", "acme.test", "security_headers: {csp_reports: true}").start().await;
    let body = r#"{"csp-report": {}}"#;
    let request = format!(
        "POST /.well-known/veloflux/csp-report HTTP/1.1\r\nHost: acme.test\r\n\
         Content-Type: application/csp-report\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut taken = 0;
    let refused = loop {
        let mut client = Client::plain(edge.http()).await;
        client.send(&request).await;
        let response = client.response().await;
        if response.status != 204 {
            break response;
        }
        taken += 1;
        assert!(taken < 200, "nothing stops them");
    };
    assert_eq!(refused.status, 429);
    assert!((60..70).contains(&taken), "{taken}");
}

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    const DOCUMENT: &str = include_str!("../../../../docs/headers.md");
    let example = DOCUMENT.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("127.0.0.1:8081"));
    let backend = backend_with("X-Runtime: 5\r\n");
    let example = example.replace("127.0.0.1:8081", &backend.address().to_string());
    let edge = Edge::new().process("reload: {watch: false}").start().await;
    edge.write_raw_state(&example.replace("    domains:", "    firewall: {mode: off}\n    domains:"));
    edge.signal(libc::SIGHUP);
    edge.metric_becomes("veloflux_revision", 2.0).await;

    let page = edge.get("shop.example", "/a").await;
    let policy = page.header("content-security-policy-report-only").unwrap();
    assert!(policy.starts_with("script-src 'self' https://js.pay.example; object-src 'none'; report-uri"));
    assert_eq!(page.header("content-security-policy"), None);
    assert_eq!(page.header("link"), Some("<https://shop.example/a>; rel=\"canonical\""));
    assert_eq!(page.header("x-runtime"), None);
    assert_eq!(backend.requests()[0].fields.get("x-edge-client"), Some("127.0.0.1"));
    assert_eq!(edge.get("shop.example", "/widget").await.header("x-frame-options"), None);

    let api = edge.get("shop.example", "/api").await;
    assert_eq!(api.header("content-security-policy"), Some(STRICT_CSP));
    assert_eq!(api.header("cross-origin-resource-policy"), None);
    assert_eq!((api.header("reporting-endpoints"), api.header("vary")), (None, Some("Origin")));
    let mut client = Client::plain(edge.http()).await;
    client
        .send(
            "OPTIONS /api/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://eu.partner.example\r\n\
             Access-Control-Request-Method: DELETE\r\n\r\n",
        )
        .await;
    let preflight = client.response().await;
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://eu.partner.example"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, POST, DELETE"));

    // The tables say what the presets hold, to the letter.
    for values in [BALANCED, STRICT] {
        for value in values.into_iter().flatten().filter(|value| !value.starts_with("accelerometer")) {
            assert!(DOCUMENT.contains(&format!("`{value}`, ")), "{value}");
        }
    }
}
