//! The real `veloflux serve` on a free loopback port, with one tenant in front of the reflecting backend.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::backend;

/// How long the edge may take until it accepts connections; reading its rule set is part of it.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long it may take to drain.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What to serve.
#[derive(Debug)]
pub struct Setting<'a> {
    /// Names of the one tenant.
    pub hosts: &'a [String],
    /// A CRS release, installed and run at paranoia level 4 in detection mode; `None`: the firewall is off.
    pub rules: Option<&'a Path>,
    /// Whether there is a TLS listener, too, with a certificate of a private authority, `certs/ca.pem`, for the first name
    /// and for clients that ask for none.
    pub tls: bool,
}

/// A running edge; dropping it kills it.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

/// What an edge wrote down until it ended, as lines of JSON.
#[derive(Debug)]
pub struct Logs {
    /// One line per request.
    pub access: String,
    /// One line per firewall event.
    pub events: String,
}

impl Edge {
    /// Starts backend and edge and waits until the edge accepts connections.
    pub fn start(setting: &Setting<'_>) -> Result<Self, String> {
        let program = program()?;
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        let backend = backend::start().map_err(|error| format!("backend: {error}"))?;
        let address = free_address()?;
        let tls_address = setting.tls.then(free_address).transpose()?;
        let write = |name: &str, content: &str| -> Result<PathBuf, String> {
            let path = folder.path().join(name);
            std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path)
        };
        if let Some(rules) = setting.rules {
            install(&program, rules, &folder.path().join("data"))?;
        }
        if let Some(host) = setting.hosts.first().filter(|_| setting.tls) {
            certify(&program, host, &folder.path().join("certs"))?;
        }
        let process = write("veloflux.yaml", &process_file(address, tls_address))?;
        let state = write("state.yaml", &state_file(setting, backend))?;
        let output = File::create(folder.path().join("output")).map_err(|error| error.to_string())?;
        let child = Command::new(&program)
            .arg("serve")
            .arg("--process")
            .arg(process)
            .arg("--state")
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut edge = Self { child, folder, address, tls_address };
        edge.wait_until_ready()
            .map_err(|error| format!("veloflux serve {error}\n{}", edge.read("output")))?;
        Ok(edge)
    }

    /// Where it listens, without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens with TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// A file beside its process and state files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Drains the edge, which writes all its logs out, and reads them.
    pub fn stop(mut self) -> Result<Logs, String> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        told.map_err(|error| format!("kill: {error}"))?;
        let status = self.wait(STOP_LIMIT)?.ok_or("does not end when told to")?;
        if !status.success() {
            return Err(format!("veloflux serve ended with {status}\n{}", self.read("output")));
        }
        Ok(Logs { access: self.read("access.log"), events: self.read("events.log") })
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.wait(Duration::ZERO)? {
                return Err(format!("ended at once, {status}"));
            }
            if TcpStream::connect_timeout(&self.address, POLL).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("does not listen after {} s", START_LIMIT.as_secs()))
    }

    /// How the process ended; `None` if it did not within `limit`.
    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, String> {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || start.elapsed() >= limit {
                return Ok(ended);
            }
            std::thread::sleep(POLL);
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program built beside this one.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("veloflux");
    if program.is_file() { Ok(program) } else { Err(format!("{} is not built", program.display())) }
}

fn install(program: &Path, rules: &Path, data: &Path) -> Result<(), String> {
    succeed(Command::new(program).args(["crs", "install", "--from"]).arg(rules).arg("--data-dir").arg(data))
}

/// Makes a certificate for `host`, and its authority.
fn certify(program: &Path, host: &str, folder: &Path) -> Result<(), String> {
    succeed(Command::new(program).args(["dev-ca", "--host", host, "--dir"]).arg(folder))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map_err(|error| error.to_string())
}

fn process_file(address: SocketAddr, tls: Option<SocketAddr>) -> String {
    let tls = tls.map(|address| format!(", {{address: '{address}', protocol: https}}")).unwrap_or_default();
    format!(
        "data_directory: data
listeners: [{{address: '{address}', protocol: http}}{tls}]
threads: 2
logs:
  access: {{output: {{file: access.log}}}}
  events: {{output: {{file: events.log}}}}
reload: {{watch: false}}
"
    )
}

fn state_file(setting: &Setting<'_>, backend: SocketAddr) -> String {
    let hosts: Vec<_> = setting.hosts.iter().map(|host| format!("{{host: '{host}'}}")).collect();
    let hosts = hosts.join(", ");
    let firewall = match setting.rules {
        Some(_) => "{mode: detect, paranoia_level: 4, inbound_threshold: 5, outbound_threshold: 4}",
        None => "{mode: 'off'}",
    };
    let (operator, certificates) = match setting.hosts.first().filter(|_| setting.tls) {
        Some(host) => {
            let pair = format!("cert_file: certs/{host}.pem, key_file: certs/{host}.key");
            let hsts = "tls: {hsts: {max_age: 365d, include_subdomains: true}}";
            (
                format!("tls: {{default_certificate: {{{pair}}}}}\n"),
                format!("    certificates: [{{name: one, {pair}}}]\n    {hsts}\n"),
            )
        }
        None => (String::new(), String::new()),
    };
    format!(
        "{operator}tenants:
  - name: suite
    domains: [{hosts}]
{certificates}    pools:
      - {{name: reflect, backends: [{{address: '{backend}'}}]}}
    routes:
      - {{name: all, forward: {{pool: reflect}}}}
    firewall: {firewall}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_names_every_host_once_and_the_backend() {
        let hosts = ["localhost".to_owned(), "[::1]".to_owned()];
        let setting = Setting { hosts: &hosts, rules: None, tls: false };
        let state: serde_json::Value =
            serde_saphyr::from_str(&state_file(&setting, ([127, 0, 0, 1], 81).into())).unwrap();
        let tenant = &state["tenants"][0];
        assert_eq!(tenant["domains"][1]["host"], "[::1]");
        assert_eq!(tenant["pools"][0]["backends"][0]["address"], "127.0.0.1:81");
        assert_eq!(tenant["firewall"]["mode"], "off");
    }
}
