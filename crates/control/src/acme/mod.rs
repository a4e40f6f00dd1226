//! Certificates that are ordered and renewed by themselves, from authorities that speak ACME (RFC 8555).
//!
//! On a thread of its own beside the serving cores. What is on disk counts: accounts, orders and certificates are
//! written down before they are used, and found again whatever has ended the process ([`store`]). Nothing fails open:
//! where what is stored cannot be read, or the count of orders cannot be written, nothing is ordered.

mod answer;
mod authority;
mod dns;
mod failure;
mod http;
mod ledger;
mod order;
mod renewal;
mod schedule;
mod settings;
mod status;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;
use veloflux_model::process;
use veloflux_snapshot::Reader;
use veloflux_snapshot::managed::{IssuedCertificate, IssuedCertificates, Managed};

use crate::seal::MasterKey;
use authority::Authority;
use ledger::Ledger;
use order::Orders;
pub use schedule::Proved;
use schedule::Schedule;
pub use settings::SettingsError;
use settings::{Reading, Settings};
pub use status::DomainStatus;
use store::Store;
pub use store::{StoredCertificate, Unreadable};

/// Most unreadable files that are told of one by one.
const MAX_TOLD: usize = 100;

/// What ordering needs to know.
pub struct Opening<'a> {
    /// The process file's `acme`.
    pub acme: &'a process::Acme,
    /// Where everything is kept.
    pub data_directory: &'a Path,
    /// The master key's file, and what the environment says in its place.
    pub master_key: (&'a Path, Option<&'a str>),
    /// Makes paths of the process file count from its folder.
    pub resolve: &'a dyn Fn(&str) -> PathBuf,
    /// The authorities that the system trusts.
    pub native_roots: &'a [CertificateDer<'static>],
    /// Where issued certificates and answers to challenges go.
    pub managed: Arc<Managed>,
    /// Whether a domain is proved to be its tenant's.
    pub proved: Proved,
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("data_directory", &self.data_directory).finish_non_exhaustive()
    }
}

/// Ordering that has read what is stored and not begun.
pub struct Acme {
    issued: Arc<Notify>,
    ready: Option<Ready>,
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme").field("suspended", &self.ready.is_none()).finish_non_exhaustive()
    }
}

/// All that [`Schedule`] takes but the snapshots.
struct Ready {
    orders: Orders,
    folder: PathBuf,
    proved: Proved,
    stored: Vec<(StoredCertificate, IssuedCertificate)>,
    unreadable: Vec<Unreadable>,
}

impl Acme {
    /// Reads what settings name and what is stored; every certificate that can be used is in `managed` when this returns.
    ///
    /// Settings that cannot be followed are an error. What is stored and cannot be opened is not, so that the rest of
    /// the process serves: ordering is suspended, which the log and a metric say.
    pub fn open(opening: Opening<'_>) -> Result<Self, SettingsError> {
        let Opening { acme, data_directory, master_key, resolve, native_roots, managed, proved } = opening;
        let settings = Reading { resolve, native_roots }.settings(acme)?;
        let issued = Arc::new(Notify::new());
        let ready = match Ready::open(settings, data_directory, master_key, managed.clone(), proved) {
            Ok(ready) => Some(ready),
            Err(why) => {
                managed.counters.suspended.store(true, Relaxed);
                tracing::error!(%why, "no certificates are ordered");
                None
            }
        };
        Ok(Self { issued, ready })
    }

    /// Told whenever a certificate was issued that no snapshot has yet.
    pub fn issued(&self) -> Arc<Notify> {
        self.issued.clone()
    }

    /// Orders and renews from now on, for what the snapshots of `reader` want, until the process ends: nothing has to be
    /// finished first, since every order is gone on with.
    pub fn start(self, reader: Reader) -> io::Result<()> {
        let Some(Ready { orders, folder, proved, stored, unreadable }) = self.ready else {
            return Ok(());
        };
        let issued = self.issued;
        let run = move || {
            let _ending = Ending(orders.managed.clone());
            let schedule = Schedule { orders, folder, reader, issued, proved, stored, unreadable };
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "no runtime to order certificates");
                    return;
                }
            };
            tokio::task::LocalSet::new().block_on(&runtime, schedule.run());
        };
        std::thread::Builder::new().name("acme".into()).spawn(run).map(|_| ())
    }
}

/// Says that nothing is ordered any more when the thread ends, which it should not.
struct Ending(Arc<Managed>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.counters.suspended.store(true, Relaxed);
        tracing::error!("no certificates are ordered any more");
    }
}

impl Ready {
    fn open(
        settings: Settings,
        data_directory: &Path,
        (key_file, key_variable): (&Path, Option<&str>),
        managed: Arc<Managed>,
        proved: Proved,
    ) -> Result<Self, String> {
        let folder = store::folder(data_directory);
        let key =
            MasterKey::load(key_variable, key_file, folder.exists()).map_err(|error| error.to_string())?;
        let store = Store::new(data_directory, key);
        let (stored, unreadable) = store.certificates();
        let mut stored = newest(stored);
        // One that can be read stands in for one of another authority that cannot.
        let mut issued = IssuedCertificates::default();
        for (_, certificate) in &stored {
            issued.insert(certificate.clone());
        }
        stored.shrink_to_fit();
        tracing::info!(certificates = stored.len(), "stored certificates were read");
        managed.restore(issued);
        managed.counters.unreadable.fetch_add(unreadable.len() as u64, Relaxed);
        for file in unreadable.iter().take(MAX_TOLD) {
            tracing::error!(path = %file.path.display(), why = file.why, "a stored certificate cannot be used");
        }
        let has = |file: &Unreadable| {
            let domain = file.domain();
            stored.iter().any(|(s, _)| domain.as_ref().is_some_and(|(t, h)| (t, h) == (&s.tenant, &s.host)))
        };
        let unreadable: Vec<Unreadable> = unreadable.into_iter().filter(|file| !has(file)).collect();

        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let ledger = Ledger::open(&folder, settings.orders_per_domain, settings.orders_in_all)
            .map_err(|error| format!("{}: the count of orders cannot be read: {error}", folder.display()))?;
        // Authorities may be about to look at what they were told of.
        let mut answering = HashMap::new();
        for ((tenant, host), answers) in store.answers() {
            let name = host.strip_prefix("*.").unwrap_or(&host);
            let given = answers.iter().filter_map(|answer| answer.give(&managed, name).ok()).collect();
            answering.insert((tenant, host), given);
        }
        let mut settings = settings;
        let authorities = settings.directories.drain(..).map(Authority::new).collect();
        let orders = Orders {
            settings,
            store,
            ledger: ledger.into(),
            authorities,
            managed,
            answering: answering.into(),
        };
        Ok(Self { orders, folder, proved, stored, unreadable })
    }
}

/// Of several certificates for one domain, which different authorities issued, the one that ends last.
fn newest(
    mut stored: Vec<(StoredCertificate, IssuedCertificate)>,
) -> Vec<(StoredCertificate, IssuedCertificate)> {
    stored.sort_by(|(a, a_issued), (b, b_issued)| {
        let end = b_issued.certificate.not_after_unix_s.cmp(&a_issued.certificate.not_after_unix_s);
        (&a.tenant, &a.host).cmp(&(&b.tenant, &b.host)).then(end)
    });
    stored.dedup_by(|(b, _), (a, _)| (&a.tenant, &a.host) == (&b.tenant, &b.host));
    stored
}

/// Whether settings can be followed: every file that they name is there and holds what it should.
pub fn check(
    acme: &process::Acme,
    resolve: &dyn Fn(&str) -> PathBuf,
    native_roots: &[CertificateDer<'static>],
) -> Result<(), SettingsError> {
    Reading { resolve, native_roots }.settings(acme).map(|_| ())
}

/// The stored certificates, where each domain stands, and the files that cannot be read; without the master key.
pub fn list(data_directory: &Path) -> (Vec<StoredCertificate>, Vec<DomainStatus>, Vec<Unreadable>) {
    let (certificates, unreadable) = store::listed(data_directory);
    let statuses = status::load(&store::folder(data_directory)).unwrap_or_default();
    (certificates, statuses, unreadable)
}
