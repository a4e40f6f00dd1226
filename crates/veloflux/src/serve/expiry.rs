//! Says what will soon end, or has ended: certificates, their OCSP responses, and revocation lists of clients.
//!
//! Each is said when it is first seen to be so, and again every [`REPEAT`]. Metrics show the same as numbers.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use veloflux_snapshot::{Reader, Snapshot};

/// How long before its end a certificate is warned of.
const CERTIFICATE_NOTICE: Duration = Duration::from_hours(14 * 24);

/// How long before its end an OCSP response or a revocation list is warned of; both live for days.
const LIST_NOTICE: Duration = Duration::from_hours(24);

/// How long before its end a certificate that renews itself is warned of: by then several renewals have failed.
const ORDERED_NOTICE: Duration = Duration::from_hours(24);

/// How often it is seen whether there is a new state.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the same state is looked through again.
const LOOK_INTERVAL: Duration = Duration::from_mins(10);

/// How long nothing is said again of the same thing.
const REPEAT: Duration = Duration::from_hours(24);

/// Looks until it is dropped.
pub(super) async fn watch(snapshots: &Reader) {
    let mut said = Said::default();
    loop {
        let snapshot = snapshots.current();
        said.look(&snapshot, SystemTime::now());
        let looked = Instant::now();
        while looked.elapsed() < LOOK_INTERVAL && snapshots.current().revision == snapshot.revision {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ending {
    what: &'static str,
    tenant: String,
    name: String,
    end_unix_s: i64,
}

/// What has been said, and when.
#[derive(Debug, Default)]
struct Said(HashMap<Ending, SystemTime>);

impl Said {
    fn look(&mut self, snapshot: &Snapshot, now: SystemTime) {
        let due = endings(snapshot, now);
        self.0.retain(|ending, _| due.contains(ending));
        for ending in due {
            let again = |then: &SystemTime| now.duration_since(*then).is_ok_and(|since| since >= REPEAT);
            if self.0.get(&ending).is_none_or(again) {
                tell(&ending, now);
                self.0.insert(ending, now);
            }
        }
    }
}

/// What has ended at `now`, or will within its notice.
fn endings(snapshot: &Snapshot, now: SystemTime) -> Vec<Ending> {
    let now = unix_s(now);
    let mut due = Vec::new();
    let mut look = |what, tenant: &str, name: &str, end_unix_s: i64, notice: Duration| {
        if end_unix_s - now < notice.as_secs().cast_signed() {
            due.push(Ending { what, tenant: tenant.to_owned(), name: name.to_owned(), end_unix_s });
        }
    };
    for (tenant, certificate) in snapshot.certificates() {
        let (what, notice) = if certificate.is_ordered {
            (ORDERED, ORDERED_NOTICE)
        } else {
            ("certificate", CERTIFICATE_NOTICE)
        };
        look(what, tenant, &certificate.name, certificate.not_after_unix_s, notice);
        if let Some(end) = certificate.ocsp_next_update_unix_s {
            look("OCSP response of certificate", tenant, &certificate.name, end, LIST_NOTICE);
        }
    }
    for tenant in &snapshot.tenants {
        for list in &tenant.revocation_lists {
            if let Some(end) = list.next_update_unix_s {
                look("revocation list", &tenant.id, &list.file, end, LIST_NOTICE);
            }
        }
    }
    due
}

/// A certificate that was to renew itself.
const ORDERED: &str = "ordered certificate";

fn tell(ending: &Ending, now: SystemTime) {
    let Ending { what, tenant, name, end_unix_s } = ending;
    let hours_left = (end_unix_s - unix_s(now)).div_euclid(3600);
    if *what == ORDERED {
        tracing::warn!(what, tenant, name, end_unix_s, hours_left, "it was not renewed in time");
    } else if hours_left < 0 {
        tracing::warn!(what, tenant, name, end_unix_s, "it has ended: replace its file");
    } else {
        tracing::warn!(
            what,
            tenant,
            name,
            end_unix_s,
            hours_left,
            "it ends soon: renew it and replace its file"
        );
    }
}

fn unix_s(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}
