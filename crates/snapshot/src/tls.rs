//! TLS towards clients, ready to serve: what a host name's policy is, who may connect, and with which keys tickets are
//! made.
//!
//! Resumption never crosses policies. Tickets are the only way to resume; each policy of a tenant has keys of its own,
//! found again by everything that the policy says about clients: another list of authorities or revocations is another
//! policy. Besides, a ticket is good for the server name that it was made for only (RFC 6066 section 3; `rustls` looks).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use veloflux_model::desired::ForwardClientCert;
use veloflux_model::value::TlsVersion;

use crate::{Certificate, TlsCertificate};

/// How long a key makes tickets where nothing else is said.
pub const DEFAULT_TICKET_ROTATION: Duration = Duration::from_hours(6);

/// What holds for TLS connections to a host name.
pub struct TlsPolicy {
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Value of Strict-Transport-Security on responses over HTTPS; `None`: the backend's own, if any, stays.
    pub hsts: Option<Arc<str>>,
    /// Client certificates; `None`: none are asked for.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// What handshakes run with, but for the certificate; `None`: it could not be made, and the state is refused.
    pub(crate) base: Option<rustls::ServerConfig>,
}

impl fmt::Debug for TlsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min_version, hsts, client_auth, base: _ } = self;
        f.debug_struct("TlsPolicy")
            .field("min_version", min_version)
            .field("hsts", hsts)
            .field("client_auth", client_auth)
            .finish_non_exhaustive()
    }
}

impl TlsPolicy {
    /// What handshakes run with that show this certificate.
    pub(crate) fn showing(
        &self,
        certificate: &TlsCertificate,
        staple: Option<&Staple>,
    ) -> Option<Arc<rustls::ServerConfig>> {
        let mut config = self.base.clone()?;
        config.cert_resolver = Arc::new(Shown::new(certificate, staple));
        Some(Arc::new(config))
    }
}

/// What a policy about clients is known by: a digest of its mode, its authorities, its revocation lists and the names
/// that it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAuthId(pub(crate) [u8; 32]);

/// Whose certificates are accepted from clients.
pub struct ClientAuth {
    /// Changes with anything that decides who is accepted.
    pub id: ClientAuthId,
    /// Whether clients without a certificate are refused.
    pub required: bool,
    /// What backends are told.
    pub forward: ForwardClientCert,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientAuth {
    /// Verifies a chain that a client has shown, itself first, as a handshake at the time `now` would.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), rustls::Error> {
        let (own, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(since);
        self.verifier.verify_client_cert(own, intermediates, now).map(|_| ())
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, required, forward, verifier: _ } = self;
        f.debug_struct("ClientAuth")
            .field("id", id)
            .field("required", required)
            .field("forward", forward)
            .finish_non_exhaustive()
    }
}

/// A revocation list of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    /// The file that it came from, as written in the desired state.
    pub file: Arc<str>,
    /// When the next one is due, in seconds since 1970; `None`: it does not say.
    pub next_update_unix_s: Option<i64>,
    /// Digest of the file.
    pub(crate) digest: [u8; 32],
}

/// An OCSP response for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staple {
    /// The response in DER.
    pub response: Arc<[u8]>,
    /// Until when it is shown, in seconds since 1970.
    pub next_update_unix_s: i64,
}

/// What clients that ask for no tenant's name are shown.
#[derive(Debug, Clone)]
pub struct DefaultTls {
    /// What their handshakes run with.
    pub config: Arc<rustls::ServerConfig>,
    /// The operator's certificate in it.
    pub certificate: Certificate,
}

/// The keys of one policy's session tickets. A key makes tickets for one period and opens them for one more.
#[derive(Debug)]
pub struct Tickets(Box<dyn ProducesTickets>);

impl Tickets {
    /// Keys that rotate every `period`, in whole seconds and at least one. Fails where the system gives no random numbers.
    pub(crate) fn new(period: Duration) -> Result<Self, rustls::Error> {
        let seconds = u32::try_from(period.as_secs()).unwrap_or(u32::MAX).max(1);
        let keys = rustls::ticketer::TicketRotator::new(seconds, || {
            // The provider's own rotation is not faster than the longest period here, and would do no harm.
            let key =
                rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|_| rustls::crypto::GetRandomFailed)?;
            Ok(Box::new(Key(key)))
        })?;
        Ok(Self(Box::new(keys)))
    }
}

#[derive(Debug)]
struct Key(Arc<dyn ProducesTickets>);

/// Passes everything on.
macro_rules! produces_tickets {
    ($ty:ident) => {
        impl ProducesTickets for $ty {
            fn enabled(&self) -> bool {
                self.0.enabled()
            }

            fn lifetime(&self) -> u32 {
                self.0.lifetime()
            }

            fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
                self.0.encrypt(plain)
            }

            fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
                self.0.decrypt(cipher)
            }
        }
    };
}
produces_tickets!(Tickets);
produces_tickets!(Key);

/// Shows one certificate, with its OCSP response while that is current.
#[derive(Debug)]
struct Shown {
    certificate: TlsCertificate,
    stapled: Option<(TlsCertificate, i64)>,
}

impl Shown {
    fn new(certificate: &TlsCertificate, staple: Option<&Staple>) -> Self {
        let stapled = staple.map(|staple| {
            let mut stapled = (**certificate).clone();
            stapled.ocsp = Some(staple.response.to_vec());
            (Arc::new(stapled), staple.next_update_unix_s)
        });
        Self { certificate: certificate.clone(), stapled }
    }
}

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<TlsCertificate> {
        let now = UnixTime::now().as_secs().cast_signed();
        let current = self.stapled.as_ref().filter(|(_, until)| now < *until);
        Some(current.map_or(&self.certificate, |(stapled, _)| stapled).clone())
    }
}
