//! What the engine costs: the requests that are judged ([`corpus`]), our engine in this process ([`Ours`]), and where
//! the data lie. `veloflux-bench-waf` measures time beside other engines, `veloflux-instructions` counts instructions.

use std::path::{Path, PathBuf};

pub mod corpus;
mod ours;

pub use ours::{Level, Ours, Raw};

/// The class of everything that must be refused; all other classes must pass.
pub const ATTACK: &str = "attack";

/// A folder of the data beside the repository (`VELOFLUX_SHARED` moves them), or a sentence that says it is not there.
pub fn data(name: &str) -> Result<PathBuf, String> {
    let shared = std::env::var_os("VELOFLUX_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let found = shared.join("data").join(name);
    found.canonicalize().map_err(|_| format!("data/{name} is not on this machine"))
}
