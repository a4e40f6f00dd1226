use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use veloflux_snapshot::limit::{LimitAction, Limits, Pace, RateRule};
use veloflux_snapshot::runtime::{LimitOutcome, Registry};
use veloflux_snapshot::{Algorithm, Tenant};
use veloflux_waf::collections::{Change, Collections as _, EntryKey, Kind, Update};

use super::*;
use crate::record::Target;
use crate::testing::{EJECTION, empty_snapshot, pool_of, snapshot_of};

fn metrics_of(snapshot: Arc<Snapshot>) -> (Metrics, Arc<ProcessCounters>) {
    let process = Arc::new(ProcessCounters::new(&Registry::default()));
    let metrics = Metrics::new(Sources {
        snapshot: Box::new(move || snapshot.clone()),
        now_ms: Box::new(|| 1_000),
        limit_bytes: Box::new(|| 65_536),
        process: process.clone(),
        managed: Arc::default(),
        logs: vec![("access", Sink::start(Target::Off).unwrap())],
        version: "1.2.3",
    });
    (metrics, process)
}

fn tenants(count: usize) -> Arc<Snapshot> {
    let registry = Registry::default();
    let tenants = (0..count).map(|number| {
        let id: Arc<str> = format!("t{number:04}").into();
        Arc::new(Tenant {
            routes: Vec::new(),
            certificates: Vec::new(),
            access: Box::default(),
            revocation_lists: Vec::new(),
            limits: None,
            mode: veloflux_snapshot::mode::Mode::Normal,
            header_policy: Arc::default(),
            csp_reports: None,
            state: registry.tenant(&id),
            id,
        })
    });
    Arc::new(Snapshot { revision: 7, tenants: tenants.collect(), ..empty_snapshot() })
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|shown| shown == line), "{line} is not in:\n{text}");
}

#[test]
fn counters_appear_under_their_names_and_labels() {
    let snapshot = tenants(1);
    let state = &snapshot.tenants[0].state;
    state.requests[1].store(5, Relaxed);
    state.active.store(2, Relaxed);
    state.duration.observe(90);
    state.duration.observe(2_000);
    state.duration.observe(60_000_000);
    state.waf_duration.observe(300);
    state.waf_blocked.store(3, Relaxed);
    let key = EntryKey::new(Kind::Ip, "", b"192.0.2.1").unwrap();
    let at = Update { now_s: 1, timeout_s: 60, is_first: true };
    state.collections.change(&key, &Change::Add { name: b"n", amount: 1 }, &at).unwrap();
    let bytes = state.collections.usage().bytes();
    let (metrics, process) = metrics_of(snapshot.clone());
    process.nobody.requests[3].store(4, Relaxed);
    process.retries.store(6, Relaxed);
    process.reloaded(true);
    process.reloaded(false);
    let text = metrics.render().unwrap();
    for line in [
        "veloflux_requests_total{tenant=\"t0000\",class=\"2xx\"} 5",
        "veloflux_requests_total{tenant=\"_none\",class=\"4xx\"} 4",
        "veloflux_active_connections{tenant=\"t0000\"} 2",
        "veloflux_request_duration_seconds_bucket{le=\"0.0001\",tenant=\"t0000\"} 1",
        "veloflux_request_duration_seconds_bucket{le=\"0.0025\",tenant=\"t0000\"} 2",
        "veloflux_request_duration_seconds_bucket{le=\"10.0\",tenant=\"t0000\"} 2",
        "veloflux_request_duration_seconds_bucket{le=\"+Inf\",tenant=\"t0000\"} 3",
        "veloflux_request_duration_seconds_count{tenant=\"t0000\"} 3",
        "veloflux_request_duration_seconds_sum{tenant=\"t0000\"} 60.00209",
        "veloflux_waf_transaction_seconds_count{tenant=\"t0000\"} 1",
        "veloflux_waf_blocked_total{tenant=\"t0000\"} 3",
        "veloflux_waf_collections_entries{tenant=\"t0000\"} 1",
        &format!("veloflux_waf_collections_bytes{{tenant=\"t0000\"}} {bytes}"),
        "veloflux_waf_collections_evicted_total{tenant=\"t0000\"} 0",
        "veloflux_retries_total 6",
        "veloflux_reloads_total{result=\"refused\"} 1",
        "veloflux_reloads_total{result=\"accepted\"} 1",
        "veloflux_config_last_reload_successful 0",
        "veloflux_revision 7",
        "veloflux_log_dropped_total{log=\"access\"} 0",
        "veloflux_build_info{version=\"1.2.3\"} 1",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn tenants_over_the_limit_are_summed() {
    let snapshot = tenants(MAX_TENANTS + 3);
    for tenant in &snapshot.tenants {
        tenant.state.requests[4].store(1, Relaxed);
        tenant.state.duration.observe(10);
    }
    let text = metrics_of(snapshot).0.render().unwrap();
    assert_line(&text, "veloflux_requests_total{tenant=\"_other\",class=\"5xx\"} 3");
    assert_line(&text, "veloflux_request_duration_seconds_count{tenant=\"_other\"} 3");
    let series = text.lines().filter(|line| line.starts_with("veloflux_active_connections{")).count();
    assert_eq!(series, MAX_TENANTS + 2);
}

#[test]
fn backends_show_whether_they_are_given_requests() {
    let mut pool = pool_of(Algorithm::RoundRobin, &[1, 1, 1, 1]);
    pool.ejection = Some(EJECTION);
    pool.backends[1].state.healthy.store(false, Relaxed);
    pool.backends[2].state.draining.store(true, Relaxed);
    pool.backends[3].state.ejected_until_ms.store(9_000, Relaxed);
    let text = metrics_of(snapshot_of(vec![pool])).0.render().unwrap();
    for (number, health) in [(1, 1), (2, 0), (3, 0), (4, 0)] {
        let labels = format!("tenant=\"t\",pool=\"p\",backend=\"10.0.0.{number}:80\"");
        assert_line(&text, &format!("veloflux_backend_health{{{labels}}} {health}"));
    }
    for state in ["up", "down", "draining", "ejected"] {
        assert_line(&text, &format!("veloflux_backends{{state=\"{state}\"}} 1"));
    }
}

#[test]
fn backends_are_listed_up_to_the_limit_and_counted_beyond() {
    let pools = (0..5).map(|number| {
        let mut pool = pool_of(Algorithm::RoundRobin, &[1; 250]);
        pool.id = format!("t/p{number}").into();
        pool
    });
    let text = metrics_of(snapshot_of(pools.collect())).0.render().unwrap();
    let listed = text.lines().filter(|line| line.starts_with("veloflux_backend_health{")).count();
    assert_eq!(listed, MAX_BACKENDS);
    assert_line(&text, "veloflux_backends{state=\"up\"} 1250");
}

/// Sends `request` to a server with these metrics; gives the whole response.
async fn ask(request: &[u8], ready: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(metrics_of(tenants(1)).0);
    tokio::spawn(serve(listener, metrics, move || ready, |_| true, std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn the_three_addresses_answer_and_no_other() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let metrics = ask(&get("/metrics"), true).await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(ask(&get("/healthz"), false).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(&get("/readyz"), true).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(&get("/readyz"), false).await.starts_with("HTTP/1.1 503 "));
    for other in ["/", "/metrics/", "/metrics?x", "//metrics", "/../metrics"] {
        assert!(ask(&get(other), true).await.starts_with("HTTP/1.1 404 "), "{other}");
    }
    assert!(ask(b"POST /metrics HTTP/1.1\r\n\r\n", true).await.starts_with("HTTP/1.1 404 "));
    assert!(ask(b"\r\n\r\n", true).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_refused() {
    let request = [b"GET /metrics HTTP/1.1\r\nx: ".as_slice(), &vec![b'a'; 8 * 1024 - 26]].concat();
    assert!(ask(&request, true).await.starts_with("HTTP/1.1 431 "));
}

#[test]
fn limits_show_what_became_of_requests_over_them_once_each() {
    let registry = Registry::default();
    let state = registry.limit(&"t0000/route/api/login".into());
    state.count(LimitOutcome::Rejected);
    state.count(LimitOutcome::Rejected);
    state.count(LimitOutcome::DryRun);
    state.unplaced.store(4, Relaxed);
    let limits = Arc::new(Limits {
        rates: vec![RateRule {
            name: "login".into(),
            key: Vec::new(),
            methods: Vec::new(),
            path: None,
            pace: Pace::new(1, std::time::Duration::from_secs(1), 1),
            cost: 1,
            action: LimitAction::Reject,
            dry_run: false,
            policy: None,
            state,
        }],
        connections: Vec::new(),
        requests: Vec::new(),
        bandwidth: Vec::new(),
        tenant_mark: 0,
    });
    let mut snapshot = Arc::into_inner(snapshot_of(vec![pool_of(Algorithm::RoundRobin, &[1])])).unwrap();
    let mut tenant = Arc::into_inner(snapshot.tenants.remove(0)).unwrap();
    tenant.id = "t0000".into();
    tenant.routes[0].limits = Some(limits.clone());
    tenant.limits = Some(limits);
    snapshot.tenants.push(Arc::new(tenant));
    let text = metrics_of(Arc::new(snapshot)).0.render().unwrap();
    let labels = "tenant=\"t0000\",limit=\"route/api/login\"";
    for (outcome, count) in [("rejected", 2), ("delayed", 0), ("logged", 0), ("dry_run", 1)] {
        assert_line(&text, &format!("veloflux_limited_total{{{labels},outcome=\"{outcome}\"}} {count}"));
    }
    assert_line(&text, &format!("veloflux_limit_unplaced_total{{{labels}}} 4"));
    assert_line(&text, "veloflux_limit_bytes 65536");
    assert_eq!(text.lines().filter(|line| line.starts_with("veloflux_limit_unplaced_total{")).count(), 1);
}
