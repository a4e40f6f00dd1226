//! Reload: a new state is taken in whole or not at all, and touches nobody else.

use std::time::Duration;

use crate::harness::{Backend, Client, Edge, forward_to, until};

fn says(text: &str) -> String {
    format!("domains: [{{host: acme.test}}]\nroutes: [{{name: say, respond: {{body: '{text}'}}}}]")
}

#[tokio::test]
async fn a_signal_or_a_changed_file_brings_the_new_state() {
    let mut edge = Edge::new();
    edge.set_tenant("acme", &says("one"));
    let mut edge = edge.start().await;
    let mut kept = Client::plain(edge.http()).await;
    assert_eq!(kept.get("acme.test", "/").await.text(), "one");
    edge.set_tenant("acme", &says("two"));
    edge.reload().await;
    assert_eq!(
        kept.get("acme.test", "/").await.text(),
        "two",
        "a kept connection sees it with its next request"
    );
    assert_eq!(edge.said("\"reloaded\"").await["cause"], "signal");

    edge.set_tenant("acme", &says("three"));
    edge.set_tenant("new", "domains: [{host: new.test}]\nroutes: [{name: say, respond: {body: new}}]");
    edge.write_state();
    assert_eq!(edge.said("file change").await["tenants"], 2);
    assert_eq!(kept.get("acme.test", "/").await.text(), "three");
    assert_eq!(kept.get("new.test", "/").await.text(), "new");
    assert_eq!(edge.metric("veloflux_reloads_total{result=\"accepted\"}").await, Some(2.0));
    assert_eq!(edge.metric("veloflux_revision").await, Some(3.0));
}

#[tokio::test]
async fn a_state_with_an_error_changes_nothing() {
    let mut edge = Edge::new().process("reload: {watch: false}").certificates(&["acme.test", "other.test"]);
    edge.set_tenant("acme", &says("old"));
    let edge = edge.start().await;
    for (n, (broken, said)) in [
        ("tenants:\n  - name: acme\n    domans: []\n", "state.yaml:3"),
        (
            "tenants:\n  - {name: acme, domains: [{host: a.test}]}\n  - {name: b, domains: [{host: a.test}]}\n",
            "state.yaml:3",
        ),
        ("tenants: [\n", "state.yaml:"),
        (
            "tenants:\n  - name: acme\n    domains: [{host: acme.test}]\n    certificates:\n      \
             - {name: gone, cert_file: nowhere.pem, key_file: nowhere.key}\n",
            "state.yaml:5",
        ),
        (
            "tenants:\n  - name: acme\n    domains: [{host: acme.test}]\n    certificates:\n      \
             - {name: mixed, cert_file: certs/acme.test.pem, key_file: certs/other.test.key}\n",
            "state.yaml:5",
        ),
        (
            "tenants:\n  - name: acme\n    firewall: {ruleset: 9.9.9}\n    routes: [{name: x, respond: {}}]\n",
            "state.yaml:",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        edge.write_raw_state(broken);
        edge.signal(libc::SIGHUP);
        edge.metric_becomes("veloflux_reloads_total{result=\"refused\"}", n as f64 + 1.0).await;
        assert_eq!(edge.metric("veloflux_config_last_reload_successful").await, Some(0.0));
        assert_eq!(edge.get("acme.test", "/").await.text(), "old");
        let refusals = || edge.count_said("is refused, the old one stays in force");
        until("it is said why", || (refusals() > n).then_some(())).await;
        assert!(edge.count_said(said) > 0, "{said} is named");
    }
    edge.reload().await;
    assert_eq!(edge.metric("veloflux_config_last_reload_successful").await, Some(1.0));
    assert_eq!(edge.get("acme.test", "/").await.text(), "old");
}

#[tokio::test]
async fn a_change_to_one_tenant_closes_no_connection_of_another() {
    let backend = Backend::start(async |request, socket| match request.target.as_str() {
        "/ws" => {
            socket.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await?;
            loop {
                let bytes = socket.some().await?;
                if bytes.is_empty() {
                    return socket.close().await;
                }
                socket.send(bytes).await?;
            }
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            socket.answer(200, "slow").await
        }
        _ => socket.answer(200, "fast").await,
    });
    let mut edge = Edge::new().process("threads: 1").tenant("kept", "kept.test", &forward_to(&[&backend]));
    edge.set_tenant("acme", &says("0"));
    let mut edge = edge.start().await;
    let mut socket = Client::plain(edge.http()).await;
    socket.send("GET /ws HTTP/1.1\r\nHost: kept.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(socket.response_head().await.status, 101);
    let mut slow = Client::plain(edge.http()).await;
    slow.send("GET /slow HTTP/1.1\r\nHost: kept.test\r\n\r\n").await;
    let mut idle = Client::plain(edge.http()).await;
    assert_eq!(idle.get("kept.test", "/").await.text(), "fast");
    let connections = backend.connections();
    for n in 1..=10 {
        edge.set_tenant("acme", &says(&n.to_string()));
        edge.reload().await;
        assert_eq!(edge.get("acme.test", "/").await.text(), n.to_string());
        socket.send("ping").await;
        assert_eq!(socket.exactly(4).await, b"ping");
        assert_eq!(idle.get("kept.test", "/").await.text(), "fast");
    }
    assert_eq!(slow.response().await.text(), "slow");
    assert_eq!(backend.connections(), connections, "connections to backends are kept too");
}

#[tokio::test]
async fn what_is_taken_out_is_gone_and_what_was_begun_ends_well() {
    let backend = Backend::start(async |_, socket| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        socket.answer(200, "begun before").await
    });
    let mut edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
    let mut begun = Client::plain(edge.http()).await;
    begun.send("GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    until("it is at the backend", || (backend.count() == 1).then_some(())).await;
    edge.set_tenant("acme", "domains: [{host: moved.test}]\nroutes: [{name: say, respond: {body: moved}}]");
    edge.reload().await;
    assert_eq!(edge.get("acme.test", "/").await.status, 404);
    assert_eq!(edge.get("moved.test", "/").await.text(), "moved");
    assert_eq!(begun.response().await.text(), "begun before");
    assert_eq!(begun.get("acme.test", "/").await.status, 404);
}

#[tokio::test]
async fn a_start_with_an_error_is_refused_with_its_place() {
    let edge = Edge::new();
    edge.write_raw_state("tenants:\n  - name: acme\n    colour: red\n");
    std::fs::write(edge.path("veloflux.yaml"), "listeners: [{address: '127.0.0.1:0', protocol: http}]\n")
        .unwrap();
    for command in ["check", "serve"] {
        let output = std::process::Command::new(crate::harness::PROGRAM)
            .arg(command)
            .arg("--process")
            .arg(edge.path("veloflux.yaml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("state.yaml:3:"), "{command}: {said}");
        assert!(said.contains("colour"), "{command}: {said}");
    }
}
