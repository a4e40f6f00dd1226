//! Client certificates: authorities, revocation lists and allowed names made into one verifier.
//!
//! Nothing fails open. A list of authorities or revocations that cannot be read keeps the state out. With revocation
//! lists, a certificate of which nothing is known is refused, intermediates included. A list past its `nextUpdate` is
//! refused like an expired certificate when it is brought in; where it became so while it was served, it stays, and the
//! clients that need it are refused, unless the settings say otherwise.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use veloflux_model::At;
use veloflux_model::desired::{self, ExpiredCrl};
use veloflux_model::value::{FilePath, NameKind, SubjectName};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::tls::is_required;
use super::verify::signatures_as_inner;
use super::{Compiler, Lapsed};
use crate::tls::{ClientAuth, ClientAuthId, RevocationList};

/// Longest chain that a client may show, in bytes: each connection keeps it, and tickets carry it.
const MAX_CLIENT_CHAIN_BYTES: usize = 16 << 10;

impl<'a> Compiler<'a> {
    /// The verifier that `settings` ask for, its revocation lists added to `lists`; `None` with a report.
    pub(super) fn client_auth(
        &mut self,
        tenant: &str,
        settings: &'a desired::ClientAuth,
        lists: &mut Vec<RevocationList>,
    ) -> Option<Arc<ClientAuth>> {
        let ca_file = settings.ca_file.as_ref()?;
        let mut id = digest::Context::new(&digest::SHA256);
        let mut add = |bytes: &[u8]| {
            id.update(&(bytes.len() as u64).to_le_bytes());
            id.update(bytes);
        };
        add(&[u8::from(is_required(settings)), u8::from(settings.expired_crl == ExpiredCrl::Accept)]);
        let authorities = self.file("ca_file", ca_file);
        add(authorities.unwrap_or_default());
        let roots = self.authorities(ca_file);
        let mut crls = Vec::new();
        let mut broken = false;
        for file in &settings.crl_files {
            match self.revocation_list(tenant, file) {
                Some((list, der)) => {
                    add(&list.digest);
                    lists.push(list);
                    crls.extend(der);
                }
                None => broken = true,
            }
        }
        // Their order means nothing.
        let mut names: Vec<SubjectName> =
            settings.allowed_names.iter().map(|name| name.value().clone()).collect();
        names.sort();
        for name in &names {
            add(name.to_string().as_bytes());
        }
        let roots = roots.filter(|_| !broken)?;
        let hints: usize = roots.subjects().iter().map(|subject| subject.as_ref().len()).sum();
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        if hints > MAX_HINT_BYTES {
            builder = builder.clear_root_hint_subjects();
        }
        if !crls.is_empty() {
            builder = builder.with_crls(crls);
        }
        if settings.expired_crl == ExpiredCrl::Refuse {
            builder = builder.enforce_revocation_expiration();
        }
        if !is_required(settings) {
            builder = builder.allow_unauthenticated();
        }
        let inner = match builder.build() {
            Ok(inner) => inner,
            Err(error) => {
                let at = settings.crl_files.first().unwrap_or(ca_file).position();
                self.report(at, format!("client certificates cannot be verified: {error}"), CRL_HINT);
                return None;
            }
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(id.finish().as_ref());
        Some(Arc::new(ClientAuth {
            id: ClientAuthId(digest),
            required: is_required(settings),
            forward: settings.forward,
            verifier: Arc::new(ClientVerifier { inner, names }),
        }))
    }

    /// A revocation list, parsed and made ready; `None` with a report.
    fn revocation_list(
        &mut self,
        tenant: &str,
        file: &'a At<FilePath>,
    ) -> Option<(RevocationList, Vec<CertificateRevocationListDer<'static>>)> {
        let content = self.file("revocation list", file)?;
        let lists: Option<Vec<CertificateRevocationListDer<'static>>> =
            if content.first() == Some(&DER_SEQUENCE) {
                Some(vec![content.to_vec().into()])
            } else {
                CertificateRevocationListDer::pem_slice_iter(content).collect::<Result<_, _>>().ok()
            };
        let parsed = lists.as_ref().and_then(|lists| {
            let parsed =
                lists.iter().map(|der| CertificateRevocationList::from_der(der).map(|(_, list)| list));
            parsed.collect::<Result<Vec<_>, _>>().ok().filter(|lists| !lists.is_empty())
        });
        let Some(parsed) = parsed else {
            self.report(file.position(), format!("`{file}` does not hold a revocation list"), CRL_HINT);
            return None;
        };
        let now = self.inputs.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        if let Some(early) = parsed.iter().find(|list| list.last_update().timestamp() > now) {
            let message =
                format!("the list of `{}` is not valid before {}", early.issuer(), early.last_update());
            self.report(
                file.position(),
                message,
                "check the machine's clock, or use a list that is valid now",
            );
            return None;
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
        let due = parsed.iter().filter_map(CertificateRevocationList::next_update).min();
        let list = RevocationList {
            file: file.as_str().into(),
            next_update_unix_s: due.map(|due| due.timestamp()),
            digest,
        };
        if let Some(due) = due.filter(|due| due.timestamp() <= now)
            && !self.is_served_list(tenant, &list)
        {
            let message = format!("the revocation list `{file}` ended on {due}");
            self.report(file.position(), message, "fetch the issuer's current list");
        }
        Some((list, lists?))
    }

    /// Whether the tenant is served with `list` whether it is past its end or not.
    fn is_served_list(&self, tenant: &str, list: &RevocationList) -> bool {
        match &self.inputs.lapsed {
            Lapsed::Refuse => false,
            Lapsed::Serve => true,
            Lapsed::ServeAsIn(snapshot) => snapshot
                .tenants
                .iter()
                .filter(|served| *served.id == *tenant)
                .any(|served| served.revocation_lists.iter().any(|known| known.digest == list.digest)),
        }
    }
}

const CRL_HINT: &str = "put X.509 revocation lists there, PEM or DER";

/// First byte of a list in DER.
const DER_SEQUENCE: u8 = 0x30;

/// Longest list of authorities' names that a handshake carries, in bytes. With more of them clients are told none, and
/// pick a certificate without help.
const MAX_HINT_BYTES: usize = 16 << 10;

/// Verifies as `inner` does, then looks for an allowed name.
#[derive(Debug)]
struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    /// Sorted; empty: any name.
    names: Vec<SubjectName>,
}

impl ClientVerifier {
    /// Whether the certificate carries one of the names.
    fn allows(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(Some(carried)) = parsed.subject_alternative_name() else { return false };
        carried.value.general_names.iter().any(|name| {
            let (kind, name) = match name {
                GeneralName::DNSName(name) => (NameKind::Dns, *name),
                GeneralName::URI(name) => (NameKind::Uri, *name),
                GeneralName::RFC822Name(name) => (NameKind::Email, *name),
                _ => return false,
            };
            self.names.iter().any(|allowed| allowed.matches(kind, name))
        })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = end_entity.len() + intermediates.iter().map(|der| der.len()).sum::<usize>();
        if bytes > MAX_CLIENT_CHAIN_BYTES {
            return Err(CertificateError::BadEncoding.into());
        }
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        if self.allows(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    signatures_as_inner!();
}
