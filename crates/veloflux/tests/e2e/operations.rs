//! `docs/operations.md` names what there is: every limit with its default, every metric with its type.

use serde_json::Value;
use veloflux_model::process::{AcmeLimits, Limits};
use veloflux_model::{Document as _, Process};

use crate::harness::Edge;

const DOCUMENT: &str = include_str!("../../../../docs/operations.md");

#[test]
fn every_limit_is_documented_with_its_default() {
    fn rows(prefix: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(keys) => {
                keys.iter().for_each(|(key, value)| rows(&format!("{prefix}.{key}"), value, found));
            }
            Value::String(text) => found.push(format!("| `{prefix}` | {text} |")),
            other => found.push(format!("| `{prefix}` | {other} |")),
        }
    }
    let mut found = Vec::new();
    rows("limits", &serde_json::to_value(Limits::default()).unwrap(), &mut found);
    rows("acme.limits", &serde_json::to_value(AcmeLimits::default()).unwrap(), &mut found);
    let missing: Vec<_> = found.into_iter().filter(|row| !DOCUMENT.contains(row)).collect();
    assert!(missing.is_empty(), "not in docs/operations.md:\n{}", missing.join("\n"));
}

#[test]
fn the_example_of_ordering_certificates_is_a_process_file() {
    let (_, section) = DOCUMENT.split_once("## Certificates that renew themselves").unwrap();
    let (_, example) = section.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let process = Process::parse("example", example).unwrap_or_else(|report| panic!("{report}"));
    assert!(process.acme.unwrap().proves_wildcards());
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type() {
    let edge = Edge::new().start().await;
    let metrics = edge.metrics().await;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let rows: Vec<String> = types
        .map(|(name, kind)| format!("| `{name}{}` | {kind} |", if kind == "counter" { "_total" } else { "" }))
        .collect();
    assert!(rows.len() > 10, "{metrics}");
    for row in rows {
        assert!(DOCUMENT.contains(&row), "not in docs/operations.md: {row}");
    }
}
