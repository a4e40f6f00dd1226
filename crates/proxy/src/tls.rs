//! TLS towards clients: one configuration for the process; the certificate comes from the snapshot of the moment. Another
//! one answers the challenges by which authorities have domains proved, and nothing else.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use veloflux_snapshot::Reader;
use veloflux_snapshot::managed::{ACME_TLS_ALPN, Managed};

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

/// Shows a challenge's certificate to whoever asks for the name that is being proved.
#[derive(Debug)]
struct ByChallenge(Arc<Managed>);

impl ResolvesServerCert for ByChallenge {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.handshake(&hello.server_name()?.to_ascii_lowercase())
    }
}

/// The server side's TLS configurations.
#[derive(Debug)]
pub(crate) struct Tls {
    clients: Arc<ServerConfig>,
    challenges: Arc<ServerConfig>,
}

impl Tls {
    /// For clients, TLS 1.2 and 1.3, post-quantum key exchange preferred, tickets whose keys rotate by themselves.
    pub(crate) fn new(snapshots: Reader, managed: Arc<Managed>) -> Result<Self, rustls::Error> {
        let mut clients = config(Arc::new(BySni(snapshots)))?;
        clients.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        clients.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        clients.send_tls13_tickets = 1;
        let mut challenges = config(Arc::new(ByChallenge(managed)))?;
        challenges.alpn_protocols = vec![ACME_TLS_ALPN.to_vec()];
        // A session of a challenge is good for nothing else.
        challenges.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        challenges.send_tls13_tickets = 0;
        Ok(Self { clients: Arc::new(clients), challenges: Arc::new(challenges) })
    }

    /// The configuration that answers `hello`.
    pub(crate) fn answering(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        if is_challenge(hello) { self.challenges.clone() } else { self.clients.clone() }
    }
}

/// Whether an authority asks for a challenge's certificate: it offers that protocol and no other (RFC 8737 section 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS_ALPN) && offered.next().is_none())
}

fn config(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates))
}
