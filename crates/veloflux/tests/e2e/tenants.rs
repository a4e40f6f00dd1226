//! A tenant tunes its firewall as `docs/tenants.md` shows, within what its operator leaves to it.

use std::process::Command;

use crate::firewall::{ask, get, id, post, with_rules};
use crate::harness::{Backend, Edge, PROGRAM};

const DOCUMENT: &str = include_str!("../../../../docs/tenants.md");
const FORM: &str = "application/x-www-form-urlencoded";
const SQL: &str = "query=1%27+UNION+SELECT+password+FROM+users--+";
const OTHER: &str = "other=1%27+UNION+SELECT+password+FROM+users--+";

/// The document's example, in front of `backend`.
fn example(backend: &Backend) -> String {
    let example = DOCUMENT.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("127.0.0.1:8081"));
    example.replace("127.0.0.1:8081", &backend.address().to_string())
}

fn posted(path: &str, body: &str) -> String {
    post("shop.example", FORM, body).replacen("/form", path, 1)
}

fn check(edge: &Edge) -> String {
    let output = Command::new(PROGRAM).arg("check").arg("--process").arg(edge.path("veloflux.yaml")).output();
    String::from_utf8(output.unwrap().stderr).unwrap()
}

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge.process("reload: {watch: false}").start().await;
    edge.write_raw_state(&example(&backend));
    assert_eq!(check(&edge), "");
    edge.signal(libc::SIGHUP);
    edge.metric_becomes("veloflux_revision", 2.0).await;

    let html = "html=%3Cscript%3Ealert(1)%3C/script%3E";
    for (request, status) in [
        (posted("/reports/sql", SQL), 200),
        (posted("/reports/sql", OTHER), 403),
        (posted("/other", SQL), 403),
        (posted("/reports/..%2fadmin", SQL), 403),
        (get("shop.example", &format!("/reports/sql?{SQL}"), "*/*"), 403),
        (posted("/pages/12", html), 200),
        (posted("/pages/new", html), 403),
        (get("shop.example", "/admin/users", "*/*"), 404),
        (get("shop.example", "/administration", "*/*"), 404),
        (get("shop.example", "/", "*/*"), 200),
    ] {
        let response = ask(&edge, &request).await;
        assert_eq!(response.status, status, "{request}");
    }
    let refused = ask(&edge, &get("shop.example", "/admin", "*/*")).await;
    let event = edge.event(id(&refused)).await;
    assert_eq!((&event["action"], &event["rules"][0]["id"]), (&"blocked".into(), &10_000.into()), "{event}");
    assert_eq!(event["rules"][0]["message"], "Administration from outside");
}

#[tokio::test]
async fn what_goes_beyond_the_baseline_is_refused_and_the_old_state_stays() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::echo();
    let edge = edge.process("reload: {watch: false}").start().await;
    let good = example(&backend);
    edge.write_raw_state(&good);
    edge.signal(libc::SIGHUP);
    edge.metric_becomes("veloflux_revision", 2.0).await;
    let level = "outbound_threshold: 3";
    let weaker = [
        (
            level,
            "outbound_threshold: 3\n      inbound_threshold: 6",
            ":16:26: `inbound_threshold` is not within the operator's baseline",
        ),
        (
            level,
            "outbound_threshold: 3\n      mode: detect",
            ":15:13: `mode` is not within the operator's baseline",
        ),
    ];
    let pinned = [
        ("rules: 942000-942999", "rules: 944000-944999", ":17:19: rule 944"),
        (
            "{rules: 933000-933999, mode: detect}",
            "{rule: 949110, mode: off}",
            ":22:18: rule 949110 is pinned by the operator",
        ),
        ("deny,status:404", "allow", "office:3:23: the action allow is not for own rules"),
        (
            "!@ipMatch 192.0.2.0/24",
            "@pmFromFile /etc/passwd",
            "office:4:22: the operator pmFromFile is not for own rules",
        ),
        (
            "ruleRemoveTargetByTag=attack-xss;ARGS:html",
            "ruleRemoveById=949110",
            "editor:3:34: rule 949110 is pinned by the operator",
        ),
    ];
    for (number, changes) in [&weaker[..], &pinned[..]].into_iter().enumerate() {
        let bad = changes.iter().fold(good.clone(), |text, (old, new, _)| {
            assert!(text.contains(old), "{old}");
            text.replacen(old, new, 1)
        });
        edge.write_raw_state(&bad);
        let told = check(&edge);
        for (_, _, said) in changes {
            assert!(told.contains(said), "{said}: {told}");
        }
        edge.signal(libc::SIGHUP);
        edge.metric_becomes("veloflux_reloads_total{result=\"refused\"}", number as f64 + 1.0).await;
        assert_eq!(ask(&edge, &posted("/reports/sql", SQL)).await.status, 200);
        assert_eq!(ask(&edge, &posted("/other", SQL)).await.status, 403);
    }
}
