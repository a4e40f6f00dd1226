//! Who owns a host name, and what TLS clients that ask for it are shown.

use std::collections::HashMap;
use std::sync::Arc;

use crate::tls::TlsPolicy;
use crate::{Tenant, TlsCertificate};

/// What a host name leads to.
#[derive(Clone)]
pub struct HostEntry {
    /// The one tenant that owns the name.
    pub tenant: Arc<Tenant>,
    /// The certificate to present; `None` where the name is served on plain listeners only.
    pub certificate: Option<TlsCertificate>,
    /// What a TLS handshake for the name runs with; there where a certificate is.
    pub config: Option<Arc<rustls::ServerConfig>>,
    /// What holds for connections to the name.
    pub tls: Arc<TlsPolicy>,
}

impl HostEntry {
    /// Presents this certificate from now on; `None`: the name is served on plain listeners only.
    pub fn present(&mut self, certificate: Option<TlsCertificate>) {
        self.config = certificate.as_ref().and_then(|certificate| self.tls.showing(certificate, None));
        self.certificate = certificate;
    }
}

impl std::fmt::Debug for HostEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tenant, certificate, config: _, tls } = self;
        f.debug_struct("HostEntry")
            .field("tenant", &tenant.id)
            .field("has_certificate", &certificate.is_some())
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// A table of exact and `*.` wildcard host names.
#[derive(Debug, Clone)]
pub struct HostTable<T> {
    exact: HashMap<Box<str>, T>,
    /// Keyed by the name without `*.`; a wildcard covers exactly one label, as in RFC 6125 section 6.4.3.
    wildcard: HashMap<Box<str>, T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new() }
    }
}

impl<T> HostTable<T> {
    /// Looks `host` up: lower case, no port, no trailing dot. An exact name wins over a wildcard.
    pub fn get(&self, host: &str) -> Option<&T> {
        self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        })
    }

    /// What stands at `pattern` itself (`name` or `*.name`).
    pub(crate) fn pattern_mut(&mut self, pattern: &str) -> Option<&mut T> {
        match pattern.strip_prefix("*.") {
            Some(parent) => self.wildcard.get_mut(parent),
            None => self.exact.get_mut(pattern),
        }
    }

    /// Adds `pattern` (`name` or `*.name`, lower case); gives back what stood there before.
    pub fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        match pattern.strip_prefix("*.") {
            Some(parent) => self.wildcard.insert(parent.into(), value),
            None => self.exact.insert(pattern.into(), value),
        }
    }
}
