//! Rates: what a rule counts together, what happens to a request over it, and what clients and the operator are told.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Edge, Load, Response, forward_to, send_over, soon};

/// A tenant's lines: it answers everything itself, within these limits.
fn say(limits: &str) -> String {
    format!("routes: [{{name: say, respond: {{body: hello}}}}]\nlimits: {{{limits}}}")
}

async fn limited(limits: &str) -> Edge {
    Edge::new().tenant("acme", "acme.test", &say(limits)).start().await
}

/// The same, with every client of the loopback network taken at its word about who it stands for.
async fn limited_behind_proxy(limits: &str) -> Edge {
    let edge = Edge::new().process("trusted_proxies: ['127.0.0.0/8']");
    edge.tenant("acme", "acme.test", &say(limits)).start().await
}

/// One request with these field lines.
async fn ask(edge: &Edge, target: &str, fields: &str) -> Response {
    let mut client = Client::plain(edge.http()).await;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: acme.test\r\n{fields}\r\n")).await;
    client.response().await
}

async fn status(edge: &Edge, target: &str, fields: &str) -> u16 {
    ask(edge, target, fields).await.status
}

fn micros(time: &serde_json::Value) -> i64 {
    let text = time.as_str().unwrap();
    let (_, clock) = text.split_once('T').unwrap();
    let numbers: Vec<i64> =
        clock.trim_end_matches('Z').split([':', '.']).map(|n| n.parse().unwrap()).collect();
    let [hours, minutes, seconds, fraction] = numbers[..] else { panic!("{text}") };
    ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction
}

#[tokio::test]
async fn a_flood_over_all_cores_gets_the_allowance_and_one_per_cent_at_most() {
    const CONNECTIONS: usize = 4;
    const REQUESTS: usize = 100_000;
    let other = "routes: [{name: say, respond: {body: hello}}]";
    let rule = "rates: [{name: all, key: [client], rate: 1000/s, headers: false}]";
    let edge = Edge::new().process("threads: 2").tenant("acme", "acme.test", &say(rule));
    let edge = edge.tenant("other", "other.test", other).start().await;

    // The kernel deals connections out to threads by chance; both threads are to have some.
    let mut connections = soon("connections on both threads", async {
        loop {
            let before = edge.thread_times_ns();
            let mut loads: Vec<_> = (0..CONNECTIONS).map(|_| Load::connect(edge.http())).collect();
            for load in &mut loads {
                load.send("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", 50);
            }
            let spent = edge.thread_times_ns().into_iter().zip(before).map(|(after, before)| after - before);
            if spent.clone().count() == 2 && spent.into_iter().all(|ns| ns > 200_000) {
                return loads;
            }
        }
    })
    .await;
    let request = "GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n";
    let counts = send_over(&mut connections, request, REQUESTS / CONNECTIONS);
    let passed = counts[&200];
    assert_eq!(counts.values().sum::<usize>(), REQUESTS, "{counts:?}");
    assert_eq!(counts.get(&429), Some(&(REQUESTS - passed)), "{counts:?}");

    // By the edge's own clock, from the first request on: whenever one is refused, all that was allowed until then has
    // passed.
    let log = soon("the access log", async {
        loop {
            let mut log = edge.access_log();
            log.retain(|entry| entry["tenant"] == "acme");
            if log.len() == REQUESTS {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let first = log.iter().map(|entry| micros(&entry["time"])).min().unwrap();
    let until_last = |is_meant: fn(&serde_json::Value) -> bool| {
        let last =
            log.iter().filter(|entry| is_meant(entry)).map(|entry| micros(&entry["time"])).max().unwrap();
        1_000.0 + 1_000.0 * (last - first) as f64 / 1e6
    };
    let (most, least) = (until_last(|_| true), until_last(|entry| entry["status"] == 429));
    println!("{passed} of {REQUESTS} passed; the allowance is {least:.0} to {most:.0}");
    assert!((passed as f64) < most * 1.01 && (passed as f64) > least * 0.99, "{passed} of {least} to {most}");
    let metric = "veloflux_limited_total{tenant=\"acme\",limit=\"tenant/all\",outcome=\"rejected\"}";
    assert_eq!(edge.metric(metric).await, Some((REQUESTS - passed) as f64));
}

#[tokio::test]
async fn who_is_over_a_limit_is_told_when_to_come_again() {
    let edge = limited("rates: [{name: per-hour, rate: 2/h}, {name: wide, rate: 1000/s}]").await;
    let fields = |response: &Response| {
        ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| response.header(name).map(str::to_owned))
    };
    let told = |policy: &str, left: &str, retry: Option<&str>| {
        [Some(policy.to_owned()), Some(left.to_owned()), retry.map(str::to_owned)]
    };
    let first = edge.get("acme.test", "/").await;
    assert_eq!(first.status, 200);
    assert_eq!(fields(&first), told("\"per-hour\";q=2;w=3600", "\"per-hour\";r=1;t=1800", None));
    let second = edge.get("acme.test", "/").await;
    assert_eq!(fields(&second), told("\"per-hour\";q=2;w=3600", "\"per-hour\";r=0;t=3600", None));
    let mut client = Client::plain(edge.http()).await;
    let third = client.get("acme.test", "/").await;
    assert_eq!(third.status, 429);
    assert_eq!(fields(&third), told("\"per-hour\";q=2;w=3600", "\"per-hour\";r=0;t=3600", Some("1800")));
    assert_eq!(third.json()["title"], "Too many requests");
    assert_eq!(client.get("acme.test", "/").await.status, 429, "the connection stays open");

    let id = third.header("x-request-id").unwrap();
    let (access, event) = (edge.access(id).await, edge.event(id).await);
    let limit = &access["limits"][0];
    assert_eq!((&limit["set_by"], &limit["name"]), (&"tenant".into(), &"per-hour".into()), "{access}");
    assert_eq!(limit["outcome"], "rejected");
    assert!((1_799_000..=1_800_000).contains(&limit["time_ms"].as_i64().unwrap()), "{access}");
    assert_eq!(access["termination"], "rejected");
    assert_eq!((&event["log"], &event["limit"]), (&"limit".into(), &"per-hour".into()), "{event}");
    assert_eq!((&event["tenant"], &event["client"]), (&"acme".into(), &"127.0.0.1".into()), "{event}");
    let unlimited = edge.access(first.header("x-request-id").unwrap()).await;
    assert!(unlimited.get("limits").is_none(), "{unlimited}");
}

#[tokio::test]
async fn a_burst_passes_and_then_the_rate_and_a_request_may_count_for_several() {
    let rules = "rates: [{name: two, rate: 10/s, burst: 4, cost: 2, path: {prefix: /dear}}]";
    let edge = limited(rules).await;
    let begun = Instant::now();
    assert_eq!(status(&edge, "/dear", "").await, 200);
    assert_eq!(status(&edge, "/%64ear/x", "").await, 200, "another spelling of the path");
    assert_eq!(status(&edge, "/dear", "").await, 429);
    assert_eq!(status(&edge, "/cheap", "").await, 200);
    soon("the rate gives some back", async { while status(&edge, "/dear", "").await != 200 {} }).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn forwarding_fields_of_strangers_change_nothing() {
    let edge = limited("rates: [{name: client, key: [client], rate: 3/h}]").await;
    for forged in ["203.0.113.1", "203.0.113.2", "2001:db8::1"] {
        let fields =
            format!("X-Forwarded-For: {forged}\r\nForwarded: for={forged}\r\nX-Real-IP: {forged}\r\n");
        assert_eq!(status(&edge, "/", &fields).await, 200);
    }
    let forged = "X-Forwarded-For: 203.0.113.4\r\n";
    assert_eq!(status(&edge, "/", forged).await, 429);
    let mut neighbour = Client::plain_from("127.0.0.2", edge.http()).await;
    assert_eq!(neighbour.get("acme.test", "/").await.status, 200, "another client counts by itself");

    let edge = limited_behind_proxy("rates: [{name: client, key: [client], rate: 1/h}]").await;
    let from = async |chain: &str| status(&edge, "/", &format!("X-Forwarded-For: {chain}\r\n")).await;
    assert_eq!(from("203.0.113.1").await, 200);
    assert_eq!(from("203.0.113.2").await, 200);
    assert_eq!(
        from("198.51.100.1, 203.0.113.1").await,
        429,
        "what stands to the left is the client's own word"
    );
}

#[tokio::test]
async fn an_ipv6_client_is_its_network() {
    for (limits, same, other) in [
        ("", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("ipv6_prefix: 48, ", "2001:db8:0:1::1", "2001:db8:1::1"),
        ("ipv6_prefix: 128, ", "2001:db8::1", "2001:db8::2"),
    ] {
        let rule = format!("{limits}rates: [{{name: client, key: [client], rate: 1/h}}]");
        let edge = limited_behind_proxy(&rule).await;
        let from = async |client: &str| status(&edge, "/", &format!("X-Forwarded-For: {client}\r\n")).await;
        assert_eq!(from("2001:db8::1").await, 200);
        assert_eq!(from(same).await, 429, "{limits}");
        assert_eq!(from(other).await, 200, "{limits}");
    }
}

#[tokio::test]
async fn keys_are_of_any_parts() {
    let key = |key: &str| format!("rates: [{{name: rule, key: [{key}], rate: 1/h}}]");
    for (parts, requests) in [
        ("method, path", vec![("/a", "", 200), ("/b", "", 200), ("/a?x", "", 429), ("/%61", "", 429)]),
        (
            "{header: x-user}",
            vec![("/", "X-User: a\r\n", 200), ("/", "X-User: b\r\n", 200), ("/", "X-User: a\r\n", 429)],
        ),
        (
            "{cookie: Sid}",
            vec![
                ("/", "Cookie: x=1; Sid=a\r\n", 200),
                ("/", "Cookie: Sid=a\r\n", 429),
                ("/", "Cookie: sid=a\r\n", 200),
                ("/", "", 429),
            ],
        ),
        (
            "{api_key: {header: x-api-key, query: key}}, path",
            vec![
                ("/", "X-Api-Key: secret\r\n", 200),
                ("/?key=s%65cret", "", 429),
                ("/b?key=secret", "", 200),
                ("/?key=secret2", "", 200),
                ("/?key=1&key=secret", "", 200),
                ("/?key=2&key=secret", "", 429),
            ],
        ),
    ] {
        let edge = limited(&key(parts)).await;
        for (target, fields, expected) in requests {
            assert_eq!(status(&edge, target, fields).await, expected, "{parts}: {target} {fields}");
        }
        let id = ask(&edge, "/", "X-Api-Key: secret\r\n").await.header("x-request-id").unwrap().to_owned();
        assert!(!edge.access(&id).await["limits"].to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_request_waits_and_only_so_many_do() {
    let backend = Backend::named("b");
    let rule = "{name: slow, rate: 5/s, burst: 1, action: {delay: {max_wait: 2s, max_waiting: 3}}}";
    let tenant = format!("{}\nlimits: {{rates: [{rule}]}}", forward_to(&[&backend]));
    let edge = Edge::new().tenant("acme", "acme.test", &tenant).start().await;
    let begun = Instant::now();
    let one = async || {
        let response = edge.get("acme.test", "/").await;
        (response.status, begun.elapsed(), response)
    };
    let mut all = Vec::from(<[_; 6]>::from(tokio::join!(one(), one(), one(), one(), one(), one())));
    all.sort_by_key(|(_, took, _)| *took);
    let refused = all.iter().filter(|(status, ..)| *status == 429).count();
    assert_eq!((refused, backend.count()), (2, 4));
    let waited: Vec<_> = all.iter().filter(|(status, ..)| *status == 200).collect();
    for (turn, (_, took, _)) in waited.iter().enumerate() {
        let due = Duration::from_millis(200 * turn as u64);
        assert!(
            *took + Duration::from_millis(5) >= due && *took < due + Duration::from_secs(2),
            "{turn}: {took:?}"
        );
    }
    let last = edge.access(waited[3].2.header("x-request-id").unwrap()).await;
    assert_eq!(last["limits"][0]["outcome"], "delayed", "{last}");
    // None waits any more.
    assert_eq!(edge.get("acme.test", "/").await.status, 200);

    // A client that goes away while it waits reaches no backend.
    let mut client = Client::plain(edge.http()).await;
    let before = backend.count();
    client.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    let mut waiting = Client::plain(edge.http()).await;
    waiting.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    drop(waiting);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(backend.count() <= before + 2);
}

#[tokio::test]
async fn what_only_records_lets_everything_through() {
    let rules = "rates: [{name: log, rate: 1/h, action: log}, {name: dry, rate: 1/h, dry_run: true}]";
    let edge = limited(rules).await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
    let over = edge.get("acme.test", "/").await;
    assert_eq!((over.status, over.header("ratelimit"), over.header("ratelimit-policy")), (200, None, None));
    let access = edge.access(over.header("x-request-id").unwrap()).await;
    let outcome = |index: usize| access["limits"][index]["outcome"].as_str().unwrap();
    assert_eq!((outcome(0), outcome(1)), ("logged", "dry_run"));
    for (limit, outcome) in [("log", "logged"), ("dry", "dry_run")] {
        let line = format!(
            "veloflux_limited_total{{tenant=\"acme\",limit=\"tenant/{limit}\",outcome=\"{outcome}\"}}"
        );
        assert_eq!(edge.metric(&line).await, Some(1.0));
    }
    assert_eq!(edge.metric("veloflux_rejected_total{tenant=\"acme\"}").await, Some(0.0));
}

#[tokio::test]
async fn no_tenant_lifts_a_ceiling() {
    let plans = "plans: [{name: default, limits: {rates: [{name: plan, rate: 3/h}]}}, \
                 {name: big, limits: {rates: [{name: plan, rate: 1000/h}]}}]";
    let generous = say("rates: [{name: plan, rate: 1000000/s}, {name: ceiling, rate: 1000000/s}]");
    let edge = Edge::new()
        .state(plans)
        .tenant("acme", "acme.test", &generous)
        .tenant("other", "other.test", &generous)
        .tenant("big", "big.test", &format!("plan: big\n{generous}"))
        .tenant(
            "held",
            "held.test",
            &format!("plan: big\nceilings: {{rates: [{{name: ceiling, rate: 2/h}}]}}\n{generous}"),
        )
        .start()
        .await;
    for (host, passes) in [("acme.test", 3), ("other.test", 3), ("big.test", 10), ("held.test", 2)] {
        let mut passed = 0;
        for _ in 0..10 {
            let response = edge.get(host, "/").await;
            passed += usize::from(response.status == 200);
        }
        assert_eq!(passed, passes, "{host}");
    }
    let refused = edge.get("acme.test", "/nowhere").await;
    let access = edge.access(refused.header("x-request-id").unwrap()).await;
    assert_eq!(access["limits"][0]["set_by"], "plan");
}

#[tokio::test]
async fn a_request_that_one_rule_refuses_uses_up_nothing_of_the_others() {
    let limits = "rates: [{name: watch, rate: 1/h, action: log}, {name: all, rate: 1/h}]";
    let edge = limited(limits).await;
    assert_eq!(status(&edge, "/", "").await, 200);
    for _ in 0..2 {
        let refused = edge.get("acme.test", "/").await;
        let access = edge.access(refused.header("x-request-id").unwrap()).await;
        assert_eq!(
            access["limits"].as_array().unwrap().len(),
            2,
            "nothing is taken back that was not charged: {access}"
        );
    }

    let rules = "rates: [{name: all, rate: 3/h}, {name: client, key: [client], rate: 1/h}]";
    let edge = limited_behind_proxy(rules).await;
    let from = async |client: &str| status(&edge, "/", &format!("X-Forwarded-For: {client}\r\n")).await;
    assert_eq!(from("203.0.113.1").await, 200);
    for _ in 0..10 {
        assert_eq!(from("203.0.113.1").await, 429);
    }
    assert_eq!(from("203.0.113.2").await, 200);
    assert_eq!(from("203.0.113.3").await, 200);
    assert_eq!(from("203.0.113.4").await, 429);
}

#[tokio::test]
async fn requests_without_a_route_count_and_a_route_counts_by_itself() {
    let tenant = "routes: [{name: a, path: {prefix: /a}, respond: {body: a}, limits: {rates: [{name: r, rate: 1/h}]}}, \
                  {name: b, path: {prefix: /b}, respond: {body: b}, limits: {rates: [{name: r, rate: 1/h}]}}]\n\
                  limits: {rates: [{name: all, rate: 4/h}]}";
    let edge = Edge::new().tenant("acme", "acme.test", tenant).start().await;
    for (target, expected) in
        [("/a", 200), ("/a", 429), ("/b", 200), ("/b", 429), ("/none", 404), ("/none", 404), ("/none", 429)]
    {
        assert_eq!(status(&edge, target, "").await, expected, "{target}");
    }
}

#[tokio::test]
async fn a_reload_forgives_nobody() {
    let rule = |rate: &str| {
        say(&format!("rates: [{{name: client, key: [client], rate: {rate}}}, {{name: all, rate: 100/h}}]"))
    };
    let mut edge = Edge::new().tenant("acme", "acme.test", &rule("2/h")).start().await;
    for expected in [200, 200, 429] {
        assert_eq!(status(&edge, "/", "").await, expected);
    }
    edge.set_tenant("other", "domains: [{host: other.test}]\nroutes: [{name: say, respond: {body: x}}]");
    edge.reload().await;
    assert_eq!(status(&edge, "/", "").await, 429, "another tenant's change");
    let tenant = |rate: &str| format!("domains: [{{host: acme.test}}]\n{}", rule(rate));
    edge.set_tenant("acme", &tenant("3/h"));
    edge.reload().await;
    assert_eq!(status(&edge, "/", "").await, 429, "an hour's debt is an hour's debt");
    edge.set_tenant("acme", &tenant("50/s"));
    edge.reload().await;
    soon("a limit that is raised is felt at once", async { while status(&edge, "/", "").await != 200 {} })
        .await;
    let response = edge.get("acme.test", "/").await;
    assert_eq!(response.header("ratelimit-policy"), Some("\"client\";q=50;w=1"));
}

#[tokio::test]
async fn http2_requests_are_limited_alike() {
    let edge = Edge::new().tls_tenant(&say("rates: [{name: all, rate: 2/h}]")).start().await;
    let mut client = edge.h2("acme.test").await;
    for expected in [200, 200, 429] {
        let reply = client.get("https://acme.test/").await;
        assert_eq!(reply.status(), expected);
        assert_eq!(reply.header("retry-after").is_some(), expected == 429);
    }
}

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    const DOCUMENT: &str = include_str!("../../../../docs/limits.md");
    let example = DOCUMENT.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("127.0.0.1:8081"));
    let backend = Backend::echo();
    let example = example.replace("127.0.0.1:8081", &backend.address().to_string());
    let edge = Edge::new().process("reload: {watch: false}").start().await;
    edge.write_raw_state(&example.replace("    domains:", "    firewall: {mode: off}\n    domains:"));
    edge.signal(libc::SIGHUP);
    edge.metric_becomes("veloflux_revision", 2.0).await;
    let ask = async |method: &str, target: &str, times: usize| {
        let mut client = Client::plain(edge.http()).await;
        let mut passed = 0;
        for _ in 0..times {
            client
                .send(format!(
                    "{method} {target} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
            passed += usize::from(client.response().await.status == 200);
        }
        passed
    };
    assert_eq!(ask("POST", "/login", 8).await, 5);
    assert_eq!(ask("GET", "/login", 8).await, 8);
    let reports = ask("GET", "/api/reports/1?key=a", 65).await;
    assert!((60..=62).contains(&reports), "{reports}");
    assert_eq!(ask("GET", "/api/x?key=a", 15).await, 15, "a report is one request there");
    assert_eq!(ask("GET", "/search", 40).await, 40);
    let begun = Instant::now();
    assert_eq!(ask("GET", "/export", 2).await, 2);
    assert!(begun.elapsed() > Duration::from_millis(900));
}
