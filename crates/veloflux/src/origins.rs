//! Lists of addresses and geographic databases, read from their files.
//!
//! A file is read again only when it has changed, and what it holds is shared by all who use it. One that can no longer
//! be read, or is wrong, keeps what it held: everything else is taken in, an error in the log and a metric say so. One
//! that has never been right is an error in the document that names it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use veloflux_control::files::read_bounded;
use veloflux_model::addresses::{AddressList, AddressSet, MAX_LIST_BYTES};
use veloflux_model::desired::Access;
use veloflux_model::process::Geo as GeoSettings;
use veloflux_model::{Problem, Process, Report};
use veloflux_snapshot::compile::{AccessData, access};
use veloflux_snapshot::{AccessPolicy, DataFile, DataKind, Geo, GeoDatabase};

use crate::load::Stamp;

/// Longest database, in bytes.
const MAX_DATABASE_BYTES: u64 = veloflux_waf::limits::GEO_DATABASE_BYTES as u64;

/// Memory that all lists together may take, in bytes.
const MAX_LISTS_BYTES: usize = 1 << 30;

/// What the process file says about where requests come from, and what was read of it and of tenants' lists.
#[derive(Debug)]
pub(crate) struct Origins {
    /// How messages name the process file.
    process_file: String,
    /// The process file's folder.
    folder: PathBuf,
    settings: Option<GeoSettings>,
    metrics: Option<Access>,
    lists: Kept<AddressList>,
    databases: Kept<GeoDatabase>,
}

impl Origins {
    pub(crate) fn new(process_file: &Path, folder: PathBuf, process: &Process) -> Self {
        Self {
            process_file: process_file.display().to_string(),
            folder,
            settings: process.geo.clone(),
            metrics: process.metrics.as_ref().map(|metrics| metrics.access.clone()),
            lists: Kept::default(),
            databases: Kept::default(),
        }
    }

    /// The files that the process file names.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        let databases = self.settings.iter().flat_map(|geo| geo.databases.iter().map(|path| path.as_str()));
        let lists = self.metrics.iter().flat_map(Access::files);
        databases.chain(lists).map(|path| self.folder.join(path)).collect()
    }

    /// The databases; or a report of those that have never been right.
    pub(crate) fn geo(&mut self) -> Result<Option<Arc<Geo>>, Report> {
        let Some(GeoSettings { databases, max_age }) = &self.settings else { return Ok(None) };
        let mut problems = Vec::new();
        let mut read = Vec::new();
        for path in databases {
            let database = self.databases.get(self.folder.join(path.as_str()), |file| {
                let content = read_bounded(file, MAX_DATABASE_BYTES).map_err(|error| error.to_string())?;
                GeoDatabase::read(path.as_str().into(), content)
            });
            match database {
                Ok(database) => read.push(database),
                Err(why) => problems.push(Problem::new(
                    path.position(),
                    format!("the geographic database `{path}` cannot be used: {why}"),
                )),
            }
        }
        Report::none_or(&self.process_file, problems)?;
        Ok(Some(Arc::new(Geo { databases: read, max_age: max_age.duration() })))
    }

    /// Lists by path as written, each with what it holds or why it cannot be used; paths count from `folder`.
    pub(crate) fn lists<'a>(
        &mut self,
        folder: &Path,
        named: impl Iterator<Item = &'a str>,
    ) -> HashMap<String, Result<Arc<AddressList>, String>> {
        let held = self.lists.0.values().map(|held| held.content.addresses.bytes());
        // What is replaced counts until the next time: it is in memory as long as it serves.
        let mut total: usize = held.sum();
        let lists = named.map(|name| {
            let list = self.lists.get(folder.join(name), |file| {
                let content = read_bounded(file, MAX_LIST_BYTES as u64).map_err(|error| error.to_string())?;
                let addresses = AddressSet::from_list(&content).map_err(|error| error.to_string())?;
                total += addresses.bytes();
                if total > MAX_LISTS_BYTES {
                    return Err(format!("all lists together would take more than {MAX_LISTS_BYTES} bytes"));
                }
                Ok(AddressList { name: name.into(), addresses })
            });
            (name.to_owned(), list)
        });
        lists.collect()
    }

    /// Whom the metrics listener answers; or a report of what is wrong with that.
    pub(crate) fn metrics(&mut self, geo: Option<&Arc<Geo>>) -> Result<Option<Arc<AccessPolicy>>, Report> {
        let Some(rules) = self.metrics.take() else { return Ok(None) };
        let lists = self.lists(&self.folder.clone(), rules.files());
        let mut problems = Vec::new();
        let policy = access(&rules, &AccessData { lists, geo: geo.cloned() }, &mut problems);
        self.metrics = Some(rules);
        Report::none_or(&self.process_file, problems)?;
        Ok(policy)
    }

    /// Gives back what is in none of `used`.
    pub(crate) fn retain(&mut self, used: &HashSet<PathBuf>) {
        self.lists.0.retain(|path, _| used.contains(path));
    }

    /// All files with how they stand, in the order of their paths.
    pub(crate) fn files(&self) -> Vec<DataFile> {
        let lists = self.lists.0.iter().map(|(path, kept)| kept.as_file(path, DataKind::List));
        let databases = self.databases.0.iter().map(|(path, kept)| kept.as_file(path, DataKind::Database));
        let mut files: Vec<DataFile> = lists.chain(databases).collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

/// What files held when they were last right.
#[derive(Debug)]
struct Kept<T>(HashMap<PathBuf, Held<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[derive(Debug)]
struct Held<T> {
    /// The version of the file that was looked at last.
    stamp: Option<Stamp>,
    content: Arc<T>,
    /// Why that version is refused.
    refused: Option<Arc<str>>,
}

impl<T> Kept<T> {
    /// What the file holds; where it has become wrong, what it held before.
    fn get(
        &mut self,
        path: PathBuf,
        read: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Result<Arc<T>, String> {
        // Taken first, so that a change during the reading counts as one after it.
        let stamp = Stamp::of(&path);
        if let Some(held) = self.0.get(&path).filter(|held| held.stamp == stamp) {
            return Ok(held.content.clone());
        }
        match read(&path) {
            Ok(content) => {
                let content = Arc::new(content);
                self.0.insert(path, Held { stamp, content: content.clone(), refused: None });
                Ok(content)
            }
            Err(why) => {
                let Some(held) = self.0.get_mut(&path) else { return Err(why) };
                tracing::error!(
                    file = %path.display(),
                    %why,
                    "what this file holds now is refused; what it held before stays in force"
                );
                held.stamp = stamp;
                held.refused = Some(why.into());
                Ok(held.content.clone())
            }
        }
    }
}

impl<T> Held<T> {
    fn as_file(&self, path: &Path, kind: impl FnOnce(Arc<T>) -> DataKind) -> DataFile {
        DataFile {
            path: path.display().to_string().into(),
            kind: kind(self.content.clone()),
            refused: self.refused.clone(),
        }
    }
}

/// Warns of the databases that are older than they should be.
pub(crate) fn warn_of_outdated(geo: &Geo) {
    const DAY_S: u64 = 86_400;
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for database in &geo.databases {
        let age_s = database.age_s(now_unix_s);
        if age_s > geo.max_age.as_secs() {
            tracing::warn!(
                database = &*database.name,
                age_days = age_s / DAY_S,
                most_days = geo.max_age.as_secs() / DAY_S,
                "this geographic database is out of date; it is used as it is until its file is replaced"
            );
        }
    }
}
