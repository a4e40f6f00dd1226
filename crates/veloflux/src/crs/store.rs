//! Installed rule sets: `crs/VERSION/` in the data directory, and `crs/active`, which names one of them.
//!
//! An installed version never changes: it appears whole by a rename, and content that differs needs another name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use veloflux_model::value::Version;

use super::Tree;
use crate::failure::{Failure, Outcome};
use crate::files::{PLAIN, read_bounded, replace, sync_folder, write_new};

/// Longest `active` file, in bytes.
const MAX_ACTIVE_BYTES: u64 = 1 << 10;

/// Rule sets in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(crate) fn in_data_directory(data_directory: &Path) -> Self {
        Self { folder: data_directory.join("crs") }
    }

    /// The installed versions, sorted.
    pub(crate) fn versions(&self) -> Outcome<Vec<Version>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Failure::file(&self.folder, "read the folder", &error))?,
        };
        let mut versions: Vec<Version> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        versions.sort();
        Ok(versions)
    }

    /// The file that names the active version.
    pub(crate) fn active_file(&self) -> PathBuf {
        self.folder.join("active")
    }

    /// The active version; `None` when none was ever activated.
    pub(crate) fn active(&self) -> Outcome<Option<Version>> {
        let file = self.active_file();
        let content = match read_bounded(&file, MAX_ACTIVE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            content => content.map_err(|error| Failure::file(&file, "read it", &error))?,
        };
        let version = String::from_utf8_lossy(&content).trim().parse();
        version.map(Some).map_err(|_| {
            Failure::new(format!(
                "{}: it does not name a version; run `veloflux crs activate`",
                file.display()
            ))
        })
    }

    /// Makes an installed version the active one, in one step.
    pub(crate) fn activate(&self, version: &Version) -> Outcome {
        let file = self.active_file();
        replace(&file, format!("{version}\n").as_bytes(), PLAIN)
            .map_err(|error| Failure::file(&file, "write it", &error))
    }

    /// The files of an installed version.
    pub(crate) fn read(&self, version: &Version) -> Outcome<Tree> {
        Tree::read(&self.folder.join(version.as_str()))
    }

    /// Copies `tree` in as `version`; `false` when the same content is there already.
    pub(crate) fn install(&self, tree: &Tree, version: &Version) -> Outcome<bool> {
        let target = self.folder.join(version.as_str());
        if target.is_dir() {
            if self.read(version)?.files() == tree.files() {
                return Ok(false);
            }
            let message = "another rule set is installed under this name; give this one another with --name";
            return Err(Failure::new(format!("{version}: {message}")));
        }
        // A version's name begins with a letter or digit, so this one cannot be taken for one.
        let temporary = self.folder.join(format!(".installing.{}", std::process::id()));
        let written = self.write(tree, &temporary, &target);
        if written.is_err() {
            // What could not be finished is of no use, and may be what filled the disk.
            let _ = fs::remove_dir_all(&temporary);
        }
        written.map(|()| true).map_err(|error| Failure::file(&target, "install it", &error))
    }

    fn write(&self, tree: &Tree, temporary: &Path, target: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if temporary.exists() {
            fs::remove_dir_all(temporary)?;
        }
        fs::create_dir(temporary)?;
        for (path, content) in tree.files() {
            let file = temporary.join(path);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            write_new(&file, content, PLAIN)?;
        }
        for folder in fs::read_dir(temporary)? {
            let folder = folder?.path();
            if folder.is_dir() {
                sync_folder(&folder)?;
            }
        }
        sync_folder(temporary)?;
        fs::rename(temporary, target)?;
        sync_folder(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(rule: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("rules")).unwrap();
        fs::write(root.path().join("crs-setup.conf"), "").unwrap();
        fs::write(root.path().join("rules/a.conf"), rule).unwrap();
        root
    }

    #[test]
    fn versions_stand_side_by_side_and_never_change() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::in_data_directory(data.path());
        assert_eq!((store.versions().unwrap(), store.active().unwrap()), (vec![], None));
        let (one, two): (Version, Version) = ("4.1.0".parse().unwrap(), "4.2.0".parse().unwrap());
        let tree = Tree::read(release("# 1").path()).unwrap();
        let other = Tree::read(release("# 2").path()).unwrap();
        assert!(store.install(&tree, &one).unwrap());
        assert!(!store.install(&tree, &one).unwrap());
        assert!(store.install(&other, &one).is_err());
        assert!(store.install(&other, &two).unwrap());
        store.activate(&two).unwrap();
        store.activate(&one).unwrap();
        assert_eq!(
            (store.versions().unwrap(), store.active().unwrap()),
            (vec![one.clone(), two], Some(one.clone()))
        );
        assert_eq!(store.read(&one).unwrap().files(), tree.files());
    }

    #[test]
    fn a_broken_active_file_is_an_error_not_a_missing_rule_set() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::in_data_directory(data.path());
        fs::create_dir(data.path().join("crs")).unwrap();
        fs::write(store.active_file(), "../../etc").unwrap();
        assert!(store.active().is_err());
    }
}
