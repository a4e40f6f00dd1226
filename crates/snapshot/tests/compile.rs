//! Compiling through the public door: documents in, snapshot or report out.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use support::{OFF, compiled, inputs, parse, refused};
use veloflux_snapshot::compile::{MAX_RING_POINTS, files_named, needs_native_roots, rulesets_named};
use veloflux_snapshot::limit::{KeyPart, Pace};
use veloflux_snapshot::runtime::Registry;
use veloflux_snapshot::{Action, Inputs, Lapsed, PathMatch, Publisher, Snapshot, compile};
use veloflux_waf::{MemFiles, Ruleset, Source};

/// A certificate for `names` with its key, both in PEM.
fn certificate(names: &[&str], days_left: i64) -> (Vec<u8>, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let day = 24 * 60 * 60;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let date = x509_parser::time::ASN1Time::from_timestamp(now + days_left * day).unwrap().to_datetime();
    params.not_after = rcgen::date_time_ymd(date.year(), date.month().into(), date.day());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
}

fn with_certificate(name: &str, names: &[&str], days_left: i64, inputs: &mut Inputs) {
    let (cert, key) = certificate(names, days_left);
    inputs.files.insert(format!("{name}.pem"), Ok(cert));
    inputs.files.insert(format!("{name}.key"), Ok(key));
}

fn tls_tenant(domains: &str) -> String {
    format!(
        "tenants:\n  - name: acme\n    {OFF}\n    domains: {domains}\n    certificates:\n      - {{name: a, cert_file: a.pem, key_file: a.key}}\n      - {{name: b, cert_file: b.pem, key_file: b.key}}\n"
    )
}

#[test]
fn a_host_gets_the_certificate_that_covers_it() {
    let mut inputs = inputs();
    with_certificate("a", &["shop.example", "10.0.0.1"], 30, &mut inputs);
    with_certificate("b", &["*.acme.example"], 30, &mut inputs);
    let hosts = "[{host: shop.example}, {host: x.acme.example}, {host: '*.acme.example'}, {host: 10.0.0.1}, {host: y.acme.example, certificate: b}]";
    let text = tls_tenant(hosts);
    let state = parse(&text);
    assert_eq!(files_named(&state).into_iter().collect::<Vec<_>>(), ["a.key", "a.pem", "b.key", "b.pem"]);
    let snapshot = compiled(&text, &inputs);
    let presented = |host: &str| snapshot.hosts.get(host).unwrap().certificate.clone().unwrap();
    assert!(Arc::ptr_eq(&presented("shop.example"), &presented("10.0.0.1")));
    assert!(Arc::ptr_eq(&presented("x.acme.example"), &presented("anything.acme.example")));
    assert!(!Arc::ptr_eq(&presented("shop.example"), &presented("y.acme.example")));
    assert!(snapshot.hosts.get("a.b.acme.example").is_none());
}

#[test]
fn unusable_certificates_say_why_and_show_no_key() {
    let text = tls_tenant("[{host: shop.example}, {host: other.example, certificate: b}]");
    let mut inputs = inputs();
    with_certificate("a", &["shop.example"], -2, &mut inputs);
    with_certificate("b", &["b.example"], 30, &mut inputs);
    let report = refused(&text, &inputs);
    assert!(
        report.contains("state.yaml:6:30: certificate `a`: ") && report.contains("expired on"),
        "{report}"
    );
    assert!(report.contains("the certificate `b` does not cover `other.example`"), "{report}");

    // The key of another certificate, a file that is no key, one that is missing, and no certificate at all.
    let (_, other_key) = certificate(&["shop.example"], 30);
    let secret = b"-----BEGIN PRIVATE KEY-----\nSECRETSECRET!\n-----END PRIVATE KEY-----\n".to_vec();
    let cases = [
        ("a.key", Ok(other_key), "the key does not belong to the certificate"),
        ("a.key", Ok(secret), "the file holds no private key in PEM"),
        ("a.key", Err("no such file".to_owned()), "the key_file `a.key` cannot be read: no such file"),
        ("a.pem", Ok(b"hello".to_vec()), "the file holds 0 certificates"),
    ];
    for (file, content, message) in cases {
        with_certificate("a", &["shop.example"], 30, &mut inputs);
        inputs.files.insert(file.to_owned(), content);
        let report = refused(&text, &inputs);
        assert!(report.contains(message) && !report.contains("SECRET"), "{report}");
        assert!(!format!("{inputs:?}").contains("BEGIN"));
    }
}

#[test]
fn an_expired_certificate_is_served_at_start_and_while_it_stays_the_same() {
    let text = tls_tenant("[{host: shop.example}]");
    let mut inputs = inputs();
    with_certificate("a", &["shop.example"], -2, &mut inputs);
    with_certificate("b", &["b.example"], 30, &mut inputs);
    assert!(refused(&text, &inputs).contains("expired on"));

    inputs.lapsed = Lapsed::Serve;
    let first = Arc::new(compiled(&text, &inputs));
    assert!(first.hosts.get("shop.example").unwrap().certificate.is_some());
    let [expired, valid] = &first.tenants[0].certificates[..] else { panic!("{first:?}") };
    assert_eq!((&*expired.name, &*expired.file), ("a", "a.pem"));
    assert!(expired.lapsed.as_ref().unwrap().contains("expired on"), "{expired:?}");
    assert!(expired.not_after_unix_s < valid.not_after_unix_s && valid.lapsed.is_none());

    // It became invalid while it was served: that does not keep other changes out.
    inputs.lapsed = Lapsed::ServeAsIn(first);
    compiled(&text, &inputs);
    // For another tenant it is new.
    assert!(refused(&text.replace("name: acme", "name: other"), &inputs).contains("expired on"));
    // And so is another one that is no better.
    with_certificate("a", &["shop.example"], -1, &mut inputs);
    assert!(refused(&text, &inputs).contains("expired on"));
}

#[test]
fn a_name_without_certificate_is_an_error_only_beside_certificates() {
    let mut inputs = inputs();
    with_certificate("a", &["shop.example"], 30, &mut inputs);
    with_certificate("b", &["b.example"], 30, &mut inputs);
    let report = refused(&tls_tenant("[{host: shop.example}, {host: plain.example}]"), &inputs);
    assert!(report.contains("none of the tenant's certificates covers `plain.example`"), "{report}");
    let plain = format!("tenants: [{{name: acme, {OFF}, domains: [{{host: plain.example}}]}}]");
    assert!(compiled(&plain, &inputs).hosts.get("plain.example").unwrap().certificate.is_none());
}

#[test]
fn routes_are_tried_from_the_most_specific_on() {
    let text = format!(
        "tenants:
  - name: acme
    {OFF}
    domains: [{{host: a.example}}, {{host: '*.a.example'}}]
    routes:
      - {{name: any, respond: {{}}}}
      - {{name: any-exact, path: {{exact: /x}}, respond: {{}}}}
      - {{name: both, hosts: ['*.a.example', a.example], respond: {{}}}}
      - {{name: long, hosts: [a.example], path: {{prefix: /api/v1/}}, respond: {{}}}}
      - {{name: short, hosts: [a.example], path: {{prefix: /api}}, respond: {{}}}}
      - {{name: post, hosts: [a.example], path: {{prefix: /api}}, methods: [POST], respond: {{}}}}
      - {{name: header, hosts: [a.example], path: {{prefix: /api}}, methods: [POST], headers: [{{name: x}}], respond: {{}}}}
      - {{name: exact, hosts: [a.example], path: {{exact: /a}}, respond: {{}}}}
"
    );
    let snapshot = compiled(&text, &inputs());
    let names: Vec<&str> = snapshot.tenants[0].routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["exact", "long", "header", "post", "short", "both", "both", "any-exact", "any"]);
    assert_eq!(snapshot.tenants[0].routes[1].path, PathMatch::Prefix("/api/v1".into()));
    let hosts: Vec<&[Box<str>]> =
        snapshot.tenants[0].routes[5..7].iter().map(|route| &*route.hosts).collect();
    assert_eq!(hosts, [&[Box::from("a.example")], &[Box::from("*.a.example")]]);
}

#[test]
fn routes_inherit_what_they_do_not_say() {
    let text = format!(
        "tenants:
  - name: acme
    {OFF}
    timeouts: {{connect: 1s, total: 9s}}
    max_body: 1KiB
    routes:
      - {{name: a, path: {{exact: /a}}, timeouts: {{total: 2s}}, respond: {{}}}}
      - {{name: b, max_body: 2KiB, respond: {{}}}}
"
    );
    let snapshot = compiled(&text, &inputs());
    let [a, b] = &snapshot.tenants[0].routes[..] else { panic!() };
    assert_eq!((a.timeouts.connect, a.timeouts.total), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((b.timeouts.total, b.timeouts.idle), (Duration::from_secs(9), Duration::from_mins(1)));
    assert_eq!((a.max_body_bytes, b.max_body_bytes), (1024, 2048));
}

fn pool(options: &str, backends: &str) -> String {
    format!(
        "tenants:\n  - name: acme\n    {OFF}\n    pools:\n      - {{name: web, {options} backends: [{backends}]}}\n    routes:\n      - {{name: all, forward: {{pool: web}}}}\n"
    )
}

fn only_pool(snapshot: &Snapshot) -> &veloflux_snapshot::Pool {
    snapshot.pools().next().unwrap()
}

#[test]
fn a_backend_keeps_its_points_whatever_happens_to_the_others() {
    let of = |backends: &str| {
        let snapshot = compiled(&pool("algorithm: ip_hash,", backends), &inputs());
        let pool = only_pool(&snapshot);
        assert!(pool.ring.is_sorted());
        let owner = |index: u16| pool.backends[usize::from(index)].authority.to_string();
        pool.ring.iter().map(|&(point, index)| (point, owner(index))).collect::<Vec<_>>()
    };
    let three = of("{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}");
    let two = of("{address: '10.0.0.1:80'}, {address: '10.0.0.3:80'}");
    assert_eq!((three.len(), two.len()), (480, 320));
    let mut without = three;
    without.retain(|(_, owner)| owner != "10.0.0.2:80");
    assert_eq!(without, two);

    let weighted = of("{address: '10.0.0.1:80', weight: 200}, {address: '10.0.0.2:80', weight: 100}");
    assert_eq!(weighted.len(), 480);
    let bounded = of("{address: '10.0.0.1:80', weight: 1000}, {address: '10.0.0.2:80', weight: 999}");
    assert!(bounded.len() as u64 <= MAX_RING_POINTS);
    // Shares of the circle follow the weights within the spread of 160 points.
    let mut share = 0_u64;
    for (index, (point, owner)) in weighted.iter().enumerate() {
        let before = if index == 0 { weighted[weighted.len() - 1].0 } else { weighted[index - 1].0 };
        if owner == "10.0.0.1:80" {
            share += point.wrapping_sub(before) >> 32;
        }
    }
    let percent = (share * 100) >> 32;
    assert!((55..80).contains(&percent), "{percent} %");
}

#[test]
fn tls_to_backends_verifies_unless_told_otherwise() {
    let mut inputs = inputs();
    let (ca, key) = certificate(&["ca.example"], 30);
    inputs.files.insert("ca.pem".to_owned(), Ok(ca));
    inputs.files.insert("key.pem".to_owned(), Ok(key));
    let backend = "{address: 'app.internal:443'}";
    let snapshot = compiled(
        &pool("protocol: http2, tls: {ca_file: ca.pem, server_name: app.internal},", backend),
        &inputs,
    );
    let tls = only_pool(&snapshot).tls.as_ref().unwrap();
    assert_eq!(
        (tls.server_name.as_deref(), &tls.config.alpn_protocols[..]),
        (Some("app.internal"), &[b"h2".to_vec()][..])
    );
    compiled(&pool("tls: {verify: false},", backend), &inputs);

    assert!(needs_native_roots(&parse(&pool("tls: {},", backend))));
    let report = refused(&pool("tls: {},", backend), &inputs);
    assert!(report.contains("the system trusts no authority"), "{report}");
    let report = refused(&pool("tls: {ca_file: key.pem},", backend), &inputs);
    assert!(report.contains("does not hold certificates of authorities"), "{report}");
}

#[test]
fn state_outlives_snapshots_and_drain_takes_effect_with_the_swap() {
    let registry = Registry::default();
    let state = |drain: bool| parse(&pool("", &format!("{{address: '10.0.0.1:80', drain: {drain}}}")));
    let draining = |snapshot: &Snapshot| {
        only_pool(snapshot).backends[0].state.draining.load(std::sync::atomic::Ordering::Relaxed)
    };
    let publisher = Publisher::new(compile(&state(false), &inputs(), &registry, 1).unwrap());
    let reader = publisher.reader();
    let mut cached = reader.cached();
    let before = reader.current();
    let next = compile(&state(true), &inputs(), &registry, 2).unwrap();
    assert!(Arc::ptr_eq(&only_pool(&before).backends[0].state, &only_pool(&next).backends[0].state));
    assert!(!draining(&before));
    publisher.publish(next);
    assert!(draining(&before));
    assert_eq!((cached.current().revision, reader.current().revision, publisher.revision()), (2, 2, 2));
}

fn ruleset() -> Arc<Ruleset> {
    let text = "SecRule ARGS \"@contains evil\" \"id:100,phase:2,deny,tag:'attack-test'\"";
    let source = Source { name: "test.conf".to_owned(), text: text.to_owned() };
    Arc::new(Ruleset::compile(&[source], &MemFiles::new()).unwrap())
}

#[test]
fn policies_find_their_rule_set_and_refine_per_route() {
    let mut inputs = inputs();
    inputs.rulesets.insert("1.0".to_owned(), Ok(ruleset()));
    inputs.rulesets.insert("2.0".to_owned(), Err("it does not compile".to_owned()));
    inputs.active_ruleset = Some("1.0".to_owned());
    let state = |route: &str| {
        format!(
            "tenants:\n  - name: acme\n    firewall: {{paranoia_level: 2}}\n    routes:\n      - {{name: a, path: {{exact: /a}}, respond: {{}}}}\n      - {{name: b, respond: {{}}, firewall: {route}}}\n"
        )
    };
    let snapshot = compiled(&state("{mode: detect, body_limit: 1KiB}"), &inputs);
    let [a, b] = &snapshot.tenants[0].routes[..] else { panic!() };
    let (a, b) = (a.firewall.as_ref().unwrap(), b.firewall.as_ref().unwrap());
    assert_eq!((a.overlay.mode(), b.overlay.mode()), (veloflux_waf::Mode::Block, veloflux_waf::Mode::Detect));
    assert_eq!((a.overlay.levels().paranoia, b.overlay.levels().paranoia), (2, 2));
    assert_eq!((a.body_limit_bytes, b.body_limit_bytes), (128 << 10, 1 << 10));
    assert!(compiled(&state("{mode: off}"), &inputs).tenants[0].routes[1].firewall.is_none());

    let named = parse(&state("{ruleset: '2.0'}"));
    assert_eq!(rulesets_named(&named).into_iter().collect::<Vec<_>>(), [None, Some("2.0")]);
    assert!(
        refused(&state("{ruleset: '2.0'}"), &inputs)
            .contains("the rule set 2.0 cannot be used: it does not compile")
    );
    assert!(refused(&state("{ruleset: '3.0'}"), &inputs).contains("the rule set 3.0 is not installed"));
    inputs.active_ruleset = None;
    assert!(refused(&state("{mode: detect}"), &inputs).contains("no rule set is active"));
}

#[test]
fn every_dangling_exclusion_is_reported() {
    let mut inputs = inputs();
    inputs.rulesets.insert("1.0".to_owned(), Ok(ruleset()));
    inputs.active_ruleset = Some("1.0".to_owned());
    let text = "baseline: {tunable: [{rule: 100}]}
tenants:
  - name: acme
    firewall:
      exclusions:
        - {rule: 100}
        - {rule: 101}
        - {tag: attack-tset}
";
    let report = refused(text, &inputs);
    assert_eq!(
        report,
        "state.yaml:7:18: no rule has the id 101\n    the rule set has 1 rules\nstate.yaml:8:17: no rule carries the tag \"attack-tset\"\n    did you mean `attack-test`?"
    );
}

#[test]
fn what_the_operator_pins_stays_and_own_rules_say_where_they_are_wrong() {
    let mut inputs = inputs();
    inputs.rulesets.insert("1.0".to_owned(), Ok(ruleset()));
    inputs.active_ruleset = Some("1.0".to_owned());
    let state = |baseline: &str, firewall: &str| {
        format!(
            "baseline: {{{baseline}}}\ntenants:\n- name: acme\n  domains: [{{host: a.test}}]\n  routes:\n  \
             - {{name: all, respond: {{}}, firewall: {{paranoia_level: 3}}}}\n  firewall:\n    {firewall}\n"
        )
    };
    let open =
        "tunable: [{tag: attack-test}], paranoia_level: 2, inbound_threshold: 3, response_body_limit: 1MiB";
    let snapshot =
        compiled(&state(open, "exclusions: [{rule: 100, methods: [GET], hosts: [a.test]}]"), &inputs);
    let policy = snapshot.tenants[0].routes[0].firewall.as_ref().unwrap();
    // What a tenant leaves out is never weaker than the baseline.
    let levels = policy.overlay.levels();
    assert_eq!((levels.paranoia, levels.inbound_threshold, levels.outbound_threshold), (3, 3, 4));
    assert_eq!(policy.response_limit_bytes, 1 << 20);

    let pinned =
        "rule 100 is pinned by the operator\n    name only rules that the operator's `baseline` leaves";
    for (baseline, firewall, expected) in [
        ("", "exclusions: [{rule: 100}]", format!("state.yaml:8:25: {pinned}")),
        ("tunable: [{rule: 100}], pinned: [{tag: attack-test}]", "exclusions: [{rules: 1-200}]", format!("state.yaml:8:26: {pinned}")),
        ("", "rule_modes: [{tag: attack-test, mode: detect}]", format!("state.yaml:8:24: {pinned}")),
        (
            "",
            "rules: [{name: mine, text: 'SecRuleEngine Off'}]",
            "state.yaml:8:32: mine:1:1: the directive SecRuleEngine is not for own rules: the mode is set in the tenant's firewall settings: SecRuleEngine\n    line and column behind".to_owned(),
        ),
    ] {
        let report = refused(&state(baseline, firewall), &inputs);
        assert!(report.starts_with(&expected), "{report}");
        assert_eq!(report.lines().count(), 2, "told once, not again for each route: {report}");
    }
}

/// Tenants in the test of size, and the time in which an unoptimised build must parse and compile them.
const MANY: usize = 10_000;
const MANY_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn ten_thousand_tenants_compile_in_time_and_find_their_state_again() {
    use std::fmt::Write;
    let mut inputs = inputs();
    inputs.rulesets.insert("1.0".to_owned(), Ok(ruleset()));
    inputs.active_ruleset = Some("1.0".to_owned());
    let mut text = "tenants:\n".to_owned();
    for number in 0..MANY {
        write!(
            text,
            "  - name: t{number}\n    domains: [{{host: t{number}.example}}, {{host: '*.t{number}.example'}}]\n    pools:\n      - name: web\n        backends: [{{address: '10.0.0.1:{port}'}}, {{address: '10.0.0.2:{port}'}}]\n    routes:\n      - {{name: api, hosts: [a.t{number}.example], path: {{prefix: /api}}, forward: {{pool: web}}}}\n      - {{name: all, forward: {{pool: web}}}}\n",
            port = 1 + number
        )
        .unwrap();
    }
    let begun = Instant::now();
    let state = parse(&text);
    let registry = Registry::default();
    let first = compile(&state, &inputs, &registry, 1).unwrap();
    let second = compile(&state, &inputs, &registry, 2).unwrap();
    assert!(begun.elapsed() < MANY_WITHIN, "took {:?}", begun.elapsed());
    assert_eq!(first.tenants.len(), MANY);
    assert!(first.tenants.iter().zip(&second.tenants).all(|(a, b)| Arc::ptr_eq(&a.state, &b.state)));
    let last = &second.hosts.get("x.t9999.example").unwrap().tenant;
    assert!(matches!(&last.routes[1].action, Action::Forward { pool, .. } if &*pool.id == "t9999/web"));
}

#[test]
fn a_tenants_work_budget_stays_below_the_operators() {
    let source = Source { name: "t.conf".to_owned(), text: "SecAction \"id:1,phase:1,pass\"".to_owned() };
    let ruleset = Arc::new(Ruleset::compile(&[source], &MemFiles::new()).unwrap());
    let rulesets = HashMap::from([("1".to_owned(), Ok(ruleset))]);
    let inputs =
        Inputs { rulesets, active_ruleset: Some("1".to_owned()), max_work_budget_percent: 150, ..inputs() };
    let state = |percent: u32| {
        format!(
            "tenants:\n  - name: acme\n    firewall: {{work_budget: {percent}}}\n    domains: [{{host: a.test}}]\n    \
             routes: [{{name: r, respond: {{status: 200}}}}]\n"
        )
    };
    let snapshot = compiled(&state(150), &inputs);
    let policy = snapshot.tenants[0].routes[0].firewall.as_ref().unwrap();
    assert_eq!(policy.overlay.work_budget(), veloflux_waf::WorkBudget::percent(150));
    let report = refused(&state(151), &inputs);
    assert!(report.contains("state.yaml:3:29: the work budget 151 is more than"), "{report}");
}

#[test]
fn a_request_is_held_to_all_limits_and_they_are_found_again() {
    let text = "plans:
  - {name: default, limits: {rates: [{name: a, rate: 1/s}], bandwidth: 1MiB}}
  - {name: big, limits: {rates: [{name: a, rate: 9/s}]}}
tenants:
  - name: acme
    firewall: {mode: off}
    ceilings: {rates: [{name: a, rate: 2/s}], connections: {total: 5}}
    limits: {rates: [{name: a, rate: 3/s, key: [client]}], requests: {total: 7, per_client: 6}}
    routes:
      - {name: plain, path: {prefix: /plain}, respond: {body: x}}
      - {name: own, respond: {body: x}, limits: {ipv6_prefix: 48, rates: [{name: a, rate: 4/m, burst: 9, key: [client]}]}}
  - {name: big, plan: big, firewall: {mode: off}, routes: [{name: r, respond: {body: x}}]}
  - {name: other, firewall: {mode: off}, routes: [{name: r, respond: {body: x}}]}
";
    let (state, registry) = (parse(text), Registry::default());
    let snapshot = compile(&state, &inputs(), &registry, 1).unwrap();
    let [acme, big, other] = &snapshot.tenants[..] else { panic!("three tenants") };
    let limits = acme.routes.iter().find(|route| &*route.name == "own").unwrap().limits.clone().unwrap();
    let rates: Vec<_> = limits.rates.iter().map(|rule| (&*rule.state.id, rule.key.len())).collect();
    assert_eq!(
        rates,
        [("acme/route/own/a", 1), ("acme/tenant/a", 1), ("acme/ceiling/a", 0), ("acme/plan/a", 0)]
    );
    assert_eq!(limits.rates[0].key, [KeyPart::Client(48)]);
    assert_eq!(limits.rates[1].key, [KeyPart::Client(64)]);
    assert_eq!(limits.rates[0].pace, Pace { interval_ns: 15_000_000_000, burst_ns: 135_000_000_000 });
    assert_eq!(limits.rates[0].policy.as_deref(), Some("\"a\";q=4;w=60"));
    let at_once: Vec<_> =
        limits.requests.iter().chain(&limits.connections).map(|limit| &*limit.state.id).collect();
    assert_eq!(
        at_once,
        ["acme/tenant#requests_per_client", "acme/tenant#requests", "acme/ceiling#connections"]
    );
    assert_eq!(limits.bandwidth[0].bytes_per_s, 1 << 20);
    // Without limits of its own, a route has its tenant's, and no memory of its own for them.
    let plain = acme.routes.iter().find(|route| &*route.name == "plain").unwrap();
    assert!(Arc::ptr_eq(plain.limits.as_ref().unwrap(), acme.limits.as_ref().unwrap()));
    let pace = |tenant: &veloflux_snapshot::Tenant| tenant.limits.as_ref().unwrap().rates[0].pace.interval_ns;
    assert_eq!((pace(big), pace(other)), (111_111_112, 1_000_000_000));

    let again = compile(&state, &inputs(), &registry, 2).unwrap();
    let first = |snapshot: &Snapshot| snapshot.tenants[0].limits.as_ref().unwrap().rates[0].state.clone();
    assert!(Arc::ptr_eq(&first(&snapshot), &first(&again)));
    assert!(compiled("tenants: [{name: t, firewall: {mode: off}}]", &inputs()).tenants[0].limits.is_none());
}

#[test]
fn presets_refinements_and_merges_become_fields() {
    use veloflux_snapshot::headers::{Merge, SecurityHeader};
    let text = "tenants:
  - name: acme
    firewall: {mode: off}
    security_headers:
      content_security_policy: {value: \"img-src 'self'\", merge: override}
      csp_reports: true
      x_frame_options: {merge: off}
    routes:
      - {name: inherits, respond: {body: x}}
      - {name: refines, respond: {body: x}, security_headers: {csp_report_only: true, hide_server: false}}
      - {name: anew, respond: {body: x}, security_headers: {preset: off, referrer_policy: {value: origin}}}
  - name: quiet
    firewall: {mode: off}
";
    let snapshot = compiled(text, &inputs());
    let [acme, quiet] = [0, 1].map(|at| &snapshot.tenants[at]);
    let route = |name: &str| {
        let route = acme.routes.iter().find(|route| &*route.name == name).unwrap();
        route.header_policy.security.clone()
    };
    let reported = "img-src 'self'; report-uri /.well-known/veloflux/csp-report; report-to csp";
    let inherited = route("inherits");
    assert_eq!(inherited, acme.header_policy.security);
    assert_eq!(inherited[0].header, SecurityHeader::ContentSecurityPolicy);
    assert_eq!((inherited[0].value.as_deref(), inherited[0].merge), (Some(reported), Merge::Override));
    let has = |fields: &[veloflux_snapshot::headers::SecurityField], header| {
        fields.iter().any(|field| field.header == header)
    };
    assert!(has(&inherited, SecurityHeader::ReportingEndpoints) && has(&inherited, SecurityHeader::Server));
    assert!(!has(&inherited, SecurityHeader::XFrameOptions));

    let refined = route("refines");
    assert_eq!(refined[0].header, SecurityHeader::ContentSecurityPolicyReportOnly);
    assert_eq!(refined[0].value.as_deref(), Some(reported));
    assert!(!has(&refined, SecurityHeader::Server));

    let anew = route("anew");
    assert_eq!(anew.len(), 1);
    assert_eq!((anew[0].value.as_deref(), anew[0].merge), (Some("origin"), Merge::Keep));

    // Nothing written is the default preset, as it is for hosts that are nobody's.
    assert_eq!(quiet.header_policy.security, snapshot.header_policy.security);
    assert!(quiet.csp_reports.is_none() && acme.csp_reports.is_some());
    assert!(snapshot.header_policy.security.iter().all(|field| field.merge != Merge::Append));
}
