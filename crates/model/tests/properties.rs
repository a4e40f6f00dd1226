//! Properties of every document: what is accepted prints and reads back the same, and nothing panics.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use veloflux_model::{Desired, Document, Process};

/// An object of those of `fields` that have a value.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    option::of(select(texts).prop_map(Value::from))
}

fn number(range: std::ops::Range<u64>) -> impl Strategy<Value = Option<Value>> {
    option::of(range.prop_map(Value::from))
}

fn time() -> impl Strategy<Value = Option<Value>> {
    one_of(&["1ms", "250ms", "1s", "90s", "5m", "24h", "1d"])
}

fn size() -> impl Strategy<Value = Option<Value>> {
    one_of(&["0B", "1", "1023B", "128KiB", "10MiB", "64MiB"])
}

/// Text that YAML may take for something else, or that has to be quoted.
fn tricky_text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "yes",
            "no",
            "off",
            "null",
            "~",
            "1e3",
            "0x1f",
            "- a",
            "a: b",
            "# x",
            "a\nb\n",
            " a",
            "'",
            "\"",
            "|",
            "é\u{feff}"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,40}",
    ]
}

fn firewall() -> impl Strategy<Value = Value> {
    let exclusion = (0..3_usize, 1..999_999_u64, option::of("[A-Z_]{1,8}(:[ -~]{0,12})?")).prop_map(
        |(kind, id, target)| {
            let target = target.map(Value::from);
            match kind {
                0 => object([("rule", Some(json!(id))), ("target", target)]),
                1 => object([("rules", Some(json!(format!("{id}-{}", id + 10)))), ("target", target)]),
                _ => object([("tag", Some(json!(format!("attack-{id}")))), ("target", target)]),
            }
        },
    );
    let numbers = (number(1..5), number(1..100), number(1..100));
    let limits = (size(), one_of(&["reject", "inspect_prefix"]), size(), number(1..1_000));
    let versions = one_of(&["4.28.0", "3.3", "1e3", "0x10", "4"]);
    (one_of(&["block", "detect", "off"]), versions, numbers, limits, vec(exclusion, 0..3)).prop_map(
        |(mode, ruleset, (level, inbound, outbound), (body, over, response, budget), exclusions)| {
            object([
                ("mode", mode),
                ("ruleset", ruleset),
                ("paranoia_level", level),
                ("inbound_threshold", inbound),
                ("outbound_threshold", outbound),
                ("body_limit", body),
                ("over_limit", over),
                ("response_body_limit", response),
                ("work_budget", budget),
                ("exclusions", Some(json!(exclusions))),
            ])
        },
    )
}

fn limits(on_a_route: bool) -> impl Strategy<Value = Value> {
    let key = select(vec![
        json!([]),
        json!(["client", "route", "method", "path"]),
        json!([{ "header": "x-user" }, { "cookie": "SID" }]),
        json!(["client", { "api_key": { "query": "yes" } }]),
    ]);
    let action = option::of(select(vec![
        json!("reject"),
        json!("log"),
        json!({ "delay": {} }),
        json!({ "delay": { "max_wait": "250ms", "max_waiting": 7 } }),
    ]));
    let rate =
        (1..1_000_001_u64, select(vec!["s", "m", "h"])).prop_map(|(n, unit)| json!(format!("{n}/{unit}")));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()));
    let rule = (key, rate, action, flags).prop_map(|(key, rate, action, (dry_run, headers))| {
        object([
            ("key", Some(key)),
            ("rate", Some(rate)),
            ("action", action),
            ("dry_run", dry_run.map(Value::from)),
            ("headers", headers.map(Value::from)),
        ])
    });
    let at_once =
        |limit: (Option<Value>, Option<Value>)| object([("total", limit.0), ("per_client", limit.1)]);
    let numbers = (number(1..1_000), number(1..1_000), number(1..1_000), number(16..129));
    (vec(rule, 0..4), numbers, one_of(&["1KiB", "10MiB", "1GiB"])).prop_map(
        move |(rates, (total, per_client, requests, prefix), bandwidth)| {
            object([
                ("rates", Some(named("l", rates))),
                ("connections", Some(at_once((total, per_client))).filter(|_| !on_a_route)),
                ("requests", Some(at_once((requests, None)))),
                ("bandwidth", bandwidth),
                ("ipv6_prefix", prefix),
            ])
        },
    )
}

fn timeouts() -> impl Strategy<Value = Value> {
    (time(), time(), time(), time()).prop_map(|(connect, first_byte, idle, total)| {
        object([("connect", connect), ("first_byte", first_byte), ("idle", idle), ("total", total)])
    })
}

fn route() -> impl Strategy<Value = Value> {
    let path = option::of((any::<bool>(), select(vec!["/", "/api", "/a/b/", "/a%20b"]))).prop_map(|path| {
        path.map(|(exact, path)| if exact { json!({ "exact": path }) } else { json!({ "prefix": path }) })
    });
    let action = prop_oneof![
        Just(("forward", json!({ "pool": "p0" }))),
        Just(("redirect", json!({ "status": 302, "location": "https://{host}{path}{query}" }))),
        tricky_text().prop_map(|body| ("respond", json!({ "status": 404, "body": body }))),
    ];
    let headers = vec(("[a-z-]{1,8}", option::of("[!-~]([ -~]{0,8}[!-~])?")), 0..3).prop_map(|headers| {
        let header = |(name, value): (String, Option<String>)| {
            object([("name", Some(json!(name))), ("value", value.map(Value::from))])
        };
        headers.into_iter().map(header).collect::<Value>()
    });
    let methods = vec(select(vec!["GET", "POST", "ON", "NO", "Y"]), 0..3).prop_map(|methods| json!(methods));
    (path, action, headers, methods, timeouts(), size(), firewall(), limits(true)).prop_map(
        |(path, (action, what), headers, methods, timeouts, max_body, firewall, limits)| {
            object([
                ("path", path),
                (action, Some(what)),
                ("headers", Some(headers)),
                ("methods", Some(methods)),
                ("timeouts", Some(timeouts)),
                ("max_body", max_body),
                ("firewall", Some(firewall)),
                ("limits", Some(limits)),
            ])
        },
    )
}

fn pool() -> impl Strategy<Value = Value> {
    let backend = (number(1..1001), option::of(any::<bool>()));
    let algorithm = one_of(&["round_robin", "weighted_round_robin", "least_conn", "ip_hash", "random_two"]);
    let sticky = option::of(Just(json!({ "cookie": "c", "ttl": "7d" })));
    let statuses = option::of(vec(select(vec![json!(200), json!("300-399"), json!("204")]), 1..4))
        .prop_map(|s| s.map(Value::from));
    let check = (statuses, option::of("[a-z]{1,8}"), number(1..10)).prop_map(|(statuses, body, rise)| {
        object([
            ("expected_status", statuses),
            ("expected_body", body.map(Value::from)),
            ("rise", rise),
            ("interval", Some(json!("1m"))),
        ])
    });
    let tls = one_of(&["a.internal", "[::1]"]).prop_map(|name| object([("server_name", name)]));
    (vec(backend, 1..4), algorithm, sticky, option::of(check), option::of(tls), one_of(&["http1", "http2"]))
        .prop_map(|(backends, algorithm, sticky, check, tls, protocol)| {
            let backends = backends.into_iter().enumerate().map(|(index, (weight, drain))| {
                let address =
                    if index % 2 == 0 { format!("10.0.0.{index}:80") } else { format!("app-{index}:80") };
                object([
                    ("address", Some(json!(address))),
                    ("weight", weight),
                    ("drain", drain.map(Value::from)),
                ])
            });
            object([
                ("algorithm", algorithm),
                ("protocol", protocol),
                ("tls", tls),
                ("backends", Some(backends.collect::<Value>())),
                ("sticky_sessions", sticky),
                ("health_check", check),
            ])
        })
}

/// Gives each of `values` its own name, `p0`, `p1` and so on.
fn named(prefix: &str, values: Vec<Value>) -> Value {
    let name = |(index, mut value): (usize, Value)| {
        value["name"] = json!(format!("{prefix}{index}"));
        value
    };
    values.into_iter().enumerate().map(name).collect()
}

fn desired() -> impl Strategy<Value = Value> {
    let own = (limits(false), limits(false), one_of(&["p0", "p1"]));
    let tenant = (vec(pool(), 1..3), vec(route(), 0..4), timeouts(), size(), firewall(), own);
    (vec(tenant, 0..4), vec(limits(false), 2..4)).prop_map(|(tenants, plans)| {
        let tenant = |(index, (pools, routes, timeouts, max_body, firewall, (limits, ceilings, plan))): (usize, _)| {
            object([
                ("domains", Some(json!([{ "host": format!("t{index}.example") }, { "host": format!("*.t{index}.example") }]))),
                ("pools", Some(named("p", pools))),
                ("routes", Some(named("r", routes))),
                ("timeouts", Some(timeouts)),
                ("max_body", max_body),
                ("firewall", Some(firewall)),
                ("limits", Some(limits)),
                ("ceilings", Some(ceilings)),
                ("plan", plan),
            ])
        };
        let plans = plans.into_iter().map(|limits| object([("limits", Some(limits))])).collect();
        json!({ "plans": named("p", plans), "tenants": named("t", tenants.into_iter().enumerate().map(tenant).collect()) })
    })
}

fn process() -> impl Strategy<Value = Value> {
    let output = prop_oneof![
        Just(json!("stdout")),
        Just(json!("off")),
        tricky_text()
            .prop_filter("a path", |text| !text.is_empty() && !text.chars().any(char::is_control))
            .prop_map(|path| json!({ "file": path })),
    ];
    let limits = (number(1..1000), one_of(&["1KiB", "64KiB"]), one_of(&["100ms", "1m"])).prop_map(
        |(connections, head, time)| {
            object([("max_connections", connections), ("max_header_bytes", head), ("header_timeout", time)])
        },
    );
    let proxies = vec(select(vec!["10.0.0.0/8", "::1", "fd00::/8"]), 1..3);
    (one_of(&["off", "v1_v2"]), number(0..9), proxies, limits, output, any::<bool>()).prop_map(
        |(proxy_protocol, threads, proxies, limits, output, watch)| {
            let listener = object([
                ("address", Some(json!("[::]:443"))),
                ("protocol", Some(json!("https"))),
                ("proxy_protocol", proxy_protocol),
            ]);
            object([
                ("listeners", Some(json!([listener]))),
                ("threads", threads),
                ("trusted_proxies", Some(json!(proxies))),
                ("limits", Some(limits)),
                ("logs", Some(json!({ "access": { "output": output } }))),
                ("reload", Some(json!({ "watch": watch }))),
            ])
        },
    )
}

fn reads_back<D: Document + PartialEq + std::fmt::Debug>(document: &Value) {
    // JSON is YAML.
    let first = D::parse("generated", &document.to_string())
        .unwrap_or_else(|report| panic!("{report}\n{document:#}"));
    let printed = first.print().unwrap();
    let second = D::parse("printed", &printed).unwrap_or_else(|report| panic!("{report}\n{printed}"));
    assert_eq!(first, second, "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_accepted_state_reads_back(document in desired()) {
        reads_back::<Desired>(&document);
    }

    #[test]
    fn every_accepted_process_file_reads_back(document in process()) {
        reads_back::<Process>(&document);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "(\\PC|[\\[\\]{}:,&*!|>#'\"\n \t-]){0,200}") {
        let _ = Desired::parse("generated", &text);
        let _ = Process::parse("generated", &text);
    }

    #[test]
    fn a_damaged_state_is_refused_or_read_whole(document in desired(), cut in any::<prop::sample::Index>(), with in "\\PC{0,3}") {
        let mut text = document.to_string();
        let mut at = cut.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.replace_range(at..at, &with);
        if let Ok(state) = Desired::parse("generated", &text) {
            let printed = state.print().unwrap();
            prop_assert_eq!(Desired::parse("printed", &printed).unwrap(), state);
        }
    }
}
