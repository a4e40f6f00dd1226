//! Authorities that stumble, refuse or are not there, and a process that is killed in the middle of it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::{acme, auto, crashed, patiently, said, served};
use crate::harness::{Answer, Authority, Edge, Manner, NEW_ORDER};

/// A refusal as authorities write it.
fn problem(status: u16, kind: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let body = format!(
        "{{\"type\": \"urn:ietf:params:acme:error:{kind}\", \"detail\": \"as told\", \"status\": {status}}}"
    );
    Answer::Response(status, fields.collect(), body)
}

#[tokio::test]
async fn refused_nonces_slow_looks_and_reused_proofs_are_got_over() {
    let edge = Edge::new();
    let environment =
        &[("PEBBLE_WFE_NONCEREJECT", "50"), ("PEBBLE_VA_SLEEPTIME", "3"), ("PEBBLE_AUTHZREUSE", "100")];
    let authority = Authority::start(&edge, Manner { environment, ..Manner::default() }).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    let hosts = ["a.acme.test", "b.acme.test", "c.acme.test", "d.acme.test"];
    edge.set_tenant("acme", &auto(&hosts));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    for host in hosts {
        served(&edge, &root, host).await;
    }
    assert_eq!(authority.orders(), hosts.len());

    // The same domain of another tenant is another certificate; what the authority holds for proved is not proved again.
    edge.set_tenant("acme", &auto(&hosts[1..]));
    edge.set_tenant("other", &auto(&hosts[..1]));
    edge.reload().await;
    patiently("another order", async || (authority.orders() == hosts.len() + 1).then_some(())).await;
    said(&edge, "a certificate was issued", hosts.len() + 1).await;
    served(&edge, &root, hosts[0]).await;
}

/// Kills the edge once the authority is asked for a path that begins so, which it leaves without an answer until then.
async fn killed_at(path: &'static str) {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    authority.intervene(move |request| {
        request.target.starts_with(path).then(|| {
            counted.fetch_add(1, SeqCst);
            Answer::Reset
        })
    });
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    patiently(path, async || (asked.load(SeqCst) > 0).then_some(())).await;
    let mut edge = edge;
    edge.signal(libc::SIGKILL);
    edge.ended().await;
    authority.behave();
    let edge = edge.start().await;
    authority.let_in(&edge);
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!(authority.orders(), 1, "{path}");
    edge.metric_becomes("veloflux_acme_orders_total{result=\"resumed\"}", 1.0).await;
    edge.metric_becomes("veloflux_acme_orders_total{result=\"placed\"}", 0.0).await;
}

#[tokio::test]
async fn killed_before_the_challenge_it_goes_on_with_the_same_order() {
    killed_at("/chalZ/").await;
}

#[tokio::test]
async fn killed_before_the_order_is_finalised_it_goes_on_with_the_same_order() {
    killed_at("/finalize-order/").await;
}

#[tokio::test]
async fn killed_before_the_certificate_has_come_it_goes_on_with_the_same_order() {
    killed_at("/certZ/").await;
}

#[tokio::test]
async fn started_again_it_answers_at_once_what_the_authority_was_told() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    authority.intervene(|request| request.target.starts_with("/chalZ/").then_some(Answer::Reset));
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    said(&edge, "an authority for certificates does not work", 1).await;
    authority.intervene(|_| Some(Answer::Reset));
    let edge = crashed(edge).await;
    let mut folders = std::fs::read_dir(edge.path("data/acme")).unwrap().map(|entry| entry.unwrap().path());
    let order = folders.find(|path| path.is_dir()).unwrap().join("orders/acme/acme.test");
    let order: serde_json::Value = serde_json::from_slice(&std::fs::read(order).unwrap()).unwrap();
    let answer = &order["answers"][0]["http"];
    let target = format!("/.well-known/acme-challenge/{}", answer["token"].as_str().unwrap());
    // Though the edge cannot ask its authority for anything.
    assert_eq!(edge.get("acme.test", &target).await.text(), answer["body"]);
    assert_eq!(edge.get("other.test", &target).await.status, 404);
}

#[tokio::test]
async fn killed_again_and_again_it_goes_on_with_the_same_order() {
    let edge = Edge::new();
    let environment = &[("PEBBLE_VA_SLEEPTIME", "8")];
    let authority = Authority::start(&edge, Manner { environment, ..Manner::default() }).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    said(&edge, "a certificate was ordered", 1).await;
    for pause_ms in [0, 130, 260, 390] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        edge = crashed(edge).await;
        authority.let_in(&edge);
    }
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!(authority.orders(), 1);
}

#[tokio::test]
async fn the_next_directory_is_asked_while_the_first_is_not_there() {
    let edge = Edge::new();
    let first = Authority::start(&edge, Manner::default()).await;
    let second = Authority::start(&edge, Manner::default()).await;
    first.intervene(|_| Some(Answer::Reset));
    let mut edge = edge.process(&acme(&[&first, &second], ""));
    edge.set_tenant("acme", &auto(&["one.test", "two.test", "three.test"]));
    let edge = edge.start().await;
    second.let_in(&edge);
    let root = second.root(&edge).await;
    for host in ["one.test", "two.test", "three.test"] {
        served(&edge, &root, host).await;
    }
    assert_eq!((first.orders(), second.orders()), (0, 3));
    // Left alone meanwhile, not asked for each domain.
    assert!(first.requests("/").len() <= 3, "{}", first.requests("/").len());
    edge.said("an authority for certificates does not work").await;
}

#[tokio::test]
async fn an_authority_that_asks_for_patience_is_left_alone_and_another_asked() {
    let edge = Edge::new();
    let first = Authority::start(&edge, Manner::default()).await;
    let second = Authority::start(&edge, Manner::default()).await;
    first.intervene(|request| {
        (request.target == NEW_ORDER).then(|| problem(429, "rateLimited", &[("Retry-After", "7200")]))
    });
    let mut edge = edge.process(&acme(&[&first, &second], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    second.let_in(&edge);
    served(&edge, &second.root(&edge).await, "acme.test").await;
    let warned = edge.said("an authority's limit for certificates is reached").await;
    assert_eq!(warned["pause_s"], 7200);
    assert_eq!(first.requests(NEW_ORDER).len(), 1);
}

#[tokio::test]
async fn an_account_that_its_authority_has_forgotten_is_made_anew() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut told = false;
    authority.intervene(move |request| {
        let first = request.target == NEW_ORDER && !std::mem::replace(&mut told, true);
        first.then(|| problem(400, "accountDoesNotExist", &[]))
    });
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!((edge.count_said("an account was made"), authority.orders()), (2, 1));
}

#[tokio::test]
async fn with_nobody_there_it_waits_and_serves_what_it_has() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    served(&edge, &root, "acme.test").await;
    authority.intervene(|_| {
        Some(Answer::Response(503, vec![("Retry-After".to_owned(), "600".to_owned())], "no".to_owned()))
    });
    let asked = authority.requests("/").len();
    edge = crashed(edge).await;
    edge.set_tenant("acme", &auto(&["acme.test", "new.test"]));
    edge.reload().await;
    said(&edge, "no certificate was obtained", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(authority.requests("/").len() <= asked + 4, "it is asked again and again");
    served(&edge, &root, "acme.test").await;
    edge.metric_becomes("veloflux_acme_domains{state=\"missing\"}", 1.0).await;
}

#[tokio::test]
async fn a_process_that_crashes_in_a_loop_orders_no_more_than_one_that_runs() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], "limits: {orders_per_domain_and_hour: 2}"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    // Nobody lets the authority in: what is ordered is refused.
    let mut edge = edge.start().await;
    for round in 1..=2 {
        said(&edge, "no certificate was obtained", 1).await;
        assert_eq!(authority.orders(), round);
        let why = edge.said("no certificate was obtained").await["why"].as_str().unwrap().to_owned();
        assert!(why.contains("the domain was not certified"), "{why}");
        patiently("the pause is written down", async || {
            let status = std::fs::read_to_string(edge.path("data/acme/status.json")).ok()?;
            status.contains("\"failures\":1").then_some(())
        })
        .await;
        // The pause after the failure holds over restarts...
        edge = crashed(edge).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(authority.orders(), round);
        // ...and if that is lost, the count of orders does.
        std::fs::remove_file(edge.path("data/acme/status.json")).unwrap();
        edge.signal(libc::SIGKILL);
        edge.ended().await;
        let _ = std::fs::remove_file(edge.path("data/acme/status.json"));
        edge = edge.start().await;
    }
    said(&edge, "no certificate was obtained", 1).await;
    let why = edge.said("no certificate was obtained").await["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "`orders_per_domain_and_hour` is reached");
    assert_eq!(authority.orders(), 2);
    edge.metric_becomes("veloflux_acme_orders_total{result=\"limited\"}", 1.0).await;
}

#[tokio::test]
async fn a_domain_that_goes_and_comes_back_is_not_ordered_again() {
    let edge = Edge::new();
    let environment = &[("PEBBLE_VA_SLEEPTIME", "4")];
    let authority = Authority::start(&edge, Manner { environment, ..Manner::default() }).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    let go_and_come_back = async |edge: &mut Edge| {
        for hosts in [&["other.test"][..], &["acme.test"]] {
            edge.set_tenant("acme", &auto(hosts).replace("other.test', certificate: auto", "other.test'"));
            edge.reload().await;
            // The schedule looks once a second.
            tokio::time::sleep(Duration::from_millis(1_200)).await;
        }
    };
    // Once while it is being ordered, and once with its certificate there.
    said(&edge, "a certificate was ordered", 1).await;
    go_and_come_back(&mut edge).await;
    served(&edge, &root, "acme.test").await;
    go_and_come_back(&mut edge).await;
    served(&edge, &root, "acme.test").await;
    assert_eq!(authority.orders(), 1);
    assert_eq!(edge.count_said("a certificate was issued"), 1);
    edge.metric_becomes("veloflux_acme_orders_total{result=\"resumed\"}", 0.0).await;
    edge.metric_becomes("veloflux_acme_orders_total{result=\"placed\"}", 1.0).await;
}

#[tokio::test]
async fn an_authority_that_wants_one_name_proved_without_end_is_left_alone() {
    let edge = Edge::new();
    let (endless, good) =
        (Authority::start(&edge, Manner::default()).await, Authority::start(&edge, Manner::default()).await);
    endless.intervene(|request| {
        let host = request.header("host").unwrap_or_default().to_owned();
        (request.target == NEW_ORDER).then(|| {
            let urls: Vec<_> = (0..2_000).map(|n| format!("\"https://{host}/proof/{n}\"")).collect();
            let body = format!(
                "{{\"status\": \"pending\", \"identifiers\": [], \"finalize\": \"https://{host}/f\", \
                  \"authorizations\": [{}]}}",
                urls.join(", ")
            );
            let fields = [("Location", format!("https://{host}/order/1")), ("Replay-Nonce", "x".to_owned())];
            Answer::Response(201, fields.map(|(name, value)| (name.to_owned(), value)).to_vec(), body)
        })
    });
    let mut edge = edge.process(&acme(&[&endless, &good], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    good.let_in(&edge);
    said(&edge, "an authority for certificates does not work", 1).await;
    assert!(endless.requests("/proof/").is_empty());
}
