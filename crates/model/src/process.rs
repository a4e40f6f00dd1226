//! The process document, `veloflux.yaml`: what one node listens on, how much it may use, where its logs go.
//!
//! It is read once, at start; tenants live in the [desired state](crate::desired), which is reloaded.

mod acme;

pub use acme::{
    Accounts, Acme, AcmeDirectory, AcmeLimits, ChallengeKind, Dns, DnsProvider, Exec, ExternalAccount,
    KeyType, Rfc2136, TsigAlgorithm, Webhook,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Access;
use crate::located::{At, Position};
use crate::problem::Problem;
use crate::value::{ByteSize, Cidr, Count, FilePath, HeaderName, ListenAddress, Period};
use crate::yaml::Document;

/// Process file: what one node listens on, its hard limits and its logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Folder for what the process keeps: installed rule sets, accounts, certificates. Relative paths count from this file's folder.
    #[serde(default = "default_data_directory")]
    pub data_directory: FilePath,
    /// The state file that is served. Relative paths count from this file's folder.
    #[serde(default = "default_state")]
    pub state: FilePath,
    /// Where clients connect.
    #[schemars(length(min = 1, max = 64))]
    pub listeners: Vec<Listener>,
    /// Where Prometheus scrapes `/metrics`; left out: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Serving threads; 0: one per core.
    #[serde(default = "default_threads")]
    pub threads: Count<0, 256>,
    /// Proxies in front of this node, whose word about the client's address counts.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// Geographic databases, by which tenants' rules and pools know where a client is. Left out: they may not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geo: Option<Geo>,
    /// Hard limits of the whole process.
    #[serde(default)]
    pub limits: Limits,
    /// Logs.
    #[serde(default)]
    pub logs: Logs,
    /// When the state file is read again.
    #[serde(default)]
    pub reload: Reload,
    /// File with the key that everything secret in the data directory is encrypted under; made at the first start.
    /// The environment variable `VELOFLUX_MASTER_KEY` (32 bytes in base64) goes before it. Left out: `master.key` in
    /// the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<FilePath>,
    /// Certificates by ACME, for domains that say `certificate: auto`; left out: none are ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
}

fn default_data_directory() -> FilePath {
    FilePath::known("/var/lib/veloflux")
}

fn default_state() -> FilePath {
    FilePath::known("state.yaml")
}

fn default_threads() -> Count<0, 256> {
    Count::of::<0>()
}

/// One address that clients connect to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port.
    pub address: At<ListenAddress>,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// Whether connections begin with a PROXY protocol header.
    #[serde(default)]
    pub proxy_protocol: At<ProxyProtocol>,
    /// With `protocol: redirect`, the port that redirects lead to: where clients reach the `https` listener. Default:
    /// 443, which the redirect leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<At<Count<1, 65_535>>>,
}

/// The port that redirects lead to where a listener names none.
pub const DEFAULT_HTTPS_PORT: u16 = 443;

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListenerProtocol {
    /// TLS with HTTP/1.1 and HTTP/2.
    Https,
    /// HTTP without TLS.
    Http,
    /// HTTP without TLS that answers every request with a redirect to `https://`.
    Redirect,
}

/// Whether a listener's connections begin with a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// No header.
    #[default]
    Off,
    /// Version 1 or 2, demanded of every peer in `trusted_proxies`; other peers are refused.
    V1V2,
}

/// The metrics listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// IP address and port; it speaks plain HTTP and belongs on a private network.
    pub address: At<ListenAddress>,
    /// Whose connections are answered; others get 403. Paths of files count from this file's folder. Left out:
    /// everybody's.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub access: Access,
}

/// Geographic databases in MaxMind's format (`.mmdb`), of countries, cities or autonomous systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Geo {
    /// The files, which are read again when they change. What the first does not know of an address, the next may.
    #[schemars(length(min = 1, max = 4))]
    pub databases: Vec<At<FilePath>>,
    /// Age from which on a database is warned of, counted from when it was built.
    #[serde(default = "default_max_age")]
    pub max_age: Period<3_600_000, 31_536_000_000>,
}

fn default_max_age() -> Period<3_600_000, 31_536_000_000> {
    Period::of::<3_024_000_000>()
}

/// Hard limits of the whole process. What exceeds one is refused, never served partly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections open at once, over all listeners; more are closed at accept.
    pub max_connections: Count<1, 1_000_000>,
    /// Client connections of one address, IPv6 addresses by their first 64 bits; more are closed at accept. Trusted
    /// proxies may have any number. Left out: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_client: Option<Count<1, 1_000_000>>,
    /// Size of a request's head.
    pub max_header_bytes: ByteSize<1_024, 1_048_576>,
    /// Header fields in a request.
    pub max_headers: Count<8, 1_000>,
    /// From a connection's (or the next request's) first byte to its head complete.
    pub header_timeout: Period<100, 600_000>,
    /// How long a connection may wait for its next request.
    pub keep_alive_timeout: Period<100, 3_600_000>,
    /// How long requests in flight may take to finish once the process was told to stop.
    pub drain_timeout: Period<0, 3_600_000>,
    /// The most that a tenant may set as its firewall's `work_budget`, in per cent.
    pub max_work_budget: Count<1, 1_000>,
    /// Most memory for what rate limits remember of clients and other keys; it is taken as it is needed.
    pub rate_limit_memory: ByteSize<1_048_576, 2_147_483_648>,
    /// Limits of HTTP/2 connections.
    pub http2: Http2Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: Count::of::<10_000>(),
            max_connections_per_client: None,
            max_header_bytes: ByteSize::of::<65_536>(),
            max_headers: Count::of::<100>(),
            header_timeout: Period::of::<10_000>(),
            keep_alive_timeout: Period::of::<75_000>(),
            drain_timeout: Period::of::<30_000>(),
            max_work_budget: Count::of::<400>(),
            rate_limit_memory: ByteSize::of::<268_435_456>(),
            http2: Http2Limits::default(),
        }
    }
}

/// Limits of HTTP/2 connections (RFC 9113 section 6.5.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Limits {
    /// Streams open at once on one connection.
    pub max_concurrent_streams: Count<1, 1_000>,
    /// Streams reset by the peer, or refused, before the connection is closed (rapid reset, CVE-2023-44487).
    pub max_reset_streams: Count<1, 10_000>,
    /// Flow-control window of one stream: what a client may send before it is read.
    pub stream_window: ByteSize<65_535, 16_777_216>,
    /// Flow-control window of one connection.
    pub connection_window: ByteSize<65_535, 67_108_864>,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            max_concurrent_streams: Count::of::<128>(),
            max_reset_streams: Count::of::<64>(),
            stream_window: ByteSize::of::<262_144>(),
            connection_window: ByteSize::of::<1_048_576>(),
        }
    }
}

/// Logs: one line of JSON per request, per firewall event; and the process's own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// One line per request.
    pub access: Log,
    /// One line per request in which firewall rules matched.
    pub events: Log,
    /// What the process itself has to say, on standard error.
    pub process: ProcessLog,
    /// Words beside the built-in ones (such as `password`, `token`, `session`): in the access and event log, values
    /// of parameters, headers and cookies whose name holds one are masked.
    #[schemars(length(max = 256))]
    pub mask: Vec<HeaderName>,
}

/// One JSON-lines log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Where the lines go.
    pub output: Output,
}

/// Where a log's lines go: `stdout`, `off` or `file: PATH`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to this file, which is opened anew on SIGUSR1. A relative path counts from this file's folder.
    File(FilePath),
}

/// The process's own log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessLog {
    /// From which level on.
    pub level: Level,
    /// In which form.
    pub format: LogFormat,
}

/// Levels of the process's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What needs a person.
    Error,
    /// What a person should know.
    Warn,
    /// What changes: start, reload, drain.
    #[default]
    Info,
    /// How it is decided.
    Debug,
    /// Everything.
    Trace,
}

/// Forms of the process's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// When the state file is read again, besides SIGHUP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// Whether a changed state file, or a file that it names, is taken in without a signal.
    pub watch: bool,
}

impl Default for Reload {
    fn default() -> Self {
        Self { watch: true }
    }
}

/// Most geographic databases.
const MAX_DATABASES: usize = 4;

/// Most listeners of one process.
const MAX_LISTENERS: usize = 64;

impl Document for Process {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.listeners.is_empty() || self.listeners.len() > MAX_LISTENERS {
            problems.push(
                Problem::new(Position::default(), format!("there are {} listeners", self.listeners.len()))
                    .hint(format!("list 1 to {MAX_LISTENERS} under `listeners`")),
            );
        }
        let mut seen = std::collections::HashMap::new();
        let addresses = self.listeners.iter().map(|listener| &listener.address);
        for address in addresses.chain(self.metrics.iter().map(|metrics| &metrics.address)) {
            // Port 0 asks the system for any free port, so two of them differ.
            if address.socket().port() == 0 {
                continue;
            }
            if let Some(line) = seen.insert(address.socket(), address.position().line) {
                problems.push(
                    Problem::new(address.position(), format!("{} is listened on twice", address.value()))
                        .hint(format!("it was taken on line {line}")),
                );
            }
        }
        if let Some(access) = self.metrics.as_ref().map(|metrics| &metrics.access) {
            problems.extend(access.problems(Position::default()));
            if let Some(inherit) = &access.inherit {
                problems.push(
                    Problem::new(inherit.position(), "the metrics listener inherits no rules")
                        .hint("remove `inherit`; it is for routes"),
                );
            }
        }
        if let Some(databases) = self.geo.as_ref().map(|geo| geo.databases.len())
            && !(1..=MAX_DATABASES).contains(&databases)
        {
            problems.push(
                Problem::new(Position::default(), format!("there are {databases} geographic databases"))
                    .hint(format!("list 1 to {MAX_DATABASES} under `geo.databases`, or remove `geo`")),
            );
        }
        for listener in &self.listeners {
            if let Some(port) = &listener.https_port
                && listener.protocol != ListenerProtocol::Redirect
            {
                problems.push(
                    Problem::new(
                        port.position(),
                        "only a listener with `protocol: redirect` has an `https_port`",
                    )
                    .hint("remove it, or set it on the listener that redirects to this one"),
                );
            }
            if *listener.proxy_protocol.value() == ProxyProtocol::V1V2 && self.trusted_proxies.is_empty() {
                problems.push(
                    Problem::new(
                        listener.proxy_protocol.position(),
                        "nobody may send a PROXY protocol header here",
                    )
                    .hint("list the proxies' addresses under `trusted_proxies`"),
                );
            }
        }
        problems.extend(self.acme.iter().flat_map(Acme::problems));
        problems
    }
}
