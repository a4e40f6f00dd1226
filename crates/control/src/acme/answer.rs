//! Answers to challenges that an authority looks at by connecting. They are written down with their order, before the
//! authority is told: one that looks right after a restart finds them again.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use veloflux_snapshot::TlsCertificate;
use veloflux_snapshot::managed::{Answering, Managed};

/// Length of the digest of a key authorization, in bytes.
const DIGEST_BYTES: usize = 32;

/// What to answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Over HTTP (RFC 8555 section 8.3).
    Http { token: String, body: String },
    /// In a handshake (RFC 8737), with the digest of the key authorization.
    Handshake { digest: [u8; DIGEST_BYTES] },
}

impl Answer {
    /// Answers for `host`, a wildcard's name without `*.`, until the result is dropped.
    pub(super) fn give(&self, managed: &Arc<Managed>, host: &str) -> Result<Answering, String> {
        match self {
            Self::Http { token, body } => Ok(managed.answer_http(host, token, body)),
            Self::Handshake { digest } => {
                let certificate = certificate(host, digest)
                    .map_err(|why| format!("no challenge certificate can be made: {why}"))?;
                Ok(managed.answer_handshake(host, certificate))
            }
        }
    }
}

/// What is shown in a challenge's handshake: a self-signed certificate for the name with the digest in an extension of its
/// own (RFC 8737 section 3).
fn certificate(host: &str, digest: &[u8; DIGEST_BYTES]) -> Result<TlsCertificate, String> {
    let made = || {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        Ok::<_, rcgen::Error>((params.self_signed(&key)?.der().clone(), key.serialize_der()))
    };
    let (certificate, key) = made().map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    // Not checked against each other: the check does not know the extension, which is critical.
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
}
