//! A rule set set up as its regression suite assumes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use veloflux_waf::MemFiles;

/// What the suite's own test environment sets beyond the release's example set-up, in our words. The
/// limits are those that single cases cross.
const SUITE_SETTINGS: &str = r#"
SecAction "id:1000001,phase:1,pass,nolog,t:none,\
    setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.max_num_args=255,\
    setvar:tx.arg_name_length=100,\
    setvar:tx.arg_length=400,\
    setvar:tx.total_arg_length=6400,\
    setvar:tx.max_file_size=64100,\
    setvar:tx.combined_file_sizes=65535"
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
"#;

const SETUP: &str = "crs-setup.conf";
const SETUP_EXAMPLE: &str = "crs-setup.conf.example";
/// Folders of a release that hold what the engine reads.
const FOLDERS: [&str; 2] = ["rules", "plugins"];

/// The files of a CRS release: path inside the release, and content.
#[derive(Debug, Clone)]
pub struct RuleFolder(BTreeMap<String, Vec<u8>>);

impl RuleFolder {
    /// Reads the release unpacked in `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for name in [SETUP, SETUP_EXAMPLE] {
            if root.join(name).is_file() {
                files.insert(name.to_owned(), std::fs::read(root.join(name))?);
            }
        }
        for folder in FOLDERS.map(|folder| (folder, root.join(folder))) {
            let (name, path) = folder;
            if path.is_dir() {
                for entry in std::fs::read_dir(path)? {
                    let entry = entry?;
                    let file = format!("{name}/{}", entry.file_name().to_string_lossy());
                    files.insert(file, std::fs::read(entry.path())?);
                }
            }
        }
        Ok(Self(files))
    }

    /// The same release with the suite's settings behind its example set-up.
    #[must_use]
    pub fn with_suite_settings(self) -> Self {
        self.with_settings(SUITE_SETTINGS)
    }

    /// The same release with `settings` behind its set-up.
    #[must_use]
    pub fn with_settings(mut self, settings: &str) -> Self {
        let example = self.0.remove(SETUP_EXAMPLE);
        let mut setup = self.0.remove(SETUP).or(example).unwrap_or_default();
        setup.extend_from_slice(settings.as_bytes());
        self.0.insert(SETUP.to_owned(), setup);
        self
    }

    /// The same release with `content` as its set-up.
    #[must_use]
    pub fn with_setup(mut self, content: Vec<u8>) -> Self {
        self.0.insert(SETUP.to_owned(), content);
        self
    }

    /// The release in memory, under the folder name `root`.
    pub fn in_memory(&self, root: &str) -> MemFiles {
        self.0.iter().fold(MemFiles::new(), |files, (path, content)| {
            files.with(&format!("{root}/{path}"), content.clone())
        })
    }

    /// Writes the release into the folder `root`.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        for (path, content) in &self.0 {
            let path = root.join(path);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, content)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_comes_back_as_it_was_with_the_settings_last() {
        let release = tempfile::tempdir().unwrap();
        std::fs::write(release.path().join(SETUP_EXAMPLE), "SecAction example\n").unwrap();
        std::fs::create_dir(release.path().join("rules")).unwrap();
        std::fs::write(release.path().join("rules/A.conf"), "SecRule").unwrap();
        let copy = tempfile::tempdir().unwrap();
        RuleFolder::read(release.path()).unwrap().with_suite_settings().write(copy.path()).unwrap();

        let setup = std::fs::read_to_string(copy.path().join(SETUP)).unwrap();
        assert!(setup.starts_with("SecAction example\n") && setup.ends_with(SUITE_SETTINGS));
        assert_eq!(std::fs::read(copy.path().join("rules/A.conf")).unwrap(), b"SecRule");
        assert!(!copy.path().join(SETUP_EXAMPLE).exists());
    }
}
