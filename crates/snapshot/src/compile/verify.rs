//! Who may speak as a backend: verification of backends' certificates.
//!
//! Verifiers are shared between pools with the same authorities (the system's list alone takes a megabyte); client
//! configurations are not, because each holds sessions to resume, and a session resumed by another tenant would skip
//! that tenant's verification.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use veloflux_model::At;
use veloflux_model::desired::{BackendProtocol, BackendTls, Pool};
use veloflux_model::located::Position;
use veloflux_model::value::{FilePath, Hostname};

use super::Compiler;
use super::certificate::Files;
use super::chain::Purpose;

/// Verifiers by CA file; `None`: the system's authorities.
#[derive(Default)]
pub(super) struct Verifiers<'a> {
    by_file: HashMap<Option<&'a str>, Arc<WebPkiServerVerifier>>,
}

impl<'a> Compiler<'a> {
    /// The client configuration for `pool`, whose TLS settings are `tls`.
    pub(super) fn backend_tls(
        &mut self,
        tenant: &str,
        pool: &'a Pool,
        tls: &'a BackendTls,
    ) -> Option<crate::BackendTls> {
        let at = pool.name.position();
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify {
            let inner = self.verifier(at, tls)?;
            match &tls.verified_name {
                Some(name) => {
                    let Ok(verified) = ServerName::try_from(without_brackets(name).to_owned()) else {
                        let hint = "write a DNS name or an address";
                        self.report(name.position(), format!("no certificate can be for `{name}`"), hint);
                        return None;
                    };
                    Arc::new(VerifiesAs { name: verified, inner })
                }
                None => inner,
            }
        } else {
            Arc::new(AcceptsAnyCertificateDangerously { provider: self.provider.clone() })
        };
        let builder =
            ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let Ok(builder) = builder else {
            self.report(
                at,
                "TLS to backends cannot be set up",
                "this build of the cryptography offers no TLS version",
            );
            return None;
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &tls.client_certificate {
            Some(pair) => {
                let (certificate, shown) = self.certificate(
                    tenant,
                    &format!("pool:{}", pool.name),
                    "client_certificate",
                    Files::of_pair(pair, Purpose::Client),
                )?;
                self.pool_certificates.push(certificate);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown.key.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![match pool.protocol {
            BackendProtocol::Http1 => b"http/1.1".to_vec(),
            BackendProtocol::Http2 => b"h2".to_vec(),
        }];
        let server_name = tls.server_name.as_ref().map(|name| without_brackets(name).into());
        Some(crate::BackendTls { config: Arc::new(config), server_name })
    }

    /// The authorities of a file; `None` with a report.
    pub(super) fn authorities(&mut self, path: &'a At<FilePath>) -> Option<RootCertStore> {
        let pem = self.file("ca_file", path)?;
        let mut roots = RootCertStore::empty();
        let added = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|authorities| !authorities.is_empty())
            .is_some_and(|authorities| authorities.into_iter().all(|authority| roots.add(authority).is_ok()));
        if !added {
            let hint = "put the authorities' certificates there in PEM, and nothing else";
            let message = format!("the ca_file `{path}` does not hold certificates of authorities");
            self.report(path.position(), message, hint);
            return None;
        }
        Some(roots)
    }

    fn verifier(&mut self, at: Position, tls: &'a BackendTls) -> Option<Arc<WebPkiServerVerifier>> {
        let file = tls.ca_file.as_ref().map(|path| path.as_str());
        if let Some(known) = self.verifiers.by_file.get(&file) {
            return Some(known.clone());
        }
        let at = tls.ca_file.as_ref().map_or(at, At::position);
        let roots = if let Some(path) = &tls.ca_file {
            self.authorities(path)?
        } else {
            let mut roots = RootCertStore::empty();
            // Systems carry a few authorities that no verifier can use; they are left out.
            roots.add_parsable_certificates(self.inputs.native_roots.iter().cloned());
            if roots.is_empty() {
                let hint = "install the package ca-certificates, or name a `ca_file`";
                self.report(at, "the system trusts no authority, so no backend can be verified", hint);
                return None;
            }
            roots
        };
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let Ok(verifier) = verifier else {
            self.report(at, "these authorities cannot be used", "replace the file");
            return None;
        };
        self.verifiers.by_file.insert(file, verifier.clone());
        Some(verifier)
    }
}

/// An IPv6 literal as TLS has it.
fn without_brackets(name: &Hostname) -> &str {
    name.as_str().trim_matches(['[', ']'])
}

/// The part of a verifier that checks signatures as `self.inner` does.
macro_rules! signatures_as_inner {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, cert, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, cert, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}
pub(super) use signatures_as_inner;

/// Verifies another name than the one that was asked for.
#[derive(Debug)]
struct VerifiesAs {
    name: ServerName<'static>,
    inner: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for VerifiesAs {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    signatures_as_inner!();
}

/// Believes whatever a backend presents: used only where a pool says `verify: false`. Signatures are still checked,
/// so the peer holds the key of what it presents; who that is stays unknown.
#[derive(Debug)]
pub struct AcceptsAnyCertificateDangerously {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptsAnyCertificateDangerously {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
