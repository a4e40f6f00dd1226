//! TLS towards clients: what a handshake runs with is chosen by the name that the client asks for, before anything else
//! of it is answered.
//!
//! An authority that has a domain proved is answered by a configuration that knows nothing else (RFC 8737).
//!
//! Exact names go before wildcards. A client that names no host, or one that nobody has, is shown no tenant's
//! certificate: its handshake ends with an alert, or runs with the operator's default certificate, if there is one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustls::ServerConfig;
use rustls::server::{
    Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, ResolvesServerCertUsingSni,
};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, HandshakeKind};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use veloflux_snapshot::managed::{ACME_TLS_ALPN, Managed};
use veloflux_snapshot::runtime::ClientRefusal;
use veloflux_snapshot::tls::ClientAuth;
use veloflux_snapshot::{HostEntry, Snapshot, Tenant};

use crate::client_cert::ClientCertificate;
use crate::core::Core;
use crate::record::{ClientCertificateEvent, Timestamp};

/// Longest server name in a log line, in bytes.
const MAX_SNI: usize = 255;

/// What is the same for all handshakes.
#[derive(Debug)]
pub(crate) struct Tls {
    /// Ends every handshake with an alert.
    refusing: Arc<ServerConfig>,
    /// Answers the challenges of authorities.
    challenges: Arc<ServerConfig>,
}

/// Shows a challenge's certificate to whoever asks for the name that is being proved; for any other the handshake ends
/// with an alert.
#[derive(Debug)]
struct ByChallenge(Arc<Managed>);

impl ResolvesServerCert for ByChallenge {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.handshake(&hello.server_name()?.to_ascii_lowercase())
    }
}

/// What one handshake runs with.
struct Chosen {
    config: Arc<ServerConfig>,
    tenant: Option<Arc<Tenant>>,
    client_auth: Option<Arc<ClientAuth>>,
}

/// A connection after its handshake.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    /// What was asked of the client; `None`: no certificate.
    pub(crate) asked: Option<Arc<ClientAuth>>,
    /// What it has shown.
    pub(crate) shown: Option<ClientCertificate>,
}

impl Tls {
    pub(crate) fn new(managed: Arc<Managed>) -> Result<Self, Error> {
        let refusing = without_policy(Arc::new(ResolvesServerCertUsingSni::new()))?;
        let mut challenges = without_policy(Arc::new(ByChallenge(managed)))?;
        challenges.alpn_protocols = vec![ACME_TLS_ALPN.to_vec()];
        Ok(Self { refusing: Arc::new(refusing), challenges: Arc::new(challenges) })
    }

    fn choose(&self, snapshot: &Snapshot, hello: &ClientHello<'_>) -> Chosen {
        if is_challenge(hello) {
            return Chosen { config: self.challenges.clone(), tenant: None, client_auth: None };
        }
        let named = hello.server_name().map(str::to_ascii_lowercase);
        let Some(host) = named.and_then(|name| snapshot.hosts.get(&name)) else {
            let default = snapshot.default_tls.as_ref().map(|default| &default.config);
            let config = default.unwrap_or(&self.refusing).clone();
            return Chosen { config, tenant: None, client_auth: None };
        };
        let HostEntry { tenant, config, tls, .. } = host;
        Chosen {
            config: config.as_ref().unwrap_or(&self.refusing).clone(),
            tenant: Some(tenant.clone()),
            client_auth: tls.client_auth.clone(),
        }
    }
}

/// Whether an authority asks for a challenge's certificate: it offers that protocol and no other (RFC 8737 section 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS_ALPN) && offered.next().is_none())
}

/// For handshakes that are no tenant's; their sessions are good for nothing else.
fn without_policy(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The handshake with `client`.
pub(crate) async fn accept(core: &Core, stream: TcpStream, client: IpAddr) -> io::Result<Accepted> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = begun.client_hello();
    let sni = hello.server_name().map(str::to_owned);
    let chosen = core.tls.choose(&core.snapshot(), &hello);
    let stream = match begun.into_stream(chosen.config).await {
        Ok(stream) => stream,
        Err(error) => {
            if let (Some(tenant), Some(why)) = (&chosen.tenant, client_refusal(&error)) {
                tenant.state.clients_refused[why as usize].fetch_add(1, Relaxed);
                core.event_log.write(&ClientCertificateEvent {
                    time: Timestamp::now(),
                    tenant: &tenant.id,
                    client: client.to_canonical(),
                    sni: core.config.masker.text(sni.unwrap_or_default().as_bytes(), MAX_SNI),
                    reason: why.name(),
                });
            }
            return Err(error);
        }
    };
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().filter(|chain| !chain.is_empty());
    let shown = chain.map(|chain| {
        // What was verified when a ticket was made may be revoked or expired by now.
        let fresh = session.handshake_kind() != Some(HandshakeKind::Resumed);
        ClientCertificate::new(chain, chosen.client_auth.as_deref().filter(|_| fresh))
    });
    Ok(Accepted { stream, asked: chosen.client_auth, shown })
}

/// Why a client's certificate ended the handshake; `None`: something else did.
fn client_refusal(error: &io::Error) -> Option<ClientRefusal> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::NoCertificatesPresented => ClientRefusal::Missing,
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => ClientRefusal::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => ClientRefusal::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ClientRefusal::NotValidYet
            }
            CertificateError::Revoked => ClientRefusal::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => ClientRefusal::RevocationUnknown,
            CertificateError::ApplicationVerificationFailure => ClientRefusal::Name,
            _ => ClientRefusal::Other,
        },
        _ => return None,
    })
}
