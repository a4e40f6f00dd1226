//! One check of one backend.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use veloflux_snapshot::{
    Backend, BackendAddress, BackendProtocol, BackendTls, HealthCheck, HealthKind, Pool,
};

use super::{http1, http2};

/// Bytes of a body that are searched for the expected text.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// Why a check failed. The backend, or what is configured about it, is at fault.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// Not done within the check's time.
    Timeout,
    /// Resolving, connecting, TLS, reading or writing failed.
    Io(io::Error),
    /// The server name for TLS is neither a DNS name nor an address.
    ServerName,
    /// What came back was not a response.
    Protocol(&'static str),
    /// HTTP/2 failed.
    Http2(h2::Error),
    /// A status that is not expected.
    Status(u16),
    /// The expected text is not in the body.
    Body,
}

impl std::fmt::Display for ProbeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Io(error) => error.fmt(f),
            Self::ServerName => f.write_str("the TLS server name is neither a DNS name nor an address"),
            Self::Protocol(what) => f.write_str(what),
            Self::Http2(error) => write!(f, "HTTP/2: {error}"),
            Self::Status(status) => write!(f, "status {status} is not expected"),
            Self::Body => f.write_str("the expected text is not in the body"),
        }
    }
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<h2::Error> for ProbeError {
    fn from(error: h2::Error) -> Self {
        Self::Http2(error)
    }
}

/// What a check asks for over HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) scheme: &'static str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Whether the body is looked at.
    pub(super) wants_body: bool,
}

/// The answer to a [`Question`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// At most [`MAX_BODY_BYTES`]; empty if it was not wanted.
    pub(super) body: Vec<u8>,
}

/// Checks `backend` once, within the check's time.
pub(super) async fn probe(pool: &Pool, backend: &Backend, check: &HealthCheck) -> Result<(), ProbeError> {
    timeout(check.timeout, ask(pool, backend, &check.kind)).await.unwrap_or(Err(ProbeError::Timeout))
}

async fn ask(pool: &Pool, backend: &Backend, kind: &HealthKind) -> Result<(), ProbeError> {
    let stream = connect(&backend.address).await?;
    let HealthKind::Http { path, host, expected_status, expected_body } = kind else { return Ok(()) };
    let question = Question {
        scheme: if pool.tls.is_some() { "https" } else { "http" },
        host: host.as_deref().unwrap_or(&backend.authority),
        path,
        wants_body: expected_body.is_some(),
    };
    let reply = match &pool.tls {
        None => get(pool.protocol, stream, &question).await?,
        Some(tls) => {
            let name = server_name(tls, &backend.address)?;
            let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await?;
            get(pool.protocol, stream, &question).await?
        }
    };
    if !expected_status.iter().any(|&(first, last)| (first..=last).contains(&reply.status)) {
        return Err(ProbeError::Status(reply.status));
    }
    match expected_body {
        Some(text) if memchr::memmem::find(&reply.body, text.as_bytes()).is_none() => Err(ProbeError::Body),
        _ => Ok(()),
    }
}

async fn connect(address: &BackendAddress) -> io::Result<TcpStream> {
    match address {
        BackendAddress::Ip(address) => TcpStream::connect(address).await,
        // Resolves with `lookup_host` and tries the addresses in turn.
        BackendAddress::Name(name, port) => TcpStream::connect((&**name, *port)).await,
    }
}

fn server_name(tls: &BackendTls, address: &BackendAddress) -> Result<ServerName<'static>, ProbeError> {
    match (&tls.server_name, address) {
        (Some(name), _) | (None, BackendAddress::Name(name, _)) => {
            ServerName::try_from(name.to_string()).map_err(|_| ProbeError::ServerName)
        }
        (None, BackendAddress::Ip(address)) => Ok(ServerName::IpAddress(address.ip().into())),
    }
}

async fn get(
    protocol: BackendProtocol,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question<'_>,
) -> Result<Reply, ProbeError> {
    match protocol {
        BackendProtocol::Http1 => http1::get(stream, question).await,
        BackendProtocol::Http2 => http2::get(stream, question).await,
    }
}
