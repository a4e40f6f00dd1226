//! What is stored and cannot be used: said, counted, never taken for missing.

use std::path::PathBuf;
use std::time::Duration;

use super::{acme, auto, served};
use crate::harness::{Authority, Edge, Manner};

/// An edge with a certificate for `acme.test`, killed after that.
async fn stored() -> (Authority, Edge) {
    let edge = Edge::new();
    let authority = Authority::start(&edge, Manner::default()).await;
    let mut edge = edge.process(&acme(&[&authority], ""));
    edge.set_tenant("acme", &auto(&["acme.test"]));
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    edge.signal(libc::SIGKILL);
    edge.ended().await;
    (authority, edge)
}

/// The file of the certificate.
fn certificate(edge: &Edge) -> PathBuf {
    let mut folders = std::fs::read_dir(edge.path("data/acme")).unwrap().map(|entry| entry.unwrap().path());
    folders.find(|path| path.is_dir()).unwrap().join("certificates/acme/acme.test")
}

#[tokio::test]
async fn secrets_are_for_their_owner_and_encrypted() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_authority, edge) = stored().await;
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(edge.path("data/master.key")), 0o600);
    assert_eq!(mode(certificate(&edge)), 0o600);
    let text = std::fs::read_to_string(certificate(&edge)).unwrap();
    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE"), "{text}");
}

#[tokio::test]
async fn a_damaged_certificate_is_not_served_and_not_ordered_again() {
    let (authority, edge) = stored().await;
    let file = certificate(&edge);
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &good[..good.len() / 2]).unwrap();
    let edge = edge.start().await;
    authority.let_in(&edge);
    let said = edge.said("a stored certificate cannot be used").await;
    assert_eq!((said["level"].as_str(), said["why"].as_str()), (Some("ERROR"), Some("it is damaged")));
    edge.metric_becomes("veloflux_acme_unreadable_total", 1.0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(edge.handshake("acme.test", &[]).await.unwrap_err().to_string().contains("alert"));
    assert_eq!(authority.orders(), 1);

    // Once the file is brought back it is served, without another order.
    std::fs::write(&file, good).unwrap();
    let edge = super::crashed(edge).await;
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!(authority.orders(), 1);
}

#[tokio::test]
async fn under_another_or_no_master_key_nothing_is_served_ordered_or_overwritten() {
    let (authority, edge) = stored().await;
    let key = std::fs::read(edge.path("data/master.key")).unwrap();
    let file = certificate(&edge);
    let good = std::fs::read(&file).unwrap();

    std::fs::remove_file(edge.path("data/master.key")).unwrap();
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    edge.said("no certificates are ordered").await;
    edge.metric_becomes("veloflux_acme_suspended", 1.0).await;
    assert!(edge.handshake("acme.test", &[]).await.is_err());
    assert_eq!(edge.get("acme.test", "/").await.text(), "hello");
    assert!(!edge.path("data/master.key").exists());
    edge.signal(libc::SIGKILL);
    edge.ended().await;

    std::fs::write(edge.path("data/master.key"), "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=").unwrap();
    let mut edge = edge.start().await;
    authority.let_in(&edge);
    let said = edge.said("a stored certificate cannot be used").await;
    assert_eq!(said["why"], "it is encrypted under another master key");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((authority.orders(), std::fs::read(&file).unwrap()), (1, good));
    edge.signal(libc::SIGKILL);
    edge.ended().await;

    std::fs::write(edge.path("data/master.key"), key).unwrap();
    let edge = edge.start().await;
    served(&edge, &authority.root(&edge).await, "acme.test").await;
    assert_eq!(authority.orders(), 1);
}
