//! Certificates are renewed in time: in their authority's, or their own.

use super::{acme, auto, patiently, served};
use crate::harness::{Authority, Edge, Manner, NEW_ORDER, payload};

#[tokio::test]
async fn a_certificate_is_renewed_after_its_share_of_life() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner { validity_s: 20, ..Manner::default() }).await;
    let mut edge = edge.process(&acme(&[&authority], "renew_after: 30"));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    let first = served(&edge, &root, "acme.test").await;
    patiently("another certificate", async || {
        (served(&edge, &root, "acme.test").await != first).then_some(())
    })
    .await;
    assert!(authority.orders() >= 2);
}

#[tokio::test]
async fn a_certificate_is_renewed_when_its_authority_says_so() {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    authority.renew_between(-7200, -3600);
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let edge = edge.start().await;
    authority.let_in(&edge);
    let root = authority.root(&edge).await;
    patiently("another order", async || (authority.orders() == 2).then_some(())).await;
    authority.renew_between(3600, 7200);
    let orders = authority.requests(NEW_ORDER);
    assert!(payload(&orders[0]).get("replaces").is_none());
    // Not the second request: the authority refuses a nonce now and then, and is asked the same again.
    assert!(payload(orders.last().unwrap())["replaces"].as_str().unwrap().contains('.'));
    edge.metric_becomes("veloflux_acme_orders_total{result=\"issued\"}", 2.0).await;
    served(&edge, &root, "acme.test").await;
}
