//! TLS towards clients: one configuration for the process; the certificate comes from the snapshot of the moment.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use veloflux_snapshot::Reader;

/// Picks the certificate by SNI, exact names before wildcards. A client that names no host, or one that no tenant
/// has, gets none: the handshake ends with an alert, and no tenant's certificate is shown to a stranger.
struct BySni(Reader);

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BySni")
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.current().hosts.get(&name)?.certificate.clone()
    }
}

/// The server side's TLS configuration: TLS 1.2 and 1.3, post-quantum key exchange preferred, tickets whose keys
/// rotate by themselves.
pub(crate) fn server_config(snapshots: Reader) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni(snapshots)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
