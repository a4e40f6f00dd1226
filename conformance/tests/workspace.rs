//! Keeps the crate-import table of `docs/ARCHITECTURE.md` true: which crate may use which of ours, and which kinds
//! of library must stay out of a crate however they would come in.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate and the crates of ours that it may use. A crate under `crates/` without a row fails the test.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("veloflux-model", &[]),
    ("veloflux-waf", &[]),
    ("veloflux-snapshot", &["veloflux-model", "veloflux-waf"]),
    ("veloflux-proxy", &["veloflux-model", "veloflux-waf", "veloflux-snapshot"]),
    ("veloflux-store", &["veloflux-model"]),
    // Not the proxy: what decides beside the data plane reaches it through published snapshots and
    // `snapshot::managed` only, and cannot hold it up.
    ("veloflux-control", &["veloflux-model", "veloflux-snapshot", "veloflux-store"]),
    (
        "veloflux",
        &[
            "veloflux-model",
            "veloflux-waf",
            "veloflux-snapshot",
            "veloflux-proxy",
            "veloflux-store",
            "veloflux-control",
        ],
    ),
];

/// Async runtimes and HTTP servers: out of reach for what must be plain functions over bytes and values.
const ASYNC_OR_HTTP: &[&str] =
    &["tokio", "async-std", "smol", "hyper", "h2", "http", "axum", "tower", "tokio-rustls", "reqwest"];
/// Databases: out of reach for the data plane, which must serve with the database down.
const DATABASE: &[&str] =
    &["rusqlite", "libsqlite3-sys", "sqlx", "postgres", "tokio-postgres", "diesel", "redis"];

/// Crate and the libraries that may not be among its dependencies at any depth.
const MAY_NOT_REACH: &[(&str, &[&str])] = &[
    ("veloflux-model", ASYNC_OR_HTTP),
    ("veloflux-waf", ASYNC_OR_HTTP),
    ("veloflux-snapshot", ASYNC_OR_HTTP),
    ("veloflux-model", DATABASE),
    ("veloflux-waf", DATABASE),
    ("veloflux-snapshot", DATABASE),
    ("veloflux-proxy", DATABASE),
];

#[test]
fn crates_import_only_what_the_table_allows() {
    for name in crates() {
        let row = MAY_IMPORT.iter().find(|(row, _)| *row == name);
        let (_, allowed) =
            row.unwrap_or_else(|| panic!("{name} has no row in MAY_IMPORT: decide what it may use"));
        for used in dependencies(&name, Depth::Direct).iter().filter(|used| used.starts_with("veloflux")) {
            assert!(allowed.contains(&used.as_str()), "{name} may not use {used}");
        }
    }
}

#[test]
fn forbidden_libraries_are_out_of_reach() {
    let present = crates();
    for (name, forbidden) in MAY_NOT_REACH.iter().filter(|(name, _)| present.contains(*name)) {
        let reached = dependencies(name, Depth::Any);
        let wrong: Vec<_> = forbidden.iter().filter(|library| reached.contains(**library)).collect();
        assert!(
            wrong.is_empty(),
            "{name} reaches {wrong:?}; `cargo tree -p {name} -e normal -i NAME` shows how"
        );
    }
}

#[test]
fn the_dependency_listing_is_read_right() {
    let direct = dependencies("veloflux-snapshot", Depth::Direct);
    assert!(direct.contains("veloflux-model") && !direct.contains("veloflux-snapshot"), "{direct:?}");
    assert!(dependencies("veloflux", Depth::Any).contains("tokio"));
}

#[derive(Clone, Copy)]
enum Depth {
    Direct,
    Any,
}

/// Names of what `name` depends on in a normal build (not for its tests or build script).
fn dependencies(name: &str, depth: Depth) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root())
        .args(["tree", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}", "-p", name]);
    if matches!(depth, Depth::Direct) {
        cargo.args(["--depth", "1"]);
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|found| *found != name)
        .map(str::to_owned)
        .collect()
}

/// Package names of everything under `crates/`.
fn crates() -> BTreeSet<String> {
    let folders = std::fs::read_dir(root().join("crates")).expect("crates/ is there");
    folders
        .map(|entry| entry.expect("crates/ can be listed").path().join("Cargo.toml"))
        .filter(|manifest| manifest.exists())
        .map(|manifest| package_name(&manifest))
        .collect()
}

fn package_name(manifest: &Path) -> String {
    let text = std::fs::read_to_string(manifest).expect("a manifest can be read");
    let line = text.lines().find(|line| line.starts_with("name = ")).expect("a package has a name");
    line.split('"').nth(1).expect("the name is quoted").to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("conformance/ has a parent").to_owned()
}
