//! What an edge is told when it starts; it does not change while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use veloflux_snapshot::managed::Managed;

use crate::client_addr::TrustedProxies;
use crate::cookie::CookieKey;
use crate::h1::parse::HeadLimits;
use crate::record::{Masker, Sink};

/// Configuration of an edge.
#[derive(Debug)]
pub struct EdgeConfig {
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Where `/metrics`, `/healthz` and `/readyz` answer; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Serving threads, at least one.
    pub threads: usize,
    /// Proxies whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Client connections open at once; more are closed at accept.
    pub max_connections: usize,
    /// Client connections of one peer that is no trusted proxy; more are closed at accept. `None`: any number.
    pub max_connections_per_client: Option<u32>,
    /// Longest request head, in bytes; at most 1 MiB.
    pub max_header_bytes: usize,
    /// Most header fields of a request.
    pub max_headers: usize,
    /// From a request's first byte to its head complete; also for TLS handshakes.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive_timeout: Duration,
    /// Most memory for what rate limits remember of their keys, in bytes.
    pub rate_limit_memory_bytes: usize,
    /// HTTP/2 limits.
    pub http2: Http2Limits,
    /// Key of the edge's own cookies; the same on every node that shares clients.
    pub cookie_key: CookieKey,
    /// One line per request.
    pub access_log: Sink,
    /// One line per request in which firewall rules matched.
    pub event_log: Sink,
    /// What both logs mask.
    pub masker: Masker,
    /// Answers to the challenges of authorities, for domains whose certificates are ordered.
    pub managed: Arc<Managed>,
    /// The program's version, for `/metrics`.
    pub version: &'static str,
}

impl EdgeConfig {
    pub(crate) fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            bytes: self.max_header_bytes,
            target_bytes: self.max_header_bytes,
            fields: self.max_headers,
        }
    }
}

/// One address that clients connect to.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// Whether connections begin with a PROXY protocol header, which then only trusted proxies may send.
    pub proxy_protocol: bool,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// TLS with HTTP/1.1 and HTTP/2.
    Https,
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.1 without TLS that redirects every request to `https://`.
    Redirect {
        /// The port that redirects lead to.
        https_port: u16,
    },
}

/// Limits of HTTP/2 connections (RFC 9113 section 6.5.2).
#[derive(Debug, Clone, Copy)]
pub struct Http2Limits {
    /// Streams open at once on one connection.
    pub max_concurrent_streams: u32,
    /// Streams reset by the peer before the connection is closed (rapid reset, CVE-2023-44487).
    pub max_reset_streams: usize,
    /// Flow-control window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// Flow-control window of one connection, in bytes.
    pub connection_window_bytes: u32,
}
