//! A rule set's files, read whole into memory: from a folder or a tarball that others made, or from the store.
//!
//! Only what the engine reads is taken: `crs-setup.conf`, its `.example`, the licence, and the `.conf` and `.data`
//! files right in `rules/` and `plugins/`. Nothing is followed and nothing unpacked: a link is refused, a path that
//! leads out of its archive refuses the archive, and counts and sizes are bounded, the unpacked stream's included.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use veloflux_waf::{MemFiles, Ruleset};

use crate::failure::{Failure, Outcome};
use veloflux_control::files::read_bounded;

/// Longest file of a rule set, in bytes; the CRS's longest has 80 KiB.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Most files of a rule set; the CRS has about 60.
const MAX_FILES: usize = 1_000;

/// Most entries of a tarball, those that are not taken included; a CRS release has about 1,000.
const MAX_ENTRIES: usize = 50_000;

/// Longest stream that a tarball may unpack to, in bytes; a CRS release has about 10 MiB.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;

/// Files right in the root.
const ROOT_FILES: [&str; 3] = ["crs-setup.conf", "crs-setup.conf.example", "LICENSE"];

/// Folders whose rules and data are taken.
const FOLDERS: [&str; 2] = ["rules", "plugins"];

/// Where Debian's package `modsecurity-crs` keeps what an administrator edits, seen from its rules' folder. Of these,
/// set-up goes to the root and the exclusion files to `rules/`.
const DEBIAN_ROOT: &str = "usr/share/modsecurity-crs";
const DEBIAN_CONFIG: &str = "../../../etc/modsecurity/crs";

/// A rule set's files by path from its root, `/` between.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// How messages name the root.
    root: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Reads the folder or `.tar.gz` at `from`.
    pub(crate) fn read(from: &Path) -> Outcome<Self> {
        let root = from.display().to_string();
        let files = if from.is_dir() { folder(from)? } else { tarball(from)? };
        if !files.keys().any(|path| path.starts_with("rules/")) {
            return Err(Failure::new(format!("{root}: this is no rule set: there are no rules in `rules/`")));
        }
        Ok(Self { root, files })
    }

    /// Files by path from the root.
    pub(crate) fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// How messages, and names of files in memory, begin.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Adds all files to `files`, under the root's name.
    pub(crate) fn add_to(&self, files: MemFiles) -> MemFiles {
        self.files.iter().fold(files, |files, (path, content)| {
            files.with(&format!("{}/{path}", self.root), content.clone())
        })
    }

    /// Compiles the rule set whole.
    pub(crate) fn compile(&self) -> Result<Ruleset, String> {
        let files = self.add_to(MemFiles::new());
        let sources = veloflux_waf::crs::sources(&files, &self.root)?;
        Ruleset::compile(&sources, &files).map_err(|errors| errors.to_string())
    }
}

/// Whether a file with this path from the root is taken.
fn is_wanted(path: &str) -> bool {
    match path.split_once('/') {
        None => ROOT_FILES.contains(&path),
        Some((folder, name)) => FOLDERS.contains(&folder) && is_rule_file(name),
    }
}

fn is_rule_file(name: &str) -> bool {
    let extension = Path::new(name).extension();
    !name.contains('/')
        && !name.starts_with('.')
        && extension.is_some_and(|kind| kind == "conf" || kind == "data")
}

fn folder(root: &Path) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in ROOT_FILES {
        add_file(&mut files, name.to_owned(), &root.join(name))?;
    }
    for folder in FOLDERS {
        for name in names(&root.join(folder))? {
            add_file(&mut files, format!("{folder}/{name}"), &root.join(folder).join(name))?;
        }
    }
    if root.ends_with(DEBIAN_ROOT) {
        let config = root.join(DEBIAN_CONFIG);
        for name in names(&config)? {
            let path =
                if ROOT_FILES.contains(&name.as_str()) { name.clone() } else { format!("rules/{name}") };
            add_file(&mut files, path, &config.join(name))?;
        }
    }
    Ok(files)
}

/// Names in a folder that may be missing.
fn names(folder: &Path) -> Outcome<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Failure::file(folder, "read the folder", &error))?,
    };
    let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let names = names.map_err(|error| Failure::file(folder, "read the folder", &error))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

fn add_file(files: &mut BTreeMap<String, Vec<u8>>, path: String, file: &Path) -> Outcome {
    if !is_wanted(&path) {
        return Ok(());
    }
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file(file, "read it", &error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(Failure::new(format!("{}: a rule set's files may not be links", file.display())));
        }
        Ok(_) => {}
    }
    let content =
        read_bounded(file, MAX_FILE_BYTES).map_err(|error| Failure::file(file, "read it", &error))?;
    add(files, path, content)
}

fn add(files: &mut BTreeMap<String, Vec<u8>>, path: String, content: Vec<u8>) -> Outcome {
    if files.len() >= MAX_FILES {
        return Err(Failure::new(format!("{path}: the rule set has more than {MAX_FILES} files")));
    }
    files.insert(path, content);
    Ok(())
}

/// The files of a release's `.tar.gz`, whose one folder at the top is left out.
fn tarball(path: &Path) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let wrong = |error: &io::Error| Failure::file(path, "read it as .tar.gz", error);
    let file = fs::File::open(path).map_err(|error| Failure::file(path, "open it", &error))?;
    let mut archive = Archive::new(Unpacked { stream: GzDecoder::new(file), left: MAX_UNPACKED_BYTES });
    let mut files = BTreeMap::new();
    for (number, entry) in archive.entries().map_err(|error| wrong(&error))?.enumerate() {
        let mut entry = entry.map_err(|error| wrong(&error))?;
        if number >= MAX_ENTRIES {
            return Err(Failure::new(format!("{}: more than {MAX_ENTRIES} entries", path.display())));
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let name = entry.path().map_err(|error| wrong(&error))?.into_owned();
        let inside = inside_top_folder(&name).ok_or_else(|| {
            Failure::new(format!("{}: `{}` leads out of the archive", path.display(), name.display()))
        })?;
        if !is_wanted(&inside) {
            continue;
        }
        if kind != EntryType::Regular && kind != EntryType::Continuous {
            return Err(Failure::new(format!("{}: `{inside}` is not a regular file", path.display())));
        }
        if entry.size() > MAX_FILE_BYTES {
            return Err(Failure::new(format!("{}: `{inside}` is longer than 4 MiB", path.display())));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| wrong(&error))?;
        add(&mut files, inside, content)?;
    }
    Ok(files)
}

/// An unpacked stream that fails once it has given [`MAX_UNPACKED_BYTES`]. Merely ending there could pass for the
/// archive's end, and what comes behind it would be left out without a word.
struct Unpacked<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} MiB", MAX_UNPACKED_BYTES >> 20))
        })?;
        Ok(read)
    }
}

/// `path` without its first folder, `/` between; `None` if it is absolute or climbs.
fn inside_top_folder(path: &Path) -> Option<String> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let mut parts = inside.iter();
    parts.next();
    Some(parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    const RULE: &str = "SecComponentSignature \"OWASP_CRS/9.1.0\"\nSecAction \"id:1,phase:1,pass,nolog\"\n";

    /// A tarball of these entries; the path is written as it is, however hostile.
    fn pack(entries: &[(&str, EntryType, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(GzEncoder::new(file.reopen().unwrap(), Compression::fast()));
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        file
    }

    fn refused(entries: &[(&str, EntryType, &[u8])]) -> String {
        Tree::read(pack(entries).path()).unwrap_err().to_string()
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn takes_what_the_engine_reads_and_nothing_else() {
        let packed = pack(&[
            ("crs-9/crs-setup.conf.example", FILE, b""),
            ("crs-9/rules/a.conf", FILE, RULE.as_bytes()),
            ("crs-9/rules/a.data", FILE, b"x"),
            ("crs-9/rules/.hidden.conf", FILE, b"x"),
            ("crs-9/rules/deep/b.conf", FILE, b"x"),
            ("crs-9/rules/a.conf.example", FILE, b"x"),
            ("crs-9/tests/rules/a.conf", FILE, b"x"),
            ("crs-9/INSTALL", FILE, b"x"),
        ]);
        let tree = Tree::read(packed.path()).unwrap();
        assert_eq!(
            tree.files().keys().collect::<Vec<_>>(),
            ["crs-setup.conf.example", "rules/a.conf", "rules/a.data"]
        );
    }

    #[test]
    fn hostile_archives_are_refused() {
        assert!(refused(&[("../../etc/x.conf", FILE, b"")]).contains("leads out of the archive"));
        assert!(refused(&[("/crs/rules/a.conf", FILE, b"")]).contains("leads out of the archive"));
        assert!(refused(&[("crs/rules/../../../x", FILE, b"")]).contains("leads out of the archive"));
        assert!(refused(&[("crs/rules/a.conf", EntryType::Symlink, b"")]).contains("not a regular file"));
        assert!(refused(&[("crs/rules/a.conf", EntryType::Link, b"")]).contains("not a regular file"));
        assert!(refused(&[("crs/rules/a.conf", EntryType::Fifo, b"")]).contains("not a regular file"));
        let long = vec![b'#'; MAX_FILE_BYTES as usize + 1];
        assert!(refused(&[("crs/rules/a.conf", FILE, &long)]).contains("longer than 4 MiB"));
        assert!(refused(&[("crs/readme", FILE, b"")]).contains("no rule set"));
        let no_gzip = tempfile::NamedTempFile::new().unwrap();
        fs::write(no_gzip.path(), "hello").unwrap();
        assert!(Tree::read(no_gzip.path()).is_err());
    }

    /// A small tarball with a rule, a file of `size` bytes that is not taken, and another rule.
    fn bomb(size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(GzEncoder::new(file.reopen().unwrap(), Compression::fast()));
        for (path, size) in [("crs/rules/a.conf", 512), ("crs/bomb", size), ("crs/rules/b.conf", 512)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, io::repeat(b'#').take(size)).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn a_tarball_that_unpacks_to_more_than_the_bound_is_refused() {
        // Headers and content of the two entries before the second rule: 512 bytes each, and the bomb.
        let rest = 3 * 512;
        for size in [MAX_UNPACKED_BYTES * 2, MAX_UNPACKED_BYTES - rest, MAX_UNPACKED_BYTES - rest - 1] {
            let bomb = bomb(size);
            assert!(bomb.as_file().metadata().unwrap().len() < MAX_UNPACKED_BYTES / 50);
            let refused = Tree::read(bomb.path()).unwrap_err().to_string();
            assert!(refused.contains("unpacks to more than 256 MiB"), "{size}: {refused}");
        }
        let whole = Tree::read(bomb(1 << 20).path()).unwrap();
        assert_eq!(whole.files().keys().collect::<Vec<_>>(), ["rules/a.conf", "rules/b.conf"]);
    }

    #[test]
    fn a_link_in_a_folder_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("rules")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("rules/a.conf")).unwrap();
        assert!(Tree::read(root.path()).unwrap_err().to_string().contains("may not be links"));
    }

    #[test]
    fn debians_layout_has_its_set_up_elsewhere() {
        let system = tempfile::tempdir().unwrap();
        let (rules, config) =
            (system.path().join(DEBIAN_ROOT).join("rules"), system.path().join("etc/modsecurity/crs"));
        fs::create_dir_all(&rules).unwrap();
        fs::create_dir_all(&config).unwrap();
        fs::write(rules.join("REQUEST-901.conf"), RULE).unwrap();
        fs::write(config.join("crs-setup.conf"), "").unwrap();
        fs::write(config.join("REQUEST-900.conf"), "").unwrap();
        let tree = Tree::read(&system.path().join(DEBIAN_ROOT)).unwrap();
        assert_eq!(
            tree.files().keys().collect::<Vec<_>>(),
            ["crs-setup.conf", "rules/REQUEST-900.conf", "rules/REQUEST-901.conf"]
        );
    }
}
