//! The real binary, on free ports, with files of its own in a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::Identity;
use super::{Client, Client2, Response, soon, until};

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_veloflux");

/// An edge that is set up, and then started. Dropping it kills it.
pub(crate) struct Edge {
    folder: tempfile::TempDir,
    process: Vec<String>,
    metrics: &'static str,
    listeners: Vec<String>,
    state: Vec<String>,
    tenants: Vec<(String, String)>,
    open_files: Option<&'static str>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    addresses: Vec<SocketAddr>,
    metrics: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Edge {
    /// An edge with an `https`, an `http` and a `redirect` listener and no tenant yet.
    pub(crate) fn new() -> Self {
        let listeners = ["https", "http", "redirect"].map(|protocol| format!("protocol: {protocol}"));
        Self {
            folder: tempfile::tempdir().unwrap(),
            process: Vec::new(),
            metrics: "",
            listeners: listeners.into(),
            state: Vec::new(),
            tenants: Vec::new(),
            open_files: None,
            running: None,
        }
    }

    /// Adds a line to the process file.
    pub(crate) fn process(mut self, line: &str) -> Self {
        self.process.push(line.to_owned());
        self
    }

    /// Adds a key to the metrics listener.
    pub(crate) fn metrics_key(mut self, key: &'static str) -> Self {
        self.metrics = key;
        self
    }

    /// Adds a line to the state file, before the tenants.
    pub(crate) fn state(mut self, line: &str) -> Self {
        self.state.push(line.to_owned());
        self
    }

    /// Starts the binary with this `SOFT:HARD` limit of open files.
    pub(crate) fn open_files(mut self, limits: &'static str) -> Self {
        self.open_files = Some(limits);
        self
    }

    /// Adds a listener, whose address [`extra`](Self::extra) gives.
    pub(crate) fn listener(mut self, keys: &str) -> Self {
        self.listeners.push(keys.to_owned());
        self
    }

    /// Adds a tenant with one domain, its firewall off unless `rest` says otherwise.
    pub(crate) fn tenant(mut self, name: &str, host: &str, rest: &str) -> Self {
        self.set_tenant(name, &format!("domains: [{{host: '{host}'}}]\n{rest}"));
        self
    }

    /// Adds the tenant `acme` with the domain `acme.test` and a certificate for it.
    pub(crate) fn tls_tenant(mut self, rest: &str) -> Self {
        self.make_certificates(&["acme.test"]);
        let certificate = "{name: one, cert_file: certs/acme.test.pem, key_file: certs/acme.test.key}";
        self.set_tenant(
            "acme",
            &format!("domains: [{{host: acme.test}}]\ncertificates: [{certificate}]\n{rest}"),
        );
        self
    }

    /// Adds a tenant, or replaces one; takes effect with [`start`](Self::start) or [`write_state`](Self::write_state).
    pub(crate) fn set_tenant(&mut self, name: &str, rest: &str) {
        let off = if rest.contains("\nfirewall:") { "" } else { "firewall: {mode: off}\n" };
        let text = format!("name: {name}\n{rest}\n{off}");
        match self.tenants.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = text,
            None => self.tenants.push((name.to_owned(), text)),
        }
    }

    /// Makes a certificate `HOST.pem` with its key `HOST.key` for each host, under one development authority, in the
    /// folder `certs` beside the state file.
    pub(crate) fn certificates(self, hosts: &[&str]) -> Self {
        self.make_certificates(hosts);
        self
    }

    pub(crate) fn make_certificates(&self, hosts: &[&str]) {
        let mut command = Command::new(PROGRAM);
        command.arg("dev-ca").arg("--dir").arg(self.path("certs"));
        for host in hosts {
            command.args(["--host", host]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "dev-ca: {output:?}");
    }

    /// A file beside the process and state files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command of the binary with the data directory at its end.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Output {
        Command::new(PROGRAM).args(args).arg("--data-dir").arg(self.path("data")).output().unwrap()
    }

    /// What `waf top` prints, asked with these arguments besides the metrics listener's address.
    pub(crate) fn top(&self, args: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.args(["waf", "top", "--metrics", &self.running().metrics.to_string()]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the binary and waits until it is ready.
    pub(crate) async fn start(mut self) -> Self {
        self.write_state();
        let listeners = self.listeners.iter().map(|keys| format!("  - {{address: '127.0.0.1:0', {keys}}}\n"));
        let process = format!(
            "data_directory: data\nlisteners:\n{}metrics: {{address: '127.0.0.1:0', {}}}\nlogs:\n  \
             access: {{output: {{file: access.log}}}}\n  events: {{output: {{file: events.log}}}}\n{}\n",
            listeners.collect::<String>(),
            self.metrics,
            self.process.join("\n"),
        );
        std::fs::write(self.path("veloflux.yaml"), process).unwrap();
        let mut command = match self.open_files {
            None => Command::new(PROGRAM),
            Some(limits) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={limits}")).arg(PROGRAM);
                command
            }
        };
        let mut child = command
            .arg("serve")
            .arg("--process")
            .arg(self.path("veloflux.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Shown by the test runner when the test fails.
                eprintln!("edge: {line}");
                lines.lock().unwrap().push(line);
            }
        });
        let serving = until("the edge starts", || {
            let lines = said.lock().unwrap();
            assert!(child.try_wait().unwrap().is_none(), "the edge ended at once");
            lines.iter().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "serving").then_some(line)
            })
        })
        .await;
        let addresses = |key: &str| -> Vec<SocketAddr> {
            let text = serving[key].as_str().unwrap().trim_start_matches("Some(").trim_end_matches(')');
            text.trim_matches(['[', ']']).split(", ").map(|a| a.parse().unwrap()).collect()
        };
        self.running = Some(Running {
            child,
            addresses: addresses("addresses"),
            metrics: addresses("metrics")[0],
            said,
        });
        assert_eq!(self.ready().await, 200);
        self
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.running().addresses[0]
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running().addresses[1]
    }

    pub(crate) fn redirect(&self) -> SocketAddr {
        self.running().addresses[2]
    }

    /// The listeners that [`listener`](Self::listener) added, in order.
    pub(crate) fn extra(&self, n: usize) -> SocketAddr {
        self.running().addresses[3 + n]
    }

    /// Status of `/readyz`.
    pub(crate) async fn ready(&self) -> u16 {
        Client::plain(self.running().metrics).await.get("metrics", "/readyz").await.status
    }

    /// One GET on a connection of its own, without TLS.
    pub(crate) async fn get(&self, host: &str, target: &str) -> Response {
        Client::plain(self.http()).await.get(host, target).await
    }

    /// A connection over TLS, HTTP/1.1, trusting the development authority.
    pub(crate) async fn tls(&self, sni: &str) -> Client {
        Client::over(self.handshake(sni, &["http/1.1"]).await.unwrap())
    }

    /// A connection over TLS, HTTP/2.
    pub(crate) async fn h2(&self, sni: &str) -> Client2 {
        Client2::over(self.handshake(sni, &["h2"]).await.unwrap()).await
    }

    /// A TLS handshake with what a usual client offers.
    pub(crate) async fn handshake(&self, sni: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        self.handshake_as(sni, alpn, rustls::ALL_VERSIONS, true).await
    }

    /// A TLS handshake on a connection that is there already.
    pub(crate) async fn handshake_over(
        &self,
        tcp: TcpStream,
        sni: &str,
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        handshake(self.client_tls(alpn, rustls::ALL_VERSIONS), tcp, sni).await
    }

    /// A TLS handshake.
    pub(crate) async fn handshake_as(
        &self,
        sni: &str,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
        send_sni: bool,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.client_tls(alpn, versions);
        config.enable_sni = send_sni;
        self.connect(config, sni).await
    }

    /// A TLS handshake on a connection of its own.
    pub(crate) async fn connect(
        &self,
        config: rustls::ClientConfig,
        sni: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        handshake(config, soon("connect", TcpStream::connect(self.https())).await?, sni).await
    }

    /// A client that trusts the development authority and shows nothing.
    pub(crate) fn client_tls(
        &self,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        self.client_tls_as(alpn, versions, None)
    }

    /// The same, showing this certificate where it is asked for one.
    pub(crate) fn client_tls_as(
        &self,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
        client: Option<&Identity>,
    ) -> rustls::ClientConfig {
        client_tls(self.certificate("ca"), alpn, versions, client)
    }

    /// A TLS handshake of a client that trusts another authority.
    pub(crate) async fn handshake_trusting(
        &self,
        root: &CertificateDer<'static>,
        sni: &str,
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = soon("connect", TcpStream::connect(self.https())).await?;
        handshake(client_tls(root.clone(), alpn, rustls::ALL_VERSIONS, None), tcp, sni).await
    }

    /// A certificate of the folder `certs`.
    pub(crate) fn certificate(&self, stem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("certs/{stem}.pem"))).unwrap()
    }

    /// TLS for a backend, with a certificate of the folder `certs`.
    pub(crate) fn backend_tls(&self, stem: &str) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = self.path(&format!("certs/{stem}.key"));
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(key).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate(stem)], key);
        Arc::new(config.unwrap())
    }

    /// Writes the tenants as they are set now into the state file, at once.
    pub(crate) fn write_state(&self) {
        let tenants = self.tenants.iter().map(|(_, text)| {
            let lines = text.lines().filter(|line| !line.is_empty());
            let lines: Vec<_> = lines.map(|line| format!("    {line}\n")).collect();
            format!("  -\n{}", lines.concat())
        });
        let text = match tenants.collect::<String>() {
            none if none.is_empty() => "tenants: []\n".to_owned(),
            tenants => format!("tenants:\n{tenants}"),
        };
        self.write_raw_state(&format!("{}\n{text}", self.state.join("\n")));
    }

    /// Writes any text as state file, at once.
    pub(crate) fn write_raw_state(&self, text: &str) {
        let new = self.path("state.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path("state.yaml")).unwrap();
    }

    /// Writes the state and has the edge take it in.
    pub(crate) async fn reload(&self) {
        let before = self.count_said("reloaded");
        self.write_state();
        self.signal(libc::SIGHUP);
        until("the reload", || (self.count_said("reloaded") > before).then_some(())).await;
    }

    /// The process's memory that is in use, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running().child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Time that each serving thread has spent on a core, in nanoseconds.
    pub(crate) fn thread_times_ns(&self) -> Vec<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.running().child.id())).unwrap();
        let mut times: Vec<(String, u64)> = tasks
            .map(|task| task.unwrap().path())
            .map(|task| {
                let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap();
                let spent = read("schedstat").split(' ').next().unwrap().parse().unwrap();
                (read("comm").trim().to_owned(), spent)
            })
            .filter(|(name, _)| name.strip_prefix("edge-").is_some_and(|n| n.parse::<u32>().is_ok()))
            .collect();
        times.sort();
        times.into_iter().map(|(_, spent)| spent).collect()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: i32) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.running().child.id().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.running.as_mut().unwrap().child;
        until("the edge ends", || child.try_wait().unwrap()).await
    }

    /// How often the process has said `message` in its own log.
    pub(crate) fn count_said(&self, message: &str) -> usize {
        self.running().said.lock().unwrap().iter().filter(|line| line.contains(message)).count()
    }

    /// Waits for a line of the process's own log that holds `text`.
    pub(crate) async fn said(&self, text: &str) -> Value {
        until(&format!("the edge says {text:?}"), || {
            let lines = self.running().said.lock().unwrap();
            lines.iter().find(|line| line.contains(text)).map(|line| serde_json::from_str(line).unwrap())
        })
        .await
    }

    /// Waits for the access log's entry of a request.
    pub(crate) async fn access(&self, request_id: &str) -> Value {
        log_entry(&self.path("access.log"), request_id).await
    }

    /// Waits for the event log's entry of a request.
    pub(crate) async fn event(&self, request_id: &str) -> Value {
        log_entry(&self.path("events.log"), request_id).await
    }

    /// Waits for an entry of a kind in the event log that is as wanted. What two connections caused may be written in
    /// either order, so a test describes the entry it means.
    pub(crate) async fn event_where(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let log = self.path("events.log");
        let found = || entries(&log).into_iter().find(|entry| entry["log"] == kind && wanted(entry));
        until(&format!("an event {kind}"), found).await
    }

    /// Every entry of the access log so far.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        entries(&self.path("access.log"))
    }

    /// What `/metrics` shows.
    pub(crate) async fn metrics(&self) -> String {
        Client::plain(self.running().metrics).await.get("metrics", "/metrics").await.text().to_owned()
    }

    /// The value of one line of `/metrics`.
    pub(crate) async fn metric(&self, line: &str) -> Option<f64> {
        let metrics = self.metrics().await;
        metrics.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a line of `/metrics` has a value.
    pub(crate) async fn metric_becomes(&self, line: &str, value: f64) {
        soon(&format!("{line} becomes {value}"), async {
            while self.metric(line).await != Some(value) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// A client that trusts `root`, and shows a certificate of its own if it has one.
pub(super) fn client_tls(
    root: CertificateDer<'static>,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
    client: Option<&Identity>,
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        Some(client) => config.with_client_auth_cert(client.chain.clone(), client.key()).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(super) async fn handshake(
    config: rustls::ClientConfig,
    tcp: TcpStream,
    sni: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

fn entries(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    // The last line may still be being written.
    text.split_inclusive('\n')
        .filter(|l| l.ends_with('\n'))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

async fn log_entry(log: &Path, request_id: &str) -> Value {
    until(&format!("an entry of {request_id} in {}", log.display()), || {
        entries(log).into_iter().find(|entry| entry["request_id"] == request_id)
    })
    .await
}
