//! Rules and requests that others wrote, beside the repository.

use std::path::{Path, PathBuf};

use veloflux_waf::{MemFiles, Ruleset, crs};

/// A folder of test data made by others, or `None` and a line that says so.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    let found = std::env::var_os("VELOFLUX_SHARED").map_or(beside, PathBuf::from).join("data").join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is not there", found.display());
    None
}

/// Compiles the release of the OWASP CRS in the folder `release`.
pub(crate) fn compile(release: &Path) -> Ruleset {
    let mut files = MemFiles::new();
    for folder in ["", "rules", "plugins"] {
        for entry in std::fs::read_dir(release.join(folder)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let name = format!("crs/{folder}/{}", entry.file_name().to_string_lossy()).replace("//", "/");
                files = files.with(&name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let sources = crs::sources(&files, "crs").unwrap();
    Ruleset::compile(&sources, &files).unwrap_or_else(|errors| panic!("{errors}"))
}
