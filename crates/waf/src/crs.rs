//! The order in which the files of an OWASP Core Rule Set release are read.
//!
//! As its installation manual says: set-up, plugins' configuration, what plugins put before, the rules, what plugins
//! put after.

use crate::base::base_config;
use crate::files::Files;
use crate::ruleset::Source;

/// Names of the set-up file, the edited one first.
const SETUP: [&str; 2] = ["crs-setup.conf", "crs-setup.conf.example"];

/// All sources of the release unpacked in the folder `root`, our [`base_config`] first, ready to be compiled.
///
/// `root` holds `crs-setup.conf` (or its `.example`), `rules/` and perhaps `plugins/`. Names come from
/// [`Files::glob`]; a folder without set-up or without rules is an error.
pub fn sources(files: &dyn Files, root: &str) -> Result<Vec<Source>, String> {
    let from = format!("{}/", root.trim_end_matches('/'));
    let mut sources = vec![base_config()];
    sources.push(setup(files, &from)?);
    let mut add = |pattern: &str| -> Result<usize, String> {
        let names = files.glob(pattern, &from)?;
        for name in &names {
            sources.push(source(files, name)?);
        }
        Ok(names.len())
    };
    add("plugins/*-config.conf")?;
    add("plugins/*-before.conf")?;
    if add("rules/*.conf")? == 0 {
        return Err(format!("{from}rules holds no .conf file"));
    }
    add("plugins/*-after.conf")?;
    Ok(sources)
}

fn setup(files: &dyn Files, from: &str) -> Result<Source, String> {
    for name in SETUP {
        if let Some(found) = files.glob(name, from)?.first() {
            return source(files, found);
        }
    }
    Err(format!("{from} holds neither {} nor {}", SETUP[0], SETUP[1]))
}

fn source(files: &dyn Files, name: &str) -> Result<Source, String> {
    // The name comes from `glob` and is complete: nothing to resolve it against.
    let bytes = files.read(name, "")?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
    Ok(Source { name: name.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemFiles;

    #[test]
    fn reads_a_release_in_the_manuals_order() {
        let files = MemFiles::new()
            .with("crs/crs-setup.conf.example", "# setup")
            .with("crs/rules/B.conf", "")
            .with("crs/rules/A.conf", "")
            .with("crs/rules/A.conf.example", "")
            .with("crs/plugins/x-after.conf", "")
            .with("crs/plugins/x-before.conf", "")
            .with("crs/plugins/x-config.conf", "");
        let names: Vec<_> = sources(&files, "crs").unwrap().into_iter().map(|source| source.name).collect();
        assert_eq!(
            names[1..],
            [
                "crs/crs-setup.conf.example",
                "crs/plugins/x-config.conf",
                "crs/plugins/x-before.conf",
                "crs/rules/A.conf",
                "crs/rules/B.conf",
                "crs/plugins/x-after.conf"
            ]
        );
    }

    #[test]
    fn an_edited_setup_wins_and_a_missing_one_is_an_error() {
        let files = MemFiles::new().with("crs/rules/A.conf", "").with("crs/crs-setup.conf.example", "");
        let edited = files.clone().with("crs/crs-setup.conf", "");
        assert_eq!(sources(&edited, "crs/").unwrap()[1].name, "crs/crs-setup.conf");
        assert!(sources(&MemFiles::new().with("crs/rules/A.conf", ""), "crs").is_err());
        assert!(sources(&MemFiles::new().with("crs/crs-setup.conf", ""), "crs").is_err());
    }
}
