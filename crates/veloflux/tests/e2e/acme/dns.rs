//! Domains and wildcards proved by DNS records, which a program, a service or a name server takes.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{acme, auto, said, served};
use crate::harness::{Authority, Backend, Client, Edge, Manner, free_addresses, listening};

/// Secret of the name server's key, in base64.
const TSIG_SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

#[tokio::test]
async fn a_program_writes_the_records_of_a_wildcard() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let script = format!(
        "#!/bin/sh\nset -e\necho \"$@\" >> {}\ncase $2 in\n\
         present) exec curl -sf -d \"{{\\\"host\\\": \\\"$3.\\\", \\\"value\\\": \\\"$4\\\"}}\" http://$1/set-txt;;\n\
         cleanup) exec curl -sf -d \"{{\\\"host\\\": \\\"$3.\\\"}}\" http://$1/clear-txt;;\nesac\n",
        edge.path("calls").display()
    );
    std::fs::write(edge.path("dns-hook"), script).unwrap();
    std::fs::set_permissions(edge.path("dns-hook"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let dns = format!(
        "challenges: [http_01, dns_01]\n\
         dns: {{propagation: 0s, provider: {{exec: {{program: ./dns-hook, args: ['{}']}}}}}}",
        authority.dns_management()
    );
    let mut edge = edge.process(&acme(&[&authority], &dns));
    // A wildcard takes DNS although HTTP is preferred.
    edge.set_tenant("acme", &auto(&["*.acme.test"]));
    let edge = edge.start().await;
    served(&edge, &authority.root(&edge).await, "any.acme.test").await;
    let calls = std::fs::read_to_string(edge.path("calls")).unwrap();
    let actions: Vec<Vec<&str>> = calls.lines().map(|line| line.split(' ').skip(1).collect()).collect();
    assert_eq!(actions.len(), 2, "{calls}");
    assert_eq!((actions[0][0], actions[0][1]), ("present", "_acme-challenge.acme.test"));
    assert_eq!((actions[1][0], actions[1][1..].to_vec()), ("cleanup", actions[0][1..].to_vec()));
}

#[tokio::test]
async fn a_service_writes_the_records() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let management = authority.dns_management();
    let service = Backend::start(async move |request, socket| {
        let body = socket.body().await?;
        if request.header("authorization") != Some("Bearer letmein") {
            return socket.answer(401, "").await;
        }
        let change: Value = serde_json::from_slice(&body)?;
        let (host, value) = (format!("{}.", change["name"].as_str().unwrap()), &change["value"]);
        let (path, told) = match change["action"].as_str().unwrap() {
            "present" => ("/set-txt", json!({"host": host, "value": value})),
            _ => ("/clear-txt", json!({"host": host})),
        };
        let told = told.to_string();
        let mut server = Client::plain(management).await;
        server
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: dns\r\nContent-Length: {}\r\n\r\n{told}",
                told.len()
            ))
            .await;
        socket.answer(server.response().await.status, "").await
    });
    std::fs::write(edge.path("token"), "letmein\n").unwrap();
    let dns = format!(
        "challenges: [dns_01]\n\
         dns: {{propagation: 0s, provider: {{webhook: {{url: 'http://{}/hook', token_file: token}}}}}}",
        service.address()
    );
    let mut edge = edge.process(&acme(&[&authority], &dns));
    edge.set_tenant("acme", &auto(&["*.acme.test"]));
    let edge = edge.start().await;
    served(&edge, &authority.root(&edge).await, "any.acme.test").await;
    assert_eq!(service.count(), 2);
}

/// A name server for `acme.test` that takes updates signed with `veloflux`.
struct NameServer {
    address: SocketAddr,
    child: Child,
}

impl NameServer {
    async fn start(edge: &Edge) -> Self {
        let [address] = free_addresses();
        let folder = edge.path("knot");
        std::fs::create_dir_all(&folder).unwrap();
        let zone = "acme.test. 60 SOA ns.acme.test. ops.acme.test. 1 60 60 60 60\n\
                    acme.test. 60 NS ns.acme.test.\nns.acme.test. 60 A 127.0.0.1\n";
        std::fs::write(folder.join("acme.test.zone"), zone).unwrap();
        let place = folder.display();
        let config = format!(
            "server:\n  listen: {}@{}\n  rundir: {place}\ndatabase:\n  storage: {place}\ncontrol:\n  listen: knot.sock\n\
             key:\n- id: veloflux\n  algorithm: hmac-sha256\n  secret: {TSIG_SECRET}\n\
             acl:\n- id: update\n  key: veloflux\n  action: update\n\
             zone:\n- domain: acme.test\n  storage: {place}\n  file: acme.test.zone\n  zonefile-sync: -1\n  \
             journal-content: none\n  zonefile-load: whole\n  acl: update\n",
            address.ip(),
            address.port()
        );
        std::fs::write(folder.join("knot.conf"), config).unwrap();
        let child = Command::new("/usr/sbin/knotd")
            .arg("-c")
            .arg(folder.join("knot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("knotd: {error}; scripts/setup installs it"));
        listening(address).await;
        Self { address, child }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rfc2136(server: &NameServer) -> String {
    format!(
        "challenges: [dns_01]\ndns: {{propagation: 0s, provider: {{rfc2136: {{server: '{}', zones: [acme.test], \
         key_name: veloflux, key_file: tsig}}}}}}",
        server.address
    )
}

#[tokio::test]
async fn a_name_server_takes_signed_updates_for_a_domain_and_its_wildcard_at_once() {
    let edge = Edge::new();
    let server = NameServer::start(&edge).await;
    let authority = Authority::start(&edge, Manner { dns: Some(server.address), ..Manner::default() }).await;
    std::fs::write(edge.path("tsig"), TSIG_SECRET).unwrap();
    let mut edge = edge.process(&acme(&[&authority], &rfc2136(&server)));
    edge.set_tenant("acme", &auto(&["acme.test", "*.acme.test"]));
    let edge = edge.start().await;
    let root = authority.root(&edge).await;
    served(&edge, &root, "acme.test").await;
    served(&edge, &root, "any.acme.test").await;
    assert_eq!(edge.count_said("was not taken away"), 0);
}

#[tokio::test]
async fn a_key_that_the_name_server_does_not_take_is_said_and_the_order_kept() {
    let edge = Edge::new();
    let server = NameServer::start(&edge).await;
    let authority = Authority::start(&edge, Manner { dns: Some(server.address), ..Manner::default() }).await;
    std::fs::write(edge.path("tsig"), "YW5vdGhlciBzZWNyZXQ=").unwrap();
    let mut edge = edge.process(&acme(&[&authority], &rfc2136(&server)));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    said(&edge, "no certificate was obtained", 1).await;
    let why = edge.said("no certificate was obtained").await["why"].as_str().unwrap().to_owned();
    assert!(why.contains("BADSIG"), "{why}");

    // With the right one the same order is gone on with.
    edge.signal(libc::SIGKILL);
    edge.ended().await;
    std::fs::write(edge.path("tsig"), TSIG_SECRET).unwrap();
    // It would wait a minute.
    let _ = std::fs::remove_file(edge.path("data/acme/status.json"));
    let edge = edge.start().await;
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!(authority.orders(), 1);
}
