//! IP and country rules: who is refused, by which list, and what happens when a list or a database turns bad.

use serde_json::Value;

use crate::harness::{Backend, Client, Edge, Response, forward_to};
use crate::mmdb::{self, asn, country};

/// A GET by a client that the trusted proxy in front says to be at `address`.
async fn from(edge: &Edge, address: &str, path: &str) -> Response {
    let mut client = Client::plain(edge.http()).await;
    client
        .send(&format!("GET {path} HTTP/1.1\r\nHost: acme.test\r\nX-Forwarded-For: {address}\r\n\r\n"))
        .await;
    client.response().await
}

/// Statuses of GETs from these addresses.
async fn statuses<const N: usize>(edge: &Edge, addresses: [&str; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, address) in statuses.iter_mut().zip(addresses) {
        *status = from(edge, address, "/").await.status;
    }
    statuses
}

fn rules(backend: &Backend, access: &str) -> String {
    format!("{}\naccess: {access}", forward_to(&[backend]))
}

/// An edge that trusts the tests, so that they can come from anywhere.
fn behind_proxy() -> Edge {
    Edge::new().process("trusted_proxies: [127.0.0.1]")
}

fn id(response: &Response) -> &str {
    response.header("x-request-id").unwrap()
}

#[tokio::test]
async fn a_denied_address_is_refused_and_recorded() {
    let backend = Backend::named("b");
    let access = "{deny: {addresses: [192.0.2.0/24, '2001:db8::/32']}, exempt: {addresses: [192.0.2.7]}}";
    let edge = behind_proxy().tenant("acme", "acme.test", &rules(&backend, access)).start().await;
    assert_eq!(
        statuses(&edge, ["192.0.2.1", "192.0.2.7", "198.51.100.1", "2001:db8::1", "::ffff:192.0.2.1"]).await,
        [403, 200, 200, 403, 403]
    );
    assert_eq!(backend.count(), 2);
    let refused = from(&edge, "192.0.2.1", "/secret?token=abc").await;
    assert_eq!(refused.json()["title"], "Access denied");
    let event = edge.event(id(&refused)).await;
    for (key, expected) in [
        ("log", "origin"),
        ("action", "blocked"),
        ("rule", "address"),
        ("tenant", "acme"),
        ("route", "all"),
        ("client", "192.0.2.1"),
        ("path", "/secret"),
    ] {
        assert_eq!(event[key], expected, "{key}: {event}");
    }
    let entry = edge.access(id(&refused)).await;
    assert_eq!((&entry["status"], &entry["origin"]["rule"]), (&403.into(), &"address".into()), "{entry}");
    assert_eq!(entry["termination"], "rejected");
    assert_eq!(
        edge.metric("veloflux_origin_blocked_total{tenant=\"acme\",rule=\"address\"}").await,
        Some(4.0)
    );
    assert_eq!(edge.metric("veloflux_rejected_total{tenant=\"acme\"}").await, Some(0.0));
}

#[tokio::test]
async fn what_a_stranger_writes_into_headers_changes_nothing() {
    let backend = Backend::named("b");
    let denied = "{deny: {addresses: [127.0.0.0/8]}}";
    let edge = Edge::new().tenant("acme", "acme.test", &rules(&backend, denied)).start().await;
    assert_eq!(from(&edge, "198.51.100.1", "/").await.status, 403, "nobody vouches for this address");
    let mut client = Client::plain(edge.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\nForwarded: for=198.51.100.1\r\nX-Real-IP: 198.51.100.1\r\n\r\n").await;
    assert_eq!(client.response().await.status, 403);
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_route_adds_to_its_tenants_rules_unless_it_goes_without() {
    let rest = "routes:\n\
        - {name: all, respond: {body: all}}\n\
        - {name: admin, path: {prefix: /admin}, respond: {body: admin}, access: {allow_only: {addresses: [192.0.2.1, 203.0.113.1]}}}\n\
        - {name: hook, path: {prefix: /hook}, respond: {body: hook}, access: {inherit: false}}\n\
        access: {deny: {addresses: [203.0.113.0/24]}}\n";
    let edge = behind_proxy()
        .tenant("acme", "acme.test", rest)
        .tenant("other", "other.test", "routes: [{name: all, respond: {}}]")
        .start()
        .await;
    for (address, path, status) in [
        ("192.0.2.1", "/", 200),
        ("192.0.2.1", "/admin", 200),
        ("192.0.2.2", "/", 200),
        ("192.0.2.2", "/admin/x", 403),
        ("203.0.113.1", "/", 403),
        ("203.0.113.1", "/admin", 403),
        ("203.0.113.1", "/hook", 200),
    ] {
        assert_eq!(from(&edge, address, path).await.status, status, "{address} {path}");
    }
    let refused = from(&edge, "192.0.2.2", "/admin").await;
    assert_eq!(edge.event(id(&refused)).await["rule"], "allow_only");
    assert_eq!(edge.get("other.test", "/").await.status, 200, "another tenant has other rules");
}

#[tokio::test]
async fn whoever_is_refused_learns_of_no_route() {
    let rest = "routes: [{name: one, path: {exact: /one}, respond: {}}]\n\
        access: {deny: {addresses: [192.0.2.1]}}";
    let edge = behind_proxy().tenant("acme", "acme.test", rest).start().await;
    for (address, path, status) in [
        ("192.0.2.1", "/one", 403),
        ("192.0.2.1", "/two", 403),
        ("192.0.2.2", "/one", 200),
        ("192.0.2.2", "/two", 404),
    ] {
        assert_eq!(from(&edge, address, path).await.status, status, "{address} {path}");
    }
}

#[tokio::test]
async fn rules_that_only_log_let_pass_and_say_so() {
    let backend = Backend::named("b");
    let access = "{action: log, deny: {addresses: [192.0.2.1]}}";
    let edge = behind_proxy().tenant("acme", "acme.test", &rules(&backend, access)).start().await;
    let passed = from(&edge, "192.0.2.1", "/").await;
    assert_eq!((passed.status, passed.text()), (200, "b"));
    let event = edge.event(id(&passed)).await;
    assert_eq!((&event["action"], &event["rule"]), (&"logged".into(), &"address".into()), "{event}");
    assert_eq!(edge.access(id(&passed)).await["origin"]["action"], "logged");
    assert_eq!(
        edge.metric("veloflux_origin_logged_total{tenant=\"acme\",rule=\"address\"}").await,
        Some(1.0)
    );
}

/// Puts a file in place in one step.
fn put(edge: &Edge, name: &str, content: impl AsRef<[u8]>) {
    let new = edge.path("put.new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, edge.path(name)).unwrap();
}

#[tokio::test]
async fn a_list_is_read_again_and_one_that_turns_bad_keeps_what_it_held() {
    let backend = Backend::named("b");
    let access = "{deny: {files: [bad.txt]}}";
    let edge = behind_proxy().tenant("acme", "acme.test", &rules(&backend, access)).tenant(
        "other",
        "other.test",
        &rules(&backend, access),
    );
    put(&edge, "bad.txt", "# bad guys\n192.0.2.1\n");
    let edge = edge.start().await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "192.0.2.2"]).await, [403, 200]);
    let refused = from(&edge, "192.0.2.1", "/").await;
    assert_eq!(edge.event(id(&refused)).await["list"], "bad.txt");
    let path = edge.path("bad.txt").display().to_string();
    let standing = format!("veloflux_address_list_refused{{list=\"{path}\"}}");
    assert_eq!(edge.metric(&standing).await, Some(0.0));

    put(&edge, "bad.txt", "192.0.2.2\n");
    edge.said("reloaded").await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "192.0.2.2"]).await, [200, 403]);

    for (turn, broken) in ["192.0.2.1\nnonsense\n", "", "\n \n"].into_iter().enumerate() {
        put(&edge, "bad.txt", broken);
        edge.reload().await;
        assert_eq!(statuses(&edge, ["192.0.2.1", "192.0.2.2"]).await, [200, 403], "{turn}");
        assert_eq!(edge.metric(&standing).await, Some(1.0));
    }
    let said = edge.said("what this file holds now is refused").await;
    assert_eq!((&said["level"], &said["file"]), (&"ERROR".into(), &Value::from(path)), "{said}");
    assert!(said["why"].as_str().unwrap().starts_with("line 2: `nonsense`"), "{said}");
    // Gone; a folder; a pipe that nobody ever writes to, which must not be waited for.
    for in_its_place in [None, Some("mkdir"), Some("mkfifo")] {
        let path = edge.path("bad.txt");
        let _ = std::fs::remove_file(&path);
        if let Some(make) = in_its_place {
            assert!(std::process::Command::new(make).arg(&path).status().unwrap().success());
        }
        edge.reload().await;
        assert_eq!(statuses(&edge, ["192.0.2.1", "192.0.2.2"]).await, [200, 403], "{in_its_place:?}");
        assert_eq!(edge.metric(&standing).await, Some(1.0));
        let _ = std::fs::remove_dir(&path);
    }
    std::fs::remove_file(edge.path("bad.txt")).unwrap();

    put(&edge, "bad.txt", "# all forgiven\n");
    edge.reload().await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "192.0.2.2"]).await, [200, 200]);
    assert_eq!(edge.metric(&standing).await, Some(0.0));
}

#[tokio::test]
async fn a_list_that_has_never_been_right_is_an_error_of_the_state() {
    let backend = Backend::named("b");
    let mut edge = behind_proxy().tenant("acme", "acme.test", &rules(&backend, "{}")).start().await;
    put(&edge, "new.txt", "10.0.0.0/8\n10.0.0.1/8\n");
    let only = rules(&backend, "{allow_only: {files: [new.txt]}}");
    edge.set_tenant("acme", &format!("domains: [{{host: acme.test}}]\n{only}"));
    edge.write_state();
    let said = edge.said("the new state is refused").await.to_string();
    assert!(
        said.contains(
            "the list `new.txt` cannot be used: line 2: `10.0.0.1/8` has bits set beyond its prefix"
        ),
        "{said}"
    );
    assert_eq!(statuses(&edge, ["192.0.2.1"]).await, [200]);
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

const DAY: u64 = 86_400;

#[tokio::test]
async fn countries_and_networks_are_told_by_the_databases() {
    let backend = Backend::named("b");
    let access = "{deny: {countries: [KP, unknown], asns: [64500]}, exempt: {addresses: [203.0.113.9]}}";
    let edge = behind_proxy()
        .process("geo: {databases: [country.mmdb, asn.mmdb]}")
        .tenant("acme", "acme.test", &rules(&backend, access))
        .tenant("only", "only.test", &rules(&backend, "{allow_only: {countries: [DE]}}"));
    let countries = [
        ("192.0.2.0/24", country("DE")),
        ("203.0.113.0/24", country("KP")),
        ("2001:db8::/32", country("FR")),
    ];
    put(&edge, "country.mmdb", mmdb::database(now() - 3 * DAY, &countries));
    put(&edge, "asn.mmdb", mmdb::database(now() - 40 * DAY, &[("192.0.2.128/25", asn(64_500))]));
    let edge = edge.start().await;
    assert_eq!(
        statuses(
            &edge,
            ["192.0.2.1", "192.0.2.129", "203.0.113.1", "203.0.113.9", "2001:db8::1", "198.51.100.1"]
        )
        .await,
        [200, 403, 403, 200, 200, 403]
    );
    let passed = from(&edge, "192.0.2.1", "/").await;
    let entry = edge.access(id(&passed)).await;
    assert_eq!(
        (&entry["country"], entry.get("asn"), entry.get("origin")),
        (&"DE".into(), None, None),
        "{entry}"
    );
    let refused = from(&edge, "192.0.2.129", "/").await;
    let event = edge.event(id(&refused)).await;
    assert_eq!(
        (&event["rule"], &event["country"], &event["asn"]),
        (&"asn".into(), &"DE".into(), &64_500.into())
    );

    for (database, outdated) in [("country.mmdb", 0.0), ("asn.mmdb", 1.0)] {
        let label = format!("{{database=\"{}\"}}", edge.path(database).display());
        assert_eq!(edge.metric(&format!("veloflux_geo_database_outdated{label}")).await, Some(outdated));
        let age = edge.metric(&format!("veloflux_geo_database_age_seconds{label}")).await.unwrap();
        assert!((age / DAY as f64 - if outdated > 0.0 { 40.0 } else { 3.0 }).abs() < 0.1, "{age}");
    }
    let warned = edge.said("this geographic database is out of date").await;
    assert_eq!((&warned["database"], &warned["age_days"]), (&"asn.mmdb".into(), &40.into()), "{warned}");
    assert_eq!(edge.count_said("this geographic database is out of date"), 1);
}

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    let document = include_str!("../../../../docs/tenants.md");
    let example = document.split("```yaml\n").nth(2).unwrap().split("```").next().unwrap();
    let backend = Backend::named("b");
    let pool = format!("pools: [{{name: web, backends: [{{address: '{}'}}]}}]", backend.address());
    let rest = format!("{pool}\n{example}  - {{name: all, forward: {{pool: web}}}}");
    let edge = behind_proxy().process("geo: {databases: [geo.mmdb]}").tenant("acme", "acme.test", &rest);
    let networks = [
        ("198.51.100.0/24", country("KP")),
        ("203.0.113.0/24", country("AT")),
        ("100.64.0.0/10", asn(64_500)),
    ];
    put(&edge, "geo.mmdb", mmdb::database(now(), &networks));
    std::fs::create_dir(edge.path("lists")).unwrap();
    put(&edge, "lists/bad.txt", "# known bad\n192.0.2.66\n");
    let edge = edge.start().await;
    for (address, path, status) in [
        ("198.51.100.7", "/", 200),
        ("198.51.100.8", "/", 403),
        ("192.0.2.66", "/", 403),
        ("100.64.0.1", "/", 403),
        ("192.0.2.66", "/admin", 403),
        ("192.0.2.67", "/admin", 200),
        ("203.0.113.1", "/admin", 200),
        ("198.51.100.7", "/admin", 403),
        ("10.0.0.1", "/", 200),
        ("10.0.0.1", "/admin", 403),
    ] {
        assert_eq!(from(&edge, address, path).await.status, status, "{address} {path}");
    }
}

#[tokio::test]
async fn a_new_database_is_taken_in_whole_and_a_corrupt_one_not_at_all() {
    let backend = Backend::named("b");
    let edge = behind_proxy().process("geo: {databases: [geo.mmdb]}").tenant(
        "acme",
        "acme.test",
        &rules(&backend, "{deny: {countries: [KP]}}"),
    );
    let with = |network: &str| {
        mmdb::database(now(), &[(network, country("KP")), ("198.51.100.0/24", country("DE"))])
    };
    put(&edge, "geo.mmdb", with("192.0.2.0/24"));
    let edge = edge.start().await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "203.0.113.1"]).await, [403, 200]);
    put(&edge, "geo.mmdb", with("203.0.113.0/24"));
    edge.said("\"reloaded\"").await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "203.0.113.1"]).await, [200, 403]);

    let good = with("192.0.2.0/24");
    let mut dangling = good.clone();
    // The last node's record leads far behind the data.
    let data = good.windows(16).position(|window| window == [0; 16]).unwrap();
    dangling[data - 6..data].fill(0x7f);
    let label = format!("veloflux_geo_database_refused{{database=\"{}\"}}", edge.path("geo.mmdb").display());
    for broken in [b"no database".to_vec(), good[..good.len() / 2].to_vec(), dangling, Vec::new()] {
        put(&edge, "geo.mmdb", broken);
        edge.reload().await;
        assert_eq!(statuses(&edge, ["192.0.2.1", "203.0.113.1"]).await, [200, 403]);
        assert_eq!(edge.metric(&label).await, Some(1.0));
    }
    edge.said("what this file holds now is refused").await;
    put(&edge, "geo.mmdb", good);
    edge.reload().await;
    assert_eq!(statuses(&edge, ["192.0.2.1", "203.0.113.1"]).await, [403, 200]);
    assert_eq!(edge.metric(&label).await, Some(0.0));
}

#[tokio::test]
async fn the_metrics_listener_answers_whom_its_rules_let_in() {
    let backend = Backend::named("b");
    let edge = Edge::new().metrics_key("access: {deny: {files: [ops.txt]}}").tenant(
        "acme",
        "acme.test",
        &forward_to(&[&backend]),
    );
    put(&edge, "ops.txt", "192.0.2.1\n");
    let edge = edge.start().await;
    assert!(edge.metrics().await.contains("veloflux_metrics_refused_total 0"));
    put(&edge, "ops.txt", "127.0.0.1\n");
    edge.said("\"reloaded\"").await;
    assert_eq!(edge.metrics().await, "");
    assert_eq!(edge.ready().await, 403);
    put(&edge, "ops.txt", "192.0.2.1\n");
    edge.reload().await;
    assert!(edge.metrics().await.contains("veloflux_metrics_refused_total 2"));
}

#[tokio::test]
async fn clients_go_to_the_backends_nearest_to_them() {
    let [vienna, paris, tokyo] = ["vienna", "paris", "tokyo"].map(Backend::named);
    let rest = format!(
        "pools:\n- name: web\n  algorithm: geo_proximity\n  backends:\n\
        \x20 - {{address: '{}', country: AT}}\n  - {{address: '{}', country: FR}}\n  - {{address: '{}', country: JP}}\n\
        routes: [{{name: all, forward: {{pool: web}}}}]\n",
        vienna.address(),
        paris.address(),
        tokyo.address()
    );
    let mut edge = behind_proxy().process("geo: {databases: [geo.mmdb]}").tenant("acme", "acme.test", &rest);
    let networks = [
        ("192.0.2.0/24", country("AT")),
        ("198.51.100.0/24", country("ES")),
        ("203.0.113.0/24", country("KR")),
    ];
    put(&edge, "geo.mmdb", mmdb::database(now(), &networks));
    edge = edge.start().await;
    for (address, expected) in [("192.0.2.1", "vienna"), ("198.51.100.1", "paris"), ("203.0.113.1", "tokyo")]
    {
        for _ in 0..3 {
            assert_eq!(from(&edge, address, "/").await.text(), expected, "{address}");
        }
    }
    edge.set_tenant(
        "acme",
        &format!("domains: [{{host: acme.test}}]\n{}", rest.replace("AT}", "AT, drain: true}")),
    );
    edge.reload().await;
    assert_eq!(from(&edge, "192.0.2.1", "/").await.text(), "paris");
}
