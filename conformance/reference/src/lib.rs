//! Other people's rule engines, each a process of its own that judges requests when asked: [`Engine`].
//!
//! An engine is a program that is given files of SecLang and then speaks lines of JSON: one that says who it is
//! ([`Greeting`]), then for every line with an array of [`Request`]s one with an array of [`Answer`]s. `modsecurity.py`
//! says what its times hold and what ends a transaction; every engine does alike (`zentinel/` is the other). What the rules are, is the caller's:
//! [`configuration`] writes them down.

use std::path::{Path, PathBuf};

mod cpu;
mod engine;
mod traffic;
mod wire;

pub use cpu::thread_cpu_ns;
pub use engine::{Engine, EngineError};
pub use traffic::{Sample, traffic};
pub use wire::{Answer, Greeting, Judged, Request, bytes, text};

/// Where `make bench-waf` builds the other process, under the repository.
const ZENTINEL: &str = "target/zentinel/release/veloflux-zentinel";
/// Where `scripts/setup` puts the reference library, under the repository.
const ENVIRONMENT: &str = "target/reference/bin/python";

/// The reference library, libmodsecurity, with the rules of the files `configuration`.
///
/// An error says what is missing: where `scripts/setup` could not install the library, nothing can be compared.
pub fn modsecurity(configuration: &[&Path]) -> Result<Engine, EngineError> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("modsecurity.py");
    Engine::start(&modsecurity_environment()?, &[&[driver.as_path()], configuration].concat())
}

/// The Python that has the reference library, or an error that says what is missing.
pub fn modsecurity_environment() -> Result<PathBuf, EngineError> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(ENVIRONMENT);
    if python.exists() {
        return Ok(python);
    }
    Err(EngineError::Absent { what: format!("{ENVIRONMENT} with libmodsecurity; `make setup` installs it") })
}

/// zentinel-modsec, a rule engine in Rust, with the rules of the file `configuration`.
pub fn zentinel(configuration: &Path) -> Result<Engine, EngineError> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(ZENTINEL);
    if !program.exists() {
        return Err(EngineError::Absent { what: format!("{ZENTINEL}; `make bench-waf` builds it") });
    }
    Engine::start(&program, &[configuration])
}

/// SecLang that loads the CRS release in the folder `release`: `base` (engine, body access, limits: whatever it stands
/// on), its set-up, `settings` (what a user would set there), plugins and rules, in the order of its manual.
pub fn configuration(release: &Path, base: &str, settings: &str) -> std::io::Result<String> {
    let release = release.canonicalize()?;
    let include = |pattern: &str| format!("Include {}\n", release.join(pattern).display());
    let mut text = format!("{base}\n{}{settings}\n", include(set_up(&release)));
    for pattern in ["plugins/*-config.conf", "plugins/*-before.conf", "rules/*.conf", "plugins/*-after.conf"]
    {
        // A pattern that names no file is an error to some engines.
        if has(&release, pattern)? {
            text.push_str(&include(pattern));
        }
    }
    Ok(text)
}

/// SecLang that sets both paranoia levels, for the `settings` of [`configuration`].
pub fn paranoia(level: u8) -> String {
    format!(
        "SecAction \"id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level={level},\
         setvar:tx.detection_paranoia_level={level}\""
    )
}

fn set_up(release: &Path) -> &'static str {
    if release.join("crs-setup.conf").exists() { "crs-setup.conf" } else { "crs-setup.conf.example" }
}

fn has(release: &Path, pattern: &str) -> std::io::Result<bool> {
    let Some((folder, suffix)) = pattern.split_once("/*") else { return Ok(false) };
    let folder = release.join(folder);
    if !folder.is_dir() {
        return Ok(false);
    }
    for entry in std::fs::read_dir(folder)? {
        if entry?.file_name().to_string_lossy().ends_with(suffix) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_included_in_the_manuals_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["crs-setup.conf.example", "rules/A.conf", "plugins/x-after.conf", "plugins/x-config.conf"]
        {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let text = configuration(folder.path(), "BASE", &paranoia(3)).unwrap();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
        let order = [
            "BASE",
            "crs-setup.conf.example",
            "blocking_paranoia_level=3",
            "plugins/*-config",
            "rules/*.conf",
            "-after",
        ];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
        assert!(!text.contains("-before"), "{text}");
    }
}
