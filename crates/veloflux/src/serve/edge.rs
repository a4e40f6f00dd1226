//! From the process file to the data plane's configuration.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use veloflux_model::Process;
use veloflux_model::process::{DEFAULT_HTTPS_PORT, ListenerProtocol, Log, Output, ProxyProtocol};
use veloflux_model::value::Count;
use veloflux_model::value::HeaderName;
use veloflux_proxy::client_addr::TrustedProxies;
use veloflux_proxy::cookie::CookieKey;
use veloflux_proxy::record::{Masker, Sink, Target};
use veloflux_proxy::{EdgeConfig, Http2Limits, Listener};
use veloflux_snapshot::managed::Managed;

use crate::failure::{Failure, Outcome};
use crate::load::ProcessFile;
use veloflux_control::files::{SECRET, read_bounded, write_new};

/// File in the data directory with the key of stickiness cookies. Nodes that share clients share its content.
const COOKIE_KEY_FILE: &str = "cookies.key";

/// Length of that key, in bytes.
const COOKIE_KEY_BYTES: usize = 32;

/// The edge's two logs, for whoever opens them anew and writes out what is left.
pub(super) struct Logs {
    access: Sink,
    events: Sink,
}

/// How long the last lines may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

impl Logs {
    /// Opens log files anew, for whoever moved them away.
    pub(super) fn reopen(&self) {
        let reopened = self.access.reopen() & self.events.reopen();
        if reopened {
            tracing::info!("log files opened anew");
        } else {
            tracing::warn!("a log's queue is full and its file was not opened anew; try again");
        }
    }

    /// Writes out what is queued.
    pub(super) fn flush(&self) {
        if !(self.access.flush(FLUSH_TIMEOUT) & self.events.flush(FLUSH_TIMEOUT)) {
            tracing::warn!("the last log lines could not be written in time");
        }
    }
}

/// The configuration that `file` asks for, and the logs in it. Opens log files, and makes the stickiness key if
/// there is none yet.
pub(super) fn config(file: &ProcessFile, managed: Arc<Managed>) -> Outcome<(EdgeConfig, Logs)> {
    let process = &file.process;
    let logs = Logs {
        access: sink(file, "access", &process.logs.access)?,
        events: sink(file, "events", &process.logs.events)?,
    };
    let listeners = process.listeners.iter().map(|listener| Listener {
        address: listener.address.socket(),
        protocol: match listener.protocol {
            ListenerProtocol::Https => veloflux_proxy::ListenerProtocol::Https,
            ListenerProtocol::Http => veloflux_proxy::ListenerProtocol::Http,
            ListenerProtocol::Redirect => veloflux_proxy::ListenerProtocol::Redirect {
                https_port: listener
                    .https_port
                    .as_ref()
                    .map_or(DEFAULT_HTTPS_PORT, |port| port.value().get_u16()),
            },
        },
        proxy_protocol: *listener.proxy_protocol.value() == ProxyProtocol::V1V2,
    });
    let limits = &process.limits;
    let config = EdgeConfig {
        listeners: listeners.collect(),
        metrics: process.metrics.as_ref().map(|metrics| metrics.address.socket()),
        threads: threads(process.threads.get_usize()),
        trusted_proxies: TrustedProxies::new(
            process.trusted_proxies.iter().map(|range| range.network()).collect(),
        ),
        max_connections: limits.max_connections.get_usize(),
        max_connections_per_client: limits.max_connections_per_client.map(Count::get_u32),
        max_header_bytes: limits.max_header_bytes.bytes_usize(),
        max_headers: limits.max_headers.get_usize(),
        header_timeout: limits.header_timeout.duration(),
        keep_alive_timeout: limits.keep_alive_timeout.duration(),
        rate_limit_memory_bytes: limits.rate_limit_memory.bytes_usize(),
        http2: Http2Limits {
            max_concurrent_streams: limits.http2.max_concurrent_streams.get_u32(),
            max_reset_streams: limits.http2.max_reset_streams.get_usize(),
            stream_window_bytes: limits.http2.stream_window.bytes_u32(),
            connection_window_bytes: limits.http2.connection_window.bytes_u32(),
        },
        cookie_key: cookie_key(&file.data_directory())?,
        access_log: logs.access.clone(),
        event_log: logs.events.clone(),
        masker: masker(process)?,
        managed,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok((config, logs))
}

/// 0 stands for one thread per core that this process may use.
fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// What both logs mask; fails on words that would mask nearly everything.
pub(crate) fn masker(process: &Process) -> Outcome<Masker> {
    let words = process.logs.mask.iter().map(HeaderName::as_str);
    Masker::new(words).map_err(|error| Failure::new(format!("`logs.mask`: {error}")))
}

fn sink(file: &ProcessFile, name: &str, log: &Log) -> Outcome<Sink> {
    let target = match &log.output {
        Output::Stdout => Target::Stdout,
        Output::Off => Target::Off,
        Output::File(path) => Target::File(file.resolve(path.as_str())),
    };
    Sink::start(target.clone())
        .map_err(|error| Failure::new(format!("the log `{name}` ({target:?}) cannot be opened: {error}")))
}

fn cookie_key(data_directory: &Path) -> Outcome<CookieKey> {
    let path = data_directory.join(COOKIE_KEY_FILE);
    let content = match read_bounded(&path, COOKIE_KEY_BYTES as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0_u8; COOKIE_KEY_BYTES];
            aws_lc_rs::rand::fill(&mut key)
                .map_err(|_| Failure::new("the system gives no random numbers"))?;
            std::fs::create_dir_all(data_directory)
                .and_then(|()| write_new(&path, &key, SECRET))
                .map_err(|error| Failure::file(&path, "write it", &error))?;
            key.to_vec()
        }
        content => content.map_err(|error| Failure::file(&path, "read it", &error))?,
    };
    let key = content.try_into().map_err(|_| {
        Failure::new(format!(
            "{}: the key does not have 32 bytes; remove the file for a new one",
            path.display()
        ))
    })?;
    Ok(CookieKey::new(&key))
}
