//! From files to a snapshot: reads the process file, the state file and everything that it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use veloflux_model::located::Position;
use veloflux_model::process::Acme;
use veloflux_model::value::Version;
use veloflux_model::{Desired, Document, MAX_DOCUMENT_BYTES, Problem, Process, Report};
use veloflux_snapshot::compile::{
    AccessData, ManagedInputs, files_named, lists_named, needs_native_roots, rulesets_named,
};
use veloflux_snapshot::managed::Managed;
use veloflux_snapshot::runtime::Registry;
use veloflux_snapshot::{Inputs, Lapsed, Snapshot, compile};
use veloflux_waf::Ruleset;

use crate::crs::Store;
use crate::origins::Origins;
use veloflux_control::files::read_bounded;

/// Longest certificate, key or authorities' file, in bytes; the system's whole list has 220 KiB.
const MAX_NAMED_FILE_BYTES: u64 = 4 << 20;

/// The process file with its paths made to count from its folder.
#[derive(Debug)]
pub(crate) struct ProcessFile {
    pub(crate) process: Process,
    path: PathBuf,
    /// The file's folder.
    folder: PathBuf,
}

impl ProcessFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Report> {
        let process = read_document(path)?;
        Ok(Self { process, path: path.to_path_buf(), folder: folder_of(path) })
    }

    /// `path` of the process file as this process can open it.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub(crate) fn data_directory(&self) -> PathBuf {
        self.resolve(self.process.data_directory.as_str())
    }

    /// Loads what this process file, or the command line in its stead, names as state.
    pub(crate) fn loader(&self, state: Option<&Path>) -> Loader {
        let state_file = state.map_or_else(|| self.resolve(self.process.state.as_str()), Path::to_path_buf);
        Loader::new(
            state_file,
            Store::in_data_directory(&self.data_directory()),
            self.process.limits.max_work_budget.get_u32(),
            Origins::new(&self.path, self.folder.clone(), &self.process),
            self.process.acme.as_ref().map(Acme::proves_wildcards),
        )
    }
}

/// Reads the state file and what it names, as often as asked. Rule sets are compiled once for the whole process:
/// an installed version never changes.
#[derive(Debug)]
pub(crate) struct Loader {
    state_file: PathBuf,
    store: Store,
    /// As in [`Inputs`].
    max_work_budget_percent: u32,
    origins: Origins,
    /// Whether wildcards can be proved where certificates are ordered; `None`: none are.
    orders_wildcards: Option<bool>,
    managed: Arc<Managed>,
    registry: Registry,
    rulesets: HashMap<Version, Arc<Ruleset>>,
    /// Taken before each file is read, so that a change during the load counts as one after it.
    loaded: Look,
}

impl Loader {
    fn new(
        state_file: PathBuf,
        store: Store,
        max_work_budget_percent: u32,
        origins: Origins,
        orders_wildcards: Option<bool>,
    ) -> Self {
        Self {
            state_file,
            store,
            max_work_budget_percent,
            origins,
            orders_wildcards,
            managed: Arc::default(),
            registry: Registry::default(),
            rulesets: HashMap::new(),
            loaded: Look::new(),
        }
    }

    /// Reads and compiles everything into the snapshot of `revision`. Certificates that are not valid now, but are
    /// served according to `lapsed`, are warned of one by one.
    pub(crate) fn load(&mut self, revision: u64, lapsed: Lapsed) -> Result<Snapshot, Report> {
        self.loaded = self.look();
        let mut own = self.origins.own_files();
        own.extend([self.state_file.clone(), self.store.active_file()]);
        for path in &own {
            self.note(path.clone());
        }
        let state: Desired = read_document(&self.state_file)?;
        let folder = folder_of(&self.state_file);
        let paths = files_named(&state);
        let lists = lists_named(&state);
        let named: BTreeSet<PathBuf> = paths.iter().chain(&lists).map(|path| folder.join(path)).collect();
        self.loaded.retain(|path, _| own.contains(path) || named.contains(path));
        for path in &named {
            self.note(path.clone());
        }
        let files = paths.into_iter().map(|path| {
            let content =
                read_bounded(&folder.join(path), MAX_NAMED_FILE_BYTES).map_err(|error| error.to_string());
            (path.to_owned(), content)
        });
        let files = files.collect();
        let (active_ruleset, rulesets) = self.rulesets(&state)?;
        let native_roots = if needs_native_roots(&state) { native_roots() } else { Vec::new() };
        let state_file = self.state_file.display().to_string();
        let now = SystemTime::now();
        let max_work_budget_percent = self.max_work_budget_percent;
        let geo = self.origins.geo()?;
        let metrics_access = self.origins.metrics(geo.as_ref())?;
        let access = AccessData { lists: self.origins.lists(&folder, lists.into_iter()), geo };
        let managed =
            self.orders_wildcards.map(|wildcards| ManagedInputs { wildcards, issued: self.managed.issued() });
        let inputs = Inputs {
            state_file,
            files,
            rulesets,
            access,
            active_ruleset,
            max_work_budget_percent,
            native_roots,
            now,
            lapsed,
            managed,
        };
        let snapshot = compile(&state, &inputs, &self.registry, revision)?;
        self.origins.retain(&own.into_iter().chain(named).collect());
        let snapshot = Snapshot { metrics_access, data_files: self.origins.files(), ..snapshot };
        warn_of_lapsed(&snapshot);
        Ok(snapshot)
    }

    fn note(&mut self, path: PathBuf) {
        let stamp = Stamp::of(&path);
        self.loaded.insert(path, stamp);
    }

    /// The active version, and every rule set that `state` uses.
    #[allow(clippy::type_complexity, reason = "the two fields of `Inputs`, in their types")]
    fn rulesets(
        &mut self,
        state: &Desired,
    ) -> Result<(Option<String>, HashMap<String, Result<Arc<Ruleset>, String>>), Report> {
        let named = rulesets_named(state);
        let active = if named.contains(&None) { self.active()? } else { None };
        let versions = named.into_iter().filter_map(|name| name.or(active.as_deref()));
        let versions: Vec<Version> = versions.filter_map(|version| version.parse().ok()).collect();
        let installed = self.store.versions().map_err(|failure| self.whole(failure.to_string()))?;
        let mut rulesets = HashMap::new();
        for version in versions.into_iter().filter(|version| installed.contains(version)) {
            let ruleset = self.ruleset(&version);
            rulesets.insert(version.to_string(), ruleset);
        }
        // Those that are in use no more are given back.
        self.rulesets.retain(|version, _| rulesets.contains_key(version.as_str()));
        Ok((active, rulesets))
    }

    fn active(&self) -> Result<Option<String>, Report> {
        let active = self.store.active().map_err(|failure| self.whole(failure.to_string()))?;
        Ok(active.map(|version| version.to_string()))
    }

    fn ruleset(&mut self, version: &Version) -> Result<Arc<Ruleset>, String> {
        if let Some(known) = self.rulesets.get(version) {
            return Ok(known.clone());
        }
        let tree = self.store.read(version).map_err(|failure| failure.to_string())?;
        let ruleset = Arc::new(tree.compile()?);
        self.rulesets.insert(version.clone(), ruleset.clone());
        Ok(ruleset)
    }

    /// A report about the state file as a whole.
    fn whole(&self, message: String) -> Report {
        Report::new(self.state_file.display().to_string(), vec![Problem::new(Position::default(), message)])
    }

    /// Where states that outlive snapshots are kept.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What is shared by those who order certificates and those who serve them.
    pub(crate) fn managed(&self) -> Arc<Managed> {
        self.managed.clone()
    }

    /// What the files look like now; other than [`loaded`](Self::loaded), it calls for another load.
    pub(crate) fn look(&self) -> Look {
        self.loaded.keys().map(|path| (path.clone(), Stamp::of(path))).collect()
    }

    /// What the files looked like when the last load, successful or not, read them.
    pub(crate) fn loaded(&self) -> &Look {
        &self.loaded
    }
}

/// The state of a set of files: the state file, the file of the active rule set, and those that the state names.
pub(crate) type Look = BTreeMap<PathBuf, Option<Stamp>>;

/// What tells one version of a file from the next: time of change in nanoseconds, size, and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(i64, i64, u64, u64);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self(metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()))
    }
}

/// Reads a document and checks what it says, not what it names.
pub(crate) fn read_document<D: Document>(path: &Path) -> Result<D, Report> {
    let file = path.display().to_string();
    let unreadable = |why: String| Report::new(file.clone(), vec![Problem::new(Position::default(), why)]);
    let content = read_bounded(path, MAX_DOCUMENT_BYTES as u64)
        .map_err(|error| unreadable(format!("the file cannot be read: {error}")))?;
    let text = String::from_utf8(content).map_err(|_| unreadable("the file is not UTF-8".to_owned()))?;
    D::parse(&file, &text)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn warn_of_lapsed(snapshot: &Snapshot) {
    for tenant in &snapshot.tenants {
        for certificate in &tenant.certificates {
            if let Some(issuer) = &certificate.missing_issuer {
                tracing::warn!(
                    tenant = &*tenant.id,
                    certificate = &*certificate.name,
                    file = &*certificate.file,
                    %issuer,
                    "the file lacks the issuer's certificate: clients that do not know it will refuse this one"
                );
            }
            if let Some(why) = &certificate.lapsed {
                tracing::warn!(
                    tenant = &*tenant.id,
                    certificate = &*certificate.name,
                    file = &*certificate.file,
                    not_after_unix_s = certificate.not_after_unix_s,
                    %why,
                    "clients will refuse this certificate; it is served as it is until its file is replaced"
                );
            }
        }
    }
}

/// The authorities that the system trusts; those that cannot be read are left out, and said.
pub(crate) fn native_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "an authority of the system cannot be read");
    }
    found.certs
}
