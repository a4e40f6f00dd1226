//! How many orders were placed in the last hour, on disk before each is sent: a process that crashes and starts in a loop
//! orders no more than one that runs.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{SECRET, read_bounded, replace};

/// What the limits count over, in seconds.
const WINDOW_S: u64 = 3_600;

/// Longest file, in bytes: the most orders in an hour with the longest names.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The file's name.
const FILE: &str = "orders.json";

/// Orders of the last hour.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    placed: Vec<Placed>,
    per_domain: usize,
    in_all: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Placed {
    host: String,
    unix_s: u64,
}

/// Why an order may not be placed.
#[derive(Debug)]
pub(super) enum Refused {
    /// A limit is reached; from this time on, in seconds since 1970, there is room again.
    Limit {
        /// Whether it is the domain's limit, not the installation's.
        own: bool,
        until_unix_s: u64,
    },
    /// The order could not be written down.
    File(io::Error),
}

impl Ledger {
    /// The orders written down in `folder`. A file that cannot be read is an error: without it nothing may be ordered.
    pub(super) fn open(folder: &Path, per_domain: usize, in_all: usize) -> io::Result<Self> {
        let file = folder.join(FILE);
        let placed = match read_bounded(&file, MAX_FILE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            content => serde_json::from_slice(&content?)?,
        };
        Ok(Self { file, placed, per_domain, in_all })
    }

    /// Writes down that an order for `host` is about to be sent; only then it may be.
    pub(super) fn place(&mut self, host: &str, now_unix_s: u64) -> Result<(), Refused> {
        // Where the clock was set back, orders of a time to come were placed by now at the latest: they count for an hour
        // from here, not until their time.
        self.placed.iter_mut().for_each(|placed| placed.unix_s = placed.unix_s.min(now_unix_s));
        self.placed.retain(|placed| placed.unix_s + WINDOW_S > now_unix_s);
        let own: Vec<u64> = self.placed.iter().filter(|p| p.host == host).map(|p| p.unix_s).collect();
        let all: Vec<u64> = self.placed.iter().map(|placed| placed.unix_s).collect();
        for (times, limit, own) in [(own, self.per_domain, true), (all, self.in_all, false)] {
            if let Some(until_unix_s) = room(times, limit) {
                return Err(Refused::Limit { own, until_unix_s });
            }
        }
        let mut placed = self.placed.clone();
        placed.push(Placed { host: host.to_owned(), unix_s: now_unix_s });
        let content = serde_json::to_vec(&placed).map_err(|error| Refused::File(error.into()))?;
        replace(&self.file, &content, SECRET).map_err(Refused::File)?;
        self.placed = placed;
        Ok(())
    }
}

/// When there is room for one more, if there is none now.
fn room(mut times: Vec<u64>, limit: usize) -> Option<u64> {
    times.sort_unstable();
    let leaves = times.len().checked_sub(limit)?;
    times.get(leaves).map(|oldest| oldest + WINDOW_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_over_restarts_and_end_with_the_hour() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ledger::open(folder.path(), 2, 3).unwrap();
        let until = |refused: Result<(), Refused>| match refused {
            Err(Refused::Limit { own, until_unix_s }) => (own, until_unix_s),
            other => panic!("{other:?}"),
        };
        open().place("a", 1_000).unwrap();
        open().place("a", 1_100).unwrap();
        assert_eq!(until(open().place("a", 1_200)), (true, 4_600));
        open().place("b", 1_200).unwrap();
        assert_eq!(until(open().place("c", 1_300)), (false, 4_600));
        assert_eq!(until(open().place("c", 4_599)), (false, 4_600));
        open().place("a", 4_600).unwrap();
        assert_eq!(until(open().place("a", 4_650)), (true, 4_700));
    }

    #[test]
    fn a_clock_that_is_set_back_costs_an_hour_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ledger::open(folder.path(), 1, 9).unwrap();
        open().place("a", 1_000_000).unwrap();
        let mut ledger = open();
        assert!(matches!(ledger.place("a", 5_000), Err(Refused::Limit { until_unix_s: 8_600, .. })));
        assert!(ledger.place("a", 8_599).is_err());
        ledger.place("a", 8_600).unwrap();
    }

    #[test]
    fn a_ledger_that_cannot_be_read_or_written_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&folder.path().join("missing"), 2, 3).unwrap();
        assert!(matches!(ledger.place("a", 1), Err(Refused::File(_))));
        std::fs::write(folder.path().join(FILE), "[{").unwrap();
        assert!(Ledger::open(folder.path(), 2, 3).is_err());
    }
}
