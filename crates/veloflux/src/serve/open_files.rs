//! The system's limit of open files. Every connection takes a descriptor, and what a process is usually allowed at
//! first (1,024) is far below what an edge serves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections: listeners, logs, timers.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, and says so if that is not enough for `max_connections` clients with a
/// backend's connection each.
pub(super) fn raise(max_connections: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let wanted = 2 * max_connections as u64 + OTHERS;
    // None: there is no limit.
    if let Some(limit) = maximum
        && limit < wanted
    {
        tracing::warn!(
            limit,
            wanted,
            "the system allows fewer open files than `limits.max_connections` may need"
        );
    }
}
