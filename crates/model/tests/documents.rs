//! Whole documents from files: what is accepted prints and reads back the same, what is refused says why in words
//! that are checked in beside it. `UPDATE_GOLDEN=1` writes the expected texts anew.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use veloflux_model::{Desired, Document, Process, Report};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let differs = actual.lines().zip(expected.lines()).find(|(actual, expected)| actual != expected);
    assert!(
        actual == expected,
        "{} is not up to date, UPDATE_GOLDEN=1 writes it anew: {differs:?}",
        path.display()
    );
}

fn parse<D: Document>(path: &Path) -> Result<D, Report> {
    let name = path.file_name().unwrap().to_str().unwrap();
    D::parse(name, &fs::read_to_string(path).unwrap())
}

fn is_process(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with("process-")
}

fn reads_back<D: Document + PartialEq + std::fmt::Debug>(path: &Path) {
    let document: D = parse(path).unwrap_or_else(|report| panic!("{report}"));
    let printed = document.print().unwrap();
    assert_eq!(
        D::parse("printed", &printed).unwrap_or_else(|report| panic!("{report}\n{printed}")),
        document
    );
}

#[test]
fn good_documents_read_back_as_they_were() {
    for path in files("good") {
        if is_process(&path) { reads_back::<Process>(&path) } else { reads_back::<Desired>(&path) }
    }
}

#[test]
fn bad_documents_say_where_and_what_would_be_right() {
    for path in files("bad") {
        let report =
            if is_process(&path) { parse::<Process>(&path).err() } else { parse::<Desired>(&path).err() };
        let report = report.unwrap_or_else(|| panic!("{} is accepted", path.display()));
        golden(&path.with_extension("expected"), &format!("{report}\n"));
    }
}

#[test]
fn schemas_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    golden(&folder.join("process.schema.json"), &veloflux_model::schema::<Process>());
    golden(&folder.join("state.schema.json"), &veloflux_model::schema::<Desired>());
}
