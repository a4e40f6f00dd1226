//! The proxies that are measured, each set up as its documentation recommends for the work at hand.

mod haproxy;
mod nginx;
mod veloflux;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::Server;
use crate::protection::{PROTECTIONS, Protection};
use crate::scenario::Scenario;
use crate::workdir::Workdir;

pub(crate) use nginx::NGINX;
pub(crate) use veloflux::OURS;
use veloflux::VeloFlux;

/// VeloFlux with all protections on.
pub(crate) const ALL: &str = "all";

/// A proxy that can be put in front of the upstream.
pub(crate) trait Contender {
    /// Its name in the figures.
    fn name(&self) -> &'static str;

    /// The protections that it has on.
    fn protections(&self) -> &'static [Protection] {
        &[]
    }

    /// Starts it for `scenario` with one thread on its core.
    fn start(&self, scenario: &Scenario, upstream: SocketAddr, workdir: &Workdir) -> Result<Server, String>;
}

/// Who does the scenario's work; haproxy has no CRS.
pub(crate) fn contenders(scenario: &Scenario) -> Vec<Box<dyn Contender>> {
    if scenario.protections {
        let each =
            PROTECTIONS.iter().map(|one| VeloFlux { name: one.name, protections: std::slice::from_ref(one) });
        let all = VeloFlux { name: ALL, protections: PROTECTIONS };
        let with = each.chain([all]).map(|contender| Box::new(contender) as Box<dyn Contender>);
        std::iter::once(Box::new(VeloFlux::PLAIN) as Box<dyn Contender>).chain(with).collect()
    } else if scenario.firewall {
        vec![Box::new(VeloFlux::PLAIN), Box::new(nginx::Nginx::with_modsecurity())]
    } else {
        vec![Box::new(VeloFlux::PLAIN), Box::new(nginx::Nginx::plain()), Box::new(haproxy::Haproxy)]
    }
}

/// The CRS that every contender with a firewall runs: the data beside the repository, else Debian's package.
fn crs_folder() -> Result<PathBuf, String> {
    let shared = std::env::var_os("VELOFLUX_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let places = [shared.join("data/crs-4.28.0"), PathBuf::from("/usr/share/modsecurity-crs")];
    let found = places.into_iter().find(|place| place.join("rules").is_dir());
    found.ok_or_else(|| "no CRS on this machine".to_owned())
}

/// The set-up file that belongs to the CRS in `crs`.
fn crs_setup(crs: &Path) -> Result<PathBuf, String> {
    let places = [crs.join("crs-setup.conf.example"), PathBuf::from("/etc/modsecurity/crs/crs-setup.conf")];
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| format!("no set-up file for {}", crs.display()))
}
