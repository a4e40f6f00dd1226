//! Where rule files come from: the crate does no IO, its caller does.

use std::collections::BTreeMap;

/// Reads the files that rule sets name: `Include`, `@pmFromFile`, `@ipMatchFromFile`.
///
/// Relative paths are relative to the folder of the file that names them. Messages are shown to whoever wrote the
/// rules, behind file and line. Names that [`glob`](Files::glob) gave are complete: they are read with an empty `from`.
pub trait Files {
    /// The content of `path`, named by the rule file `from`.
    fn read(&self, path: &str, from: &str) -> Result<Vec<u8>, String>;

    /// The files that `pattern` (with `*` and `?` in its last segment) stands for, sorted by name; none is no error.
    fn glob(&self, pattern: &str, from: &str) -> Result<Vec<String>, String>;
}

/// Files held in memory, by path: for rule sets that come from an archive, an API or a test.
#[derive(Debug, Clone, Default)]
pub struct MemFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one file, in place of an earlier one of the same path.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    fn find(&self, path: &str, from: &str) -> Option<&Vec<u8>> {
        self.files.get(&resolve(path, from)).or_else(|| self.files.get(path))
    }
}

impl Files for MemFiles {
    fn read(&self, path: &str, from: &str) -> Result<Vec<u8>, String> {
        self.find(path, from).cloned().ok_or_else(|| format!("no file {path}"))
    }

    fn glob(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
        let pattern = resolve(pattern, from);
        Ok(self.files.keys().filter(|path| wildcard(&pattern, path)).cloned().collect())
    }
}

/// `path` as seen from the file `from`: absolute paths stay, others are taken from its folder.
pub(crate) fn resolve(path: &str, from: &str) -> String {
    match from.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

/// Whether `path` fits `pattern`, in which `*` is any run of characters but `/` and `?` one of them.
pub(crate) fn wildcard(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < path.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
                continue;
            }
            Some(b'?') if path[seen] != b'/' => {}
            Some(byte) if *byte == path[seen] => {}
            _ => match star {
                Some((star_at, taken)) if path[taken] != b'/' => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    seen = taken + 1;
                    continue;
                }
                _ => return false,
            },
        }
        at += 1;
        seen += 1;
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stay_inside_a_folder() {
        assert!(wildcard("rules/*.conf", "rules/a.conf"));
        assert!(wildcard("rules/?.conf", "rules/a.conf"));
        assert!(wildcard("rules/*-a*.conf", "rules/x-b-a1.conf"));
        assert!(!wildcard("rules/*.conf", "rules/sub/a.conf"));
        assert!(!wildcard("rules/*.conf", "rules/a.config"));
        assert!(!wildcard("rules/?.conf", "rules/ab.conf"));
    }

    #[test]
    fn paths_are_relative_to_the_naming_file() {
        let files = MemFiles::new().with("rules/words.data", "x").with("rules/a.conf", "");
        assert_eq!(files.read("words.data", "rules/a.conf"), Ok(b"x".to_vec()));
        assert!(files.read("words.data", "other/a.conf").is_err());
        assert_eq!(files.glob("*.conf", "rules/main"), Ok(vec!["rules/a.conf".to_owned()]));
    }
}
