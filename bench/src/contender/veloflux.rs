//! VeloFlux itself, from the build beside this program.

use std::net::SocketAddr;

use super::Contender;
use crate::process::Server;
use crate::scenario::Scenario;
use crate::workdir::Workdir;

/// Our name in the figures.
pub(crate) const OURS: &str = "veloflux";

/// See the module.
pub(crate) struct VeloFlux;

impl Contender for VeloFlux {
    fn name(&self) -> &'static str {
        OURS
    }

    fn start(
        &self,
        _scenario: &Scenario,
        _upstream: SocketAddr,
        _workdir: &Workdir,
    ) -> Result<Server, String> {
        Err("not there yet".into())
    }
}
