//! VeloFlux itself, from the build beside this program: one serving thread.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Contender, crs_folder};
use crate::machine::PROXY_CORE;
use crate::process::Server;
use crate::protection::{Protection, access};
use crate::scenario::Scenario;
use crate::workdir::{HOST, Workdir, free_port};

/// Our name in the figures.
pub(crate) const OURS: &str = "veloflux";

/// See the module.
pub(crate) struct VeloFlux {
    /// Its name in the figures.
    pub name: &'static str,
    /// What is on.
    pub protections: &'static [Protection],
}

impl VeloFlux {
    /// Without any protection, but for the firewall where the scenario has one.
    pub(crate) const PLAIN: Self = Self { name: OURS, protections: &[] };
}

impl Contender for VeloFlux {
    fn name(&self) -> &'static str {
        self.name
    }

    fn protections(&self) -> &'static [Protection] {
        self.protections
    }

    fn start(&self, scenario: &Scenario, upstream: SocketAddr, workdir: &Workdir) -> Result<Server, String> {
        let program = program()?;
        let port = free_port()?;
        if scenario.firewall {
            install(&program, &crs_folder()?, &workdir.path("veloflux-data"))?;
        }
        let file = |kind: &str| format!("{}-{}{kind}", self.name, scenario.name);
        let process = workdir.write(&file(".yaml"), process_file(scenario, self.protections, port))?;
        let state = workdir.write(&file("-state.yaml"), state_file(scenario, self.protections, upstream))?;
        let arguments =
            ["serve", "--process", &process.display().to_string(), "--state", &state.display().to_string()];
        let output = workdir.path(&file(".log"));
        Server::start(&program, &arguments, PROXY_CORE, port, output)
    }
}

fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("veloflux");
    if program.is_file() { Ok(program) } else { Err(format!("{} is not built", program.display())) }
}

fn install(program: &Path, crs: &Path, data: &Path) -> Result<(), String> {
    let mut install = Command::new(program);
    install.args(["crs", "install", "--from"]).arg(crs).arg("--data-dir").arg(data);
    let output = install.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("veloflux crs install: {said}")) }
}

fn process_file(scenario: &Scenario, protections: &[Protection], port: u16) -> String {
    let mut lines: Vec<_> = protections.iter().flat_map(|protection| protection.process).copied().collect();
    if scenario.protections {
        // The load generator says from where in the world its requests come.
        lines.push("trusted_proxies: [127.0.0.1]");
    }
    format!(
        "data_directory: veloflux-data
listeners: [{{address: '127.0.0.1:{port}', protocol: {protocol}}}]
threads: 1
logs:
  access: {{output: {access}}}
  events: {{output: 'off'}}
  process: {{level: warn}}
reload: {{watch: false}}
{lines}
",
        protocol = if scenario.tls { "https" } else { "http" },
        access = if scenario.log { "{file: veloflux-access.log}" } else { "'off'" },
        lines = lines.join("\n"),
    )
}

fn state_file(scenario: &Scenario, protections: &[Protection], upstream: SocketAddr) -> String {
    let firewall = if scenario.firewall { "{mode: block, paranoia_level: 1}" } else { "{mode: 'off'}" };
    let tenant = protections.iter().flat_map(|protection| protection.tenant);
    let mut lines: Vec<_> = tenant.map(|line| (*line).to_owned()).chain(access(protections)).collect();
    if !lines.iter().any(|line| line.starts_with("security_headers:")) {
        // The one protection that is on by default; the contenders beside it add no header either.
        lines.push("security_headers: {preset: 'off'}".to_owned());
    }
    let lines = lines.into_iter().fold(String::new(), |text, line| text + "    " + &line + "\n");
    format!(
        "tenants:
  - name: bench
    domains: [{{host: {HOST}, certificate: own}}]
    certificates: [{{name: own, cert_file: cert.pem, key_file: key.pem}}]
    pools:
      - {{name: upstream, backends: [{{address: '{upstream}'}}], max_idle_connections: 256}}
    routes:
      - {{name: all, forward: {{pool: upstream}}}}
    firewall: {firewall}
{lines}"
    )
}
