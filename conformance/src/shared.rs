//! Where the data of other projects lies on this machine.

use std::path::{Path, PathBuf};

/// Debian's package `modsecurity-crs`.
const DEBIAN_CRS: &str = "/usr/share/modsecurity-crs";

/// The folder `shared`: `VELOFLUX_SHARED` where set, else beside the repository.
pub fn folder() -> PathBuf {
    match std::env::var_os("VELOFLUX_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    }
}

/// `path` under the shared `data` folder, or a sentence that says it is not there.
pub fn data(path: &str) -> Result<PathBuf, String> {
    let found = folder().join("data").join(path);
    if found.exists() { Ok(found) } else { Err(format!("data/{path} is not on this machine")) }
}

/// Debian's CRS 3.3, or a sentence that says it is not there.
pub fn debian_crs() -> Result<PathBuf, String> {
    let found = PathBuf::from(DEBIAN_CRS);
    if found.join("rules").is_dir() {
        Ok(found)
    } else {
        Err("Debian's modsecurity-crs is not installed".into())
    }
}
