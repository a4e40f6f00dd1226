//! `veloflux crs`: rule sets that came from elsewhere, side by side in the data directory.

mod store;
mod tree;

pub(crate) use store::Store;
pub(crate) use tree::Tree;

use std::path::Path;

use veloflux_model::value::Version;
use veloflux_waf::Ruleset;

use crate::cli::{Crs, CrsCommand};
use crate::failure::{Failure, Outcome};

pub(crate) fn run(args: &Crs) -> Outcome {
    let store = Store::in_data_directory(&args.data_dir);
    match &args.command {
        CrsCommand::Install { from, name } => {
            let installed = install(&store, from, name.as_ref())?;
            println!("{installed}");
        }
        CrsCommand::List => {
            let active = store.active()?;
            for version in store.versions()? {
                let mark = if active.as_ref() == Some(&version) { '*' } else { ' ' };
                println!("{mark} {version}");
            }
        }
        CrsCommand::Activate { version } => {
            if !store.versions()?.contains(version) {
                return Err(Failure::new(format!(
                    "the rule set {version} is not installed; see `veloflux crs list`"
                )));
            }
            store.activate(version)?;
            println!("{version} is active");
        }
    }
    Ok(())
}

/// Installs and activates what lies at `from`; gives one line that says what was done.
pub(crate) fn install(store: &Store, from: &Path, name: Option<&Version>) -> Outcome<String> {
    let tree = Tree::read(from)?;
    let ruleset = tree.compile().map_err(|errors| {
        Failure::new(format!(
            "{errors}\n{}: the rule set does not compile and is not installed",
            from.display()
        ))
    })?;
    let version = match name {
        Some(name) => name.clone(),
        None => stated_version(&ruleset).ok_or_else(|| {
            Failure::new(format!(
                "{}: the rule set does not state its version; give one with --name",
                from.display()
            ))
        })?,
    };
    let fresh = store.install(&tree, &version)?;
    store.activate(&version)?;
    let done = if fresh { "installed" } else { "was installed already" };
    Ok(format!("{version} {done} ({} rules) and is active", ruleset.rule_count()))
}

/// The version in a component signature such as `OWASP_CRS/4.28.0`.
fn stated_version(ruleset: &Ruleset) -> Option<Version> {
    ruleset
        .component_signatures()
        .iter()
        .find_map(|signature| signature.strip_prefix("OWASP_CRS/")?.parse().ok())
}
