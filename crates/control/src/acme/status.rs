//! What became of each domain's attempts, in `status.json`: pauses go on after a restart, and whoever asks can read it.
//!
//! It is a convenience and no record: lost or damaged, domains are merely attended to at once, as far as the
//! [ledger](super::ledger) allows.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{SECRET, read_bounded, replace};

/// The file's name.
const FILE: &str = "status.json";

/// Longest file, in bytes: 100,000 domains with long errors.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where a managed domain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// Whose it is.
    pub tenant: String,
    /// The domain.
    pub host: String,
    /// When its certificate is to be renewed, in seconds since 1970; `None`: there is none yet.
    pub renew_unix_s: Option<u64>,
    /// When it is attended to next, in seconds since 1970.
    pub next_unix_s: u64,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

/// Writes down where all domains stand.
pub(super) fn save(folder: &Path, rows: &[DomainStatus]) -> io::Result<()> {
    replace(&folder.join(FILE), &serde_json::to_vec(rows)?, SECRET)
}

/// What was written down last; nothing where nothing was.
pub(super) fn load(folder: &Path) -> io::Result<Vec<DomainStatus>> {
    match read_bounded(&folder.join(FILE), MAX_FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        content => Ok(serde_json::from_slice(&content?)?),
    }
}
