//! Active health checks.
//!
//! [`run`] keeps one small task per backend whose pool has a check. Policy:
//!
//! - Checks of one backend are `interval` apart, moved by up to [`JITTER_PERCENT`] at random; the first comes
//!   within [`LONGEST_START_SPREAD`], so that a restart does not hit all backends at once. At most
//!   [`MAX_CONCURRENT_CHECKS`] run at a time.
//! - `fall` failures in a row take a backend out, `rise` successes bring it back. A backend counts as up until
//!   checks say otherwise.
//! - State is kept by backend id: a new snapshot changes what is checked and how, not what is known. A backend
//!   that is gone is not checked any more; one whose pool has no check any more is up.
//! - HTTP checks speak what requests speak: HTTP/1.1 or HTTP/2 as the pool does, with the pool's TLS. TCP checks
//!   only connect. Names are resolved anew for each check.

mod http1;
mod http2;
mod probe;
mod streak;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use veloflux_snapshot::{Backend, HealthCheck, Pool, Snapshot};

use streak::Streak;

/// How often the current snapshot is looked at.
const SNAPSHOT_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How far the time between two checks varies, in percent either way.
const JITTER_PERCENT: u32 = 10;

/// The first check of a backend comes within this time (or one interval, if that is shorter).
const LONGEST_START_SPREAD: Duration = Duration::from_secs(5);

/// Checks under way at once in the process.
const MAX_CONCURRENT_CHECKS: usize = 256;

/// A backend went up or down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChange {
    /// The backend's id, `tenant/pool/address`.
    pub backend: Arc<str>,
    /// What it is now.
    pub healthy: bool,
    /// What the last failed check found; `None`: the check passed, or there is none any more.
    pub reason: Option<String>,
}

/// Checks the backends of the snapshot that `snapshots` gives, until `shutdown` is ready. Every change is logged
/// and passed to `on_change`.
pub async fn run(
    snapshots: impl Fn() -> Arc<Snapshot>,
    on_change: impl Fn(&HealthChange) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) {
    let mut checks = Checks {
        targets: HashMap::new(),
        tasks: JoinSet::new(),
        slots: Arc::new(Semaphore::new(MAX_CONCURRENT_CHECKS)),
        on_change: Arc::new(on_change),
    };
    let follow = async {
        let mut known: Option<Arc<Snapshot>> = None;
        loop {
            let snapshot = snapshots();
            if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &snapshot)) {
                checks.follow(&snapshot);
                known = Some(snapshot);
            }
            while checks.tasks.try_join_next().is_some() {}
            sleep(SNAPSHOT_POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = follow => {}
    }
    // Dropping the set of tasks ends them.
}

type OnChange = Arc<dyn Fn(&HealthChange) + Send + Sync>;

/// The running checks.
struct Checks {
    /// By backend id. Dropping a sender ends its task.
    targets: HashMap<Arc<str>, watch::Sender<Target>>,
    tasks: JoinSet<()>,
    slots: Arc<Semaphore>,
    on_change: OnChange,
}

impl Checks {
    /// Makes the running checks those of `snapshot`.
    fn follow(&mut self, snapshot: &Snapshot) {
        let mut wanted: HashMap<Arc<str>, Target> = HashMap::new();
        for pool in snapshot.pools() {
            for (index, backend) in pool.backends.iter().enumerate() {
                match &pool.health_check {
                    Some(check) => {
                        let target = Target { pool: pool.clone(), index, check: check.clone() };
                        wanted.insert(backend.id.clone(), target);
                    }
                    None => set_health(backend, true, None, &self.on_change),
                }
            }
        }
        self.targets.retain(|id, running| match wanted.remove(id) {
            Some(target) => {
                running.send_replace(target);
                true
            }
            None => false,
        });
        for (id, target) in wanted {
            let (sender, receiver) = watch::channel(target);
            self.tasks.spawn(check_repeatedly(receiver, self.slots.clone(), self.on_change.clone()));
            self.targets.insert(id, sender);
        }
    }
}

/// A backend to be checked, as the current snapshot has it.
#[derive(Debug, Clone)]
struct Target {
    pool: Arc<Pool>,
    index: usize,
    check: HealthCheck,
}

impl Target {
    fn backend(&self) -> &Backend {
        &self.pool.backends[self.index]
    }
}

async fn check_repeatedly(mut target: watch::Receiver<Target>, slots: Arc<Semaphore>, on_change: OnChange) {
    let mut streak = Streak::default();
    let spread = target.borrow().check.interval.min(LONGEST_START_SPREAD);
    let mut due = Instant::now() + spread.mul_f64(fastrand::f64());
    loop {
        tokio::select! {
            changed = target.changed() => {
                if changed.is_err() {
                    return;
                }
                // A shorter interval counts at once; a reload never puts a check off.
                due = due.min(Instant::now() + target.borrow_and_update().check.interval);
                continue;
            }
            () = sleep_until(due) => {}
        }
        let Ok(slot) = slots.acquire().await else { return };
        let current = target.borrow().clone();
        let result = probe::probe(&current.pool, current.backend(), &current.check).await;
        drop(slot);

        let backend = current.backend();
        let healthy = backend.state.healthy.load(Relaxed);
        if let Some(healthy) = streak.observe(result.is_ok(), healthy, &current.check) {
            let reason = result.err().map(|error| error.to_string());
            set_health(backend, healthy, reason, &on_change);
        }
        due = Instant::now() + jittered(current.check.interval);
    }
}

fn jittered(interval: Duration) -> Duration {
    let share = f64::from(JITTER_PERCENT) / 100.0;
    interval.mul_f64(1.0 - share + 2.0 * share * fastrand::f64())
}

fn set_health(backend: &Backend, healthy: bool, reason: Option<String>, on_change: &OnChange) {
    if backend.state.healthy.swap(healthy, Relaxed) == healthy {
        return;
    }
    let change = HealthChange { backend: backend.id.clone(), healthy, reason };
    if healthy {
        tracing::info!(backend = &*change.backend, "backend is up");
    } else {
        tracing::warn!(backend = &*change.backend, reason = change.reason, "backend is down");
    }
    on_change(&change);
}

#[cfg(test)]
mod tests;
