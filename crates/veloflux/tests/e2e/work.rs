//! The firewall's work budget: what spends it is refused, and `waf top` shows what costs.

use serde_json::Value;

use crate::firewall::{ask, id, policy, post, with_rules};
use crate::harness::{Backend, Edge, PROGRAM};

/// A small body whose values are all judged under long names.
fn costly() -> String {
    let name = "n".repeat(200);
    let numbers = vec!["1"; 2_000].join(",");
    post("acme.test", "application/json", &format!("{{\"{name}\":{{\"{name}\":[{numbers}]}}}}"))
}

#[tokio::test]
async fn a_request_over_its_budget_is_refused_and_counted() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "paranoia_level: 4")).start().await;
    let refused = ask(&edge, &costly()).await;
    assert_eq!((refused.status, backend.count()), (403, 0));
    let entry = edge.access(id(&refused)).await;
    assert_eq!(
        (&entry["waf"]["verdict"], &entry["waf"]["cause"]),
        (&"blocked".into(), &"work_budget".into())
    );
    assert!(entry["waf"]["units"].as_u64() > Some(100_000), "{entry}");
    let event = edge.event(id(&refused)).await;
    assert_eq!((&event["action"], &event["cause"]), (&"blocked".into(), &"work_budget".into()));
    assert_eq!(edge.metric("veloflux_waf_over_budget_total{tenant=\"acme\"}").await, Some(1.0));
    let units = edge.metric("veloflux_waf_units_total{tenant=\"acme\"}").await;
    assert_eq!(units, entry["waf"]["units"].as_f64());
}

#[tokio::test]
async fn where_the_firewall_only_detects_it_passes() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let detect = policy(&backend, "paranoia_level: 4, mode: detect");
    let edge = edge.tenant("acme", "acme.test", &detect).start().await;
    let passed = ask(&edge, &costly()).await;
    assert_eq!((passed.status, backend.count()), (200, 1));
    let event = edge.event(id(&passed)).await;
    assert_eq!((&event["action"], &event["cause"]), (&"detected".into(), &"work_budget".into()));
}

#[tokio::test]
async fn top_shows_the_costliest_rules_of_a_running_process() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge.tenant("acme", "acme.test", &policy(&backend, "mode: block")).start().await;
    for _ in 0..3 {
        let form = post("acme.test", "application/x-www-form-urlencoded", "q=it's+a+table+(round)+for+2");
        assert_eq!(ask(&edge, &form).await.status, 200);
    }
    edge.metric_becomes("veloflux_waf_transaction_seconds_count{tenant=\"acme\"}", 3.0).await;
    let shown: Value = serde_json::from_str(&edge.top(&["--json", "--count", "5"])).unwrap();
    let rules = shown["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 5, "{shown}");
    assert!(rules.is_sorted_by_key(|rule| std::cmp::Reverse(rule["units"].as_u64())), "{shown}");
    assert!(rules[0]["runs"].as_u64() >= Some(3), "{shown}");
    assert_eq!(shown["tenants"][0]["tenant"], "acme");
    assert_eq!(shown["tenants"][0]["units"], shown["units"]);

    let table = edge.top(&[]);
    let first = rules[0]["rule"].as_str().unwrap();
    assert!(table.lines().any(|line| line.starts_with(first)), "{table}");
    // Nothing happens meanwhile.
    let quiet: Value = serde_json::from_str(&edge.top(&["--json", "--seconds", "1"])).unwrap();
    assert_eq!((&quiet["units"], quiet["rules"].as_array().unwrap().len()), (&0.into(), 0));
}

#[tokio::test]
async fn top_says_what_it_cannot_read() {
    let edge = Edge::new().start().await;
    let address = edge.http().to_string();
    let output =
        std::process::Command::new(PROGRAM).args(["waf", "top", "--metrics", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is no metrics listener"), "{output:?}");
}
