//! Installed rule sets: `crs/VERSION/` in the data directory, and `crs/active`, which names one of them.
//!
//! An installed version never changes: it appears whole by a rename, and content that differs needs another name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use veloflux_model::value::Version;

use super::Tree;
use crate::failure::{Failure, Outcome};
use veloflux_control::files::{PLAIN, read_bounded, replace, sync_folder, write_new};

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

    /// The installed versions, the newest last.
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
        versions.sort_by(|a, b| age(a).cmp(&age(b)));
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

/// What versions are sorted by: as [Semantic Versioning](https://semver.org) 2.0 section 11 has it for versions of
/// its form, so that 4.9.0 comes before 4.28.0 and 4.0.0-rc2 before 4.0.0; names that are no versions come last.
fn age(version: &Version) -> impl Ord + '_ {
    let text = version.as_str();
    let (release, preview) = text.split_once('-').unwrap_or((text, ""));
    // Last the text itself: `4.1` and `4.01` differ.
    (parts(release), preview.is_empty(), parts(preview), text)
}

/// A run of digits or of other characters in a version. Numbers come before texts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// Without leading zeros, so that the longer one is the greater.
    Number(usize, &'a str),
    Text(&'a str),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    text.split(['.', '-', '_'])
        .flat_map(|field| field.as_bytes().chunk_by(move |&a, &b| is_digit(a) == is_digit(b)))
        // Names are ASCII.
        .filter_map(|run| std::str::from_utf8(run).ok())
        .map(|run| {
            let digits = run.trim_start_matches('0');
            if run.bytes().all(is_digit) { Part::Number(digits.len(), digits) } else { Part::Text(run) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed_from_the_oldest_to_the_newest() {
        let data = tempfile::tempdir().unwrap();
        let sorted = [
            "3.3",
            "3.3.4",
            "4.0.0-rc2",
            "4.0.0-rc10",
            "4.0.0",
            "4.01",
            "4.1",
            "4.9.0",
            "4.28.0",
            "10.0.0",
            "own-rules",
        ];
        for version in sorted.iter().rev() {
            fs::create_dir_all(data.path().join("crs").join(version)).unwrap();
        }
        let versions = Store::in_data_directory(data.path()).versions().unwrap();
        assert_eq!(versions.iter().map(Version::as_str).collect::<Vec<_>>(), sorted);
    }

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
