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
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use veloflux_model::desired::{BackendProtocol, BackendTls};
use veloflux_model::located::Position;

use super::Compiler;

/// Verifiers by CA file; `None`: the system's authorities.
#[derive(Default)]
pub(super) struct Verifiers<'a> {
    by_file: HashMap<Option<&'a str>, Arc<WebPkiServerVerifier>>,
}

impl<'a> Compiler<'a> {
    /// The client configuration for a pool; `at` is where to report what has no place of its own.
    pub(super) fn backend_tls(
        &mut self,
        at: Position,
        tls: &'a BackendTls,
        protocol: BackendProtocol,
    ) -> Option<crate::BackendTls> {
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify {
            self.verifier(at, tls)?
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
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![match protocol {
            BackendProtocol::Http1 => b"http/1.1".to_vec(),
            BackendProtocol::Http2 => b"h2".to_vec(),
        }];
        let server_name = tls.server_name.as_ref().map(|name| name.as_str().trim_matches(['[', ']']).into());
        Some(crate::BackendTls { config: Arc::new(config), server_name })
    }

    fn verifier(&mut self, at: Position, tls: &'a BackendTls) -> Option<Arc<WebPkiServerVerifier>> {
        let file = tls.ca_file.as_ref().map(|path| path.as_str());
        if let Some(known) = self.verifiers.by_file.get(&file) {
            return Some(known.clone());
        }
        let at = tls.ca_file.as_ref().map_or(at, veloflux_model::At::position);
        let mut roots = RootCertStore::empty();
        if let Some(path) = &tls.ca_file {
            let pem = self.file("ca_file", path)?;
            let added = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .ok()
                .filter(|authorities| !authorities.is_empty())
                .is_some_and(|authorities| {
                    authorities.into_iter().all(|authority| roots.add(authority).is_ok())
                });
            if !added {
                let hint = "put the authorities' certificates there in PEM, and nothing else";
                self.report(
                    at,
                    format!("the ca_file `{path}` does not hold certificates of authorities"),
                    hint,
                );
                return None;
            }
        } else {
            // Systems carry a few authorities that no verifier can use; they are left out.
            roots.add_parsable_certificates(self.inputs.native_roots.iter().cloned());
            if roots.is_empty() {
                let hint = "install the package ca-certificates, or name a `ca_file`";
                self.report(at, "the system trusts no authority, so no backend can be verified", hint);
                return None;
            }
        }
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
