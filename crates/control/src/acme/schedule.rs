//! Which domain is attended to when.
//!
//! The domains are those of the snapshot in force, and only those that are proved to be their tenant's; nothing that a
//! client sends adds one. Each has one moment at which it is attended to next. Failures put that moment off, the longer
//! the more there were in a row; what an authority or a limit asks for is kept to.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use instant_acme::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use veloflux_snapshot::Reader;
use veloflux_snapshot::managed::{IssuedCertificate, ManagedDomain};

use super::authority::{SHARED, doubled, with_jitter};
use super::failure::{Failure, unix_s};
use super::order::{Obtained, Orders, Wanted};
use super::renewal::{Life, UNANSWERED_PAUSE_S, question_pause_s};
use super::status::{self, DomainStatus};
use super::store::{StoredCertificate, Unreadable};
use veloflux_model::process::Accounts;

/// From one look at what is due to the next, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// First pause after a domain's failure, in seconds; doubles with each in a row.
const FIRST_PAUSE_S: u64 = 60;

/// Longest such pause, in seconds.
const LONGEST_PAUSE_S: u64 = 86_400;

/// First pause before an order that was not decided is looked at again, in seconds.
const UNFINISHED_PAUSE_S: u64 = 30;

/// Least pause after any failure, in seconds.
const LEAST_PAUSE_S: u64 = 2;

/// Pause before a stored file that cannot be read is looked at again, in seconds.
const BLOCKED_PAUSE_S: u64 = 60;

/// Whether a domain is proved to be its tenant's; for others nothing is ordered.
pub type Proved = Box<dyn Fn(&ManagedDomain) -> bool + Send>;

/// Tenant and host.
type Key = (Arc<str>, Arc<str>);

/// Attends to every domain in its time.
pub(super) struct Schedule {
    pub(super) orders: Orders,
    pub(super) folder: PathBuf,
    pub(super) reader: Reader,
    pub(super) issued: Arc<Notify>,
    pub(super) proved: Proved,
    pub(super) stored: Vec<(StoredCertificate, IssuedCertificate)>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// One domain.
struct Entry {
    /// What it has; `None`: nothing yet.
    held: Option<Held>,
    /// A stored certificate that cannot be read. It keeps the domain from being ordered again.
    blocked: Option<PathBuf>,
    next_unix_s: u64,
    failures: u32,
    last_error: Option<String>,
}

impl Entry {
    fn status(&self, (tenant, host): &Key) -> DomainStatus {
        DomainStatus {
            tenant: tenant.to_string(),
            host: host.to_string(),
            renew_unix_s: self.held.as_ref().map(|held| held.renew_unix_s),
            next_unix_s: self.next_unix_s,
            failures: self.failures,
            last_error: self.last_error.clone(),
        }
    }
}

/// A certificate in use.
#[derive(Clone)]
struct Held {
    directory: String,
    life: Life,
    renew_unix_s: u64,
}

/// A domain that is being attended to, however that ends.
struct Attending {
    state: Rc<State>,
    key: Key,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Attending {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(mut entries) = self.state.entries.try_borrow_mut()
            && let Some(entry) = entries.get_mut(&self.key)
        {
            entry.next_unix_s = now() + FIRST_PAUSE_S;
            entry.last_error = Some("the attempt panicked".to_owned());
        }
        self.state.busy.borrow_mut().remove(&self.key);
        self.state.done.notify_one();
    }
}

struct State {
    orders: Orders,
    folder: PathBuf,
    reader: Reader,
    issued: Arc<Notify>,
    proved: Proved,
    entries: RefCell<HashMap<Key, Entry>>,
    /// The domains that are being attended to, those among them that are nobody's any more.
    busy: RefCell<HashSet<Key>>,
    /// What entries begin with: what an earlier process left, and what became of domains since that come back.
    found: RefCell<Found>,
    /// The revision that `entries` follow.
    revision: Cell<u64>,
    /// Told whenever a domain has been attended to.
    done: Notify,
    /// Whether `entries` differ from the status on disk.
    changed: Cell<bool>,
    /// When that was written last.
    written: Cell<Option<Instant>>,
}

#[derive(Default)]
struct Found {
    held: HashMap<(String, String), Held>,
    blocked: HashMap<(String, String), PathBuf>,
    statuses: HashMap<(String, String), DomainStatus>,
}

impl Schedule {
    /// Goes on for as long as the process runs; on a `LocalSet`.
    pub(super) async fn run(self) {
        let Self { orders, folder, reader, issued, proved, stored, unreadable } = self;
        let percent = orders.settings.renew_after_percent;
        let held = stored.into_iter().filter_map(|(stored, issued)| {
            let held = held(&stored, &issued, percent)?;
            Some(((stored.tenant, stored.host), held))
        });
        let blocked = unreadable.into_iter().filter_map(|file| Some((file.domain()?, file.path)));
        let found = Found { held: held.collect(), blocked: blocked.collect(), statuses: statuses(&folder) };
        let permits = Arc::new(Semaphore::new(orders.settings.orders_at_once));
        let state = Rc::new(State {
            orders,
            folder,
            reader,
            issued,
            proved,
            entries: RefCell::default(),
            busy: RefCell::default(),
            found: RefCell::new(found),
            revision: Cell::new(0),
            done: Notify::new(),
            changed: Cell::new(false),
            written: Cell::new(None),
        });
        loop {
            state.follow();
            for key in state.due() {
                let Ok(permit) = permits.clone().try_acquire_owned() else { break };
                state.busy.borrow_mut().insert(key.clone());
                let attending = Attending { state: state.clone(), key, _permit: permit };
                tokio::task::spawn_local(async move { attending.state.attend(&attending.key).await });
            }
            state.write_status();
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = state.done.notified() => {}
            }
        }
    }
}

impl State {
    /// Brings the domains in line with the snapshot in force.
    fn follow(&self) {
        let snapshot = self.reader.current();
        if self.revision.replace(snapshot.revision) == snapshot.revision {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        let mut before = std::mem::take(&mut *entries);
        for domain in snapshot.managed.iter().filter(|domain| (self.proved)(domain)) {
            let key = (domain.tenant.clone(), domain.host.clone());
            let entry = before.remove(&key).unwrap_or_else(|| self.enter(domain));
            entries.insert(key, entry);
        }
        // Whoever takes a domain out and back in is neither forgiven its failures nor ordered another certificate.
        let now = now();
        let statuses = &mut self.found.borrow_mut().statuses;
        statuses.retain(|_, status| status.next_unix_s > now);
        let gone = before.iter().filter(|(_, entry)| entry.failures > 0 && entry.next_unix_s > now);
        statuses.extend(gone.map(|(key, entry)| (owned(key), entry.status(key))));
        self.changed.set(true);
    }

    /// A domain that was not there before.
    fn enter(&self, domain: &ManagedDomain) -> Entry {
        let key = owned(&(domain.tenant.clone(), domain.host.clone()));
        let mut found = self.found.borrow_mut();
        let status = found.statuses.remove(&key);
        let entry = Entry {
            held: found.held.get(&key).cloned(),
            blocked: found.blocked.get(&key).cloned(),
            // A certificate that is there is looked after at once: its authority may want it renewed.
            next_unix_s: status.as_ref().filter(|status| status.failures > 0).map_or(0, |s| s.next_unix_s),
            failures: status.as_ref().map_or(0, |status| status.failures),
            last_error: status.and_then(|status| status.last_error),
        };
        if entry.held.is_none() {
            tracing::warn!(
                tenant = &*domain.tenant,
                domain = &*domain.host,
                "the domain has no certificate yet; TLS clients are refused until there is one"
            );
        }
        entry
    }

    /// The domains whose moment has come, in its order.
    fn due(&self) -> Vec<Key> {
        let now = now();
        let entries = self.entries.borrow();
        let busy = self.busy.borrow();
        let due = entries.iter().filter(|(key, entry)| !busy.contains(*key) && entry.next_unix_s <= now);
        let mut due: Vec<(u64, Key)> = due.map(|(key, entry)| (entry.next_unix_s, key.clone())).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// Changes a domain that is still there.
    fn change(&self, key: &Key, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key) {
            change(entry);
            self.changed.set(true);
        }
    }

    async fn attend(&self, key: &Key) {
        let Some((blocked, held, failures, first)) = self.entries.borrow().get(key).map(|entry| {
            (entry.blocked.clone(), entry.held.clone(), entry.failures, entry.last_error.is_none())
        }) else {
            return;
        };
        if let Some(path) = blocked
            && !self.unblock(key, &path)
        {
            return;
        }
        match held {
            Some(held) if now() < held.renew_unix_s => self.ask_when(key, held).await,
            held => {
                // Once, so that an authority that stumbles over it is not sent order after order.
                let replaces = held.filter(|_| first);
                let replaces = replaces.and_then(|held| Some((held.directory, held.life.identifier?)));
                let (tenant, host) = key.clone();
                let wanted = Wanted { tenant, host, failures, replaces };
                match self.orders.obtain(&wanted).await {
                    Ok(obtained) => self.obtained(key, &obtained),
                    Err(failure) => self.failed(key, &failure),
                }
            }
        }
    }

    /// Looks whether a stored certificate that could not be read is gone or can be by now.
    fn unblock(&self, key: &Key, path: &Path) -> bool {
        match self.orders.store.certificate_at(path) {
            Ok(None) => {
                self.change(key, |entry| entry.blocked = None);
                true
            }
            Ok(Some((stored, issued))) => {
                self.change(key, |entry| entry.blocked = None);
                self.obtained(key, &Obtained { stored, issued });
                false
            }
            Err(unreadable) => {
                self.change(key, |entry| {
                    entry.next_unix_s = now() + BLOCKED_PAUSE_S;
                    entry.last_error = Some(format!("{unreadable}; bring it back, or remove the file"));
                });
                false
            }
        }
    }

    /// Puts a certificate that is on disk into use.
    fn obtained(&self, key: &Key, Obtained { stored, issued }: &Obtained) {
        let held = held(stored, issued, self.orders.settings.renew_after_percent);
        let renew_unix_s = held.as_ref().map(|held| held.renew_unix_s);
        let mut found = self.found.borrow_mut();
        found.blocked.remove(&owned(key));
        if let Some(held) = &held {
            found.held.insert(owned(key), held.clone());
        }
        drop(found);
        self.change(key, |entry| {
            // The authority may say when.
            *entry = Entry { held, blocked: None, next_unix_s: now(), failures: 0, last_error: None };
        });
        self.orders.managed.issue(issued);
        self.orders.managed.counters.orders_issued.fetch_add(1, Relaxed);
        self.issued.notify_one();
        tracing::info!(
            tenant = stored.tenant,
            domain = stored.host,
            directory = stored.directory,
            not_after_unix_s = issued.certificate.not_after_unix_s,
            renew_unix_s,
            "a certificate was issued"
        );
    }

    fn failed(&self, key: &Key, failure: &Failure) {
        let now = now();
        let counters = &self.orders.managed.counters;
        let limited = matches!(failure, Failure::Limit { .. });
        let counter = if limited { &counters.orders_limited } else { &counters.orders_failed };
        counter.fetch_add(1, Relaxed);
        let mut next_unix_s = now;
        self.change(key, |entry| {
            let longest_s =
                entry.held.as_ref().map_or(LONGEST_PAUSE_S, |held| held.life.longest_pause_s(now));
            let mut pause_s = |first_s: u64| {
                entry.failures = entry.failures.saturating_add(1);
                let longest_s = longest_s.clamp(first_s, LONGEST_PAUSE_S);
                with_jitter(doubled(first_s, entry.failures, longest_s))
            };
            let at = match failure {
                Failure::Limit { until_unix_s, .. } => until_unix_s + fastrand::u64(0..LEAST_PAUSE_S),
                Failure::Authority { until_unix_s, .. } | Failure::RateLimited { until_unix_s, .. } => {
                    let open = self.orders.open_unix_s(&key.1);
                    until_unix_s.or(open).unwrap_or(now)
                }
                Failure::AccountGone(_) => now,
                Failure::Unfinished(_) => now + pause_s(UNFINISHED_PAUSE_S),
                Failure::Domain(_) | Failure::Local(_) => now + pause_s(FIRST_PAUSE_S),
            };
            entry.next_unix_s = at.clamp(now + LEAST_PAUSE_S, now + LONGEST_PAUSE_S);
            entry.last_error = Some(failure.to_string());
            next_unix_s = entry.next_unix_s;
        });
        tracing::error!(
            tenant = &*key.0, domain = &*key.1, why = %failure, pause_s = next_unix_s - now,
            "no certificate was obtained"
        );
    }

    /// Asks the authority when it wants the certificate renewed (RFC 9773).
    async fn ask_when(&self, key: &Key, mut held: Held) {
        let latest = held.renew_unix_s;
        let next_unix_s = match self.renewal_info(key, &held).await {
            Ok(Some((renew_unix_s, pause_s))) => {
                held.renew_unix_s = renew_unix_s;
                renew_unix_s.min(now() + question_pause_s(pause_s))
            }
            Ok(None) => latest,
            Err(failure) => {
                let (tenant, domain) = (&*key.0, &*key.1);
                tracing::debug!(tenant, domain, why = %failure, "the authority does not say when to renew");
                latest.min(now() + with_jitter(UNANSWERED_PAUSE_S))
            }
        };
        self.change(key, |entry| {
            entry.next_unix_s = next_unix_s;
            entry.held = Some(held);
        });
    }

    /// When to renew, and how long not to ask again, in seconds. `None`: the authority never says.
    async fn renewal_info(&self, key: &Key, held: &Held) -> Result<Option<(u64, u64)>, Failure> {
        let authorities = &self.orders.authorities;
        let authority = authorities.iter().find(|a| a.directory.url.as_str() == held.directory);
        let (Some(authority), Some(identifier)) = (authority, &held.life.identifier) else { return Ok(None) };
        if authority.open_unix_s(&key.1) > now() {
            return Err(Failure::Local("it is left alone after its failures".to_owned()));
        }
        let owner = match self.orders.settings.accounts {
            Accounts::Shared => SHARED,
            Accounts::PerTenant => &key.0,
        };
        let account = authority.account(&self.orders.store, owner, &self.orders.settings.contact).await?;
        match account.renewal_info(identifier).await {
            Ok((info, pause)) => {
                if let Some(explanation) = &info.explanation_url {
                    let (tenant, domain) = (&*key.0, &*key.1);
                    tracing::info!(tenant, domain, explanation, "the authority explains its renewal window");
                }
                Ok(Some((held.life.renew_within_unix_s(&info), pause.as_secs())))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(authority.failure(error)),
        }
    }

    fn write_status(&self) {
        let lately = self.written.get().is_some_and(|written| written.elapsed() < LOOK_INTERVAL);
        if lately || !self.changed.replace(false) {
            return;
        }
        self.written.set(Some(Instant::now()));
        let entries = self.entries.borrow();
        let mut rows: Vec<DomainStatus> = entries.iter().map(|(key, entry)| entry.status(key)).collect();
        rows.sort_by(|a, b| (&a.tenant, &a.host).cmp(&(&b.tenant, &b.host)));
        if let Err(error) = status::save(&self.folder, &rows) {
            tracing::warn!(%error, "the status of certificates cannot be written");
        }
    }
}

fn owned((tenant, host): &Key) -> (String, String) {
    (tenant.to_string(), host.to_string())
}

fn held(stored: &StoredCertificate, issued: &IssuedCertificate, percent: u64) -> Option<Held> {
    let life = Life::of(issued.certificate.key.cert.first()?)?;
    let renew_unix_s = life.renew_unix_s(percent);
    Some(Held { directory: stored.directory.clone(), life, renew_unix_s })
}

fn statuses(folder: &Path) -> HashMap<(String, String), DomainStatus> {
    let rows = status::load(folder).unwrap_or_else(|error| {
        tracing::warn!(%error, "the status of certificates cannot be read; every domain is attended to at once");
        Vec::new()
    });
    rows.into_iter().map(|row| ((row.tenant.clone(), row.host.clone()), row)).collect()
}

fn now() -> u64 {
    unix_s(SystemTime::now())
}
