//! The rules of `waf eval`: releases of the CRS, folders of rule files, single rule files, in the order given.

use std::path::Path;

use veloflux_waf::{Files as _, MemFiles, Ruleset, Source, base_config};

use crate::crs::Tree;
use crate::failure::{Failure, Outcome};
use veloflux_control::files::read_bounded;

/// Longest rule or data file, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Most files of a folder, those that are not read included.
const MAX_FILES: usize = 10_000;

pub(super) fn compile(paths: &[std::path::PathBuf]) -> Outcome<Ruleset> {
    let mut files = MemFiles::new();
    let mut sources = vec![base_config()];
    for path in paths {
        if path.is_dir() && !path.join("rules").is_dir() {
            let folder = path.display().to_string();
            files = with_folder(files, path)?;
            let pattern = format!("{}/*.conf", folder.trim_end_matches('/'));
            let names = files.glob(&pattern, "").map_err(Failure::new)?;
            if names.is_empty() {
                return Err(Failure::new(format!(
                    "{folder}: there are no rules: no `rules/`, no .conf file"
                )));
            }
            for name in names {
                sources.push(source(&files, &name)?);
            }
        } else if path.is_dir() {
            let tree = Tree::read(path)?;
            files = tree.add_to(files);
            let all = veloflux_waf::crs::sources(&files, tree.root()).map_err(Failure::new)?;
            sources.extend(all.into_iter().filter(|source| source.name != base_config().name));
        } else {
            // Files that it names are looked for beside it.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            files = with_folder(files, folder.unwrap_or(Path::new(".")))?;
            let name = folder.map_or_else(|| Path::new(".").join(path), |_| path.clone());
            let content = read(path)?;
            let name = name.display().to_string();
            files = files.with(&name, content);
            sources.push(source(&files, &name)?);
        }
    }
    Ruleset::compile(&sources, &files).map_err(|errors| Failure::new(errors.to_string()))
}

/// Adds what rules may name in a folder: its `.conf` and `.data` files.
fn with_folder(mut files: MemFiles, folder: &Path) -> Outcome<MemFiles> {
    let unreadable = |error| Failure::file(folder, "read the folder", &error);
    for (number, entry) in std::fs::read_dir(folder).map_err(unreadable)?.enumerate() {
        if number >= MAX_FILES {
            return Err(Failure::new(format!("{}: more than {MAX_FILES} files", folder.display())));
        }
        let path = entry.map_err(unreadable)?.path();
        let wanted = path.extension().is_some_and(|ending| ending == "conf" || ending == "data");
        if wanted && path.is_file() {
            files = files.with(&path.display().to_string(), read(&path)?);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    read_bounded(path, MAX_FILE_BYTES).map_err(|error| Failure::file(path, "read it", &error))
}

fn source(files: &MemFiles, name: &str) -> Outcome<Source> {
    let content = files.read(name, "").map_err(Failure::new)?;
    let text = String::from_utf8(content).map_err(|_| Failure::new(format!("{name}: it is not UTF-8")))?;
    Ok(Source { name: name.to_owned(), text })
}
