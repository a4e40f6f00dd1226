//! Client certificates on the way of a request: what counts for its host, what its route demands, and what backends are
//! told (RFC 9440).
//!
//! A certificate is verified in the handshake, under the policy of the name that the connection was opened for. A request
//! may be for another name of the same tenant, or the policy may have changed since: then the chain is verified anew
//! under the host's policy of the moment, and a connection that does not hold is told to be made anew (421). So nobody
//! passes by asking for one host and sending another's name, by an old connection, or by resuming an old session. A
//! verdict is good for [`VERDICT_TTL_S`], so that expiry and revocation end long connections, too.
//!
//! A listener without TLS sees no certificates: hosts that require one are refused there.

use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use veloflux_model::desired::ForwardClientCert;
use veloflux_model::value::TlsVersion;
use veloflux_snapshot::tls::{ClientAuth, ClientAuthId};
use veloflux_snapshot::{HostEntry, Route};

use crate::accept::ConnectionInfo;
use crate::answer::Rejection;
use crate::head::Fields;

/// How long a verdict about a certificate is good for, in seconds.
const VERDICT_TTL_S: u64 = 60;

/// A certificate that a client has shown, and holds the key of.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// Itself first.
    chain: Vec<CertificateDer<'static>>,
    /// The policy under which it last held, and when, in seconds since 1970.
    held: Cell<Option<(ClientAuthId, u64)>>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) sha256: Box<str>,
    client_cert: OnceCell<Box<str>>,
    client_cert_chain: OnceCell<Box<str>>,
}

impl ClientCertificate {
    /// `verified`: the policy that this handshake has verified it under.
    pub(crate) fn new(chain: &[CertificateDer<'_>], verified: Option<&ClientAuth>) -> Self {
        let chain: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
        let own = chain.first().map(|der| &**der).unwrap_or_default();
        let mut sha256 = String::new();
        for byte in digest::digest(&digest::SHA256, own).as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        Self {
            held: Cell::new(verified.map(|policy| (policy.id, unix_s(SystemTime::now())))),
            sha256: sha256.into(),
            chain,
            client_cert: OnceCell::new(),
            client_cert_chain: OnceCell::new(),
        }
    }

    /// Whether it holds under `policy` now.
    fn holds(&self, policy: &ClientAuth, now: SystemTime) -> bool {
        let now_s = unix_s(now);
        if let Some((id, at)) = self.held.get()
            && id == policy.id
            && now_s.saturating_sub(at) < VERDICT_TTL_S
        {
            return true;
        }
        let holds = policy.verify(&self.chain, now).is_ok();
        self.held.set(holds.then_some((policy.id, now_s)));
        holds
    }

    /// Adds what a backend is told. Whatever of this the client sent itself was dropped.
    pub(crate) fn forward(&self, how: ForwardClientCert, added: &mut Fields) {
        if how == ForwardClientCert::Off {
            return;
        }
        // RFC 9440 section 2.1: the certificate's DER as a byte sequence (RFC 8941 section 3.3.5).
        let byte_sequence = |der: &CertificateDer<'_>| format!(":{}:", STANDARD.encode(der));
        let own =
            self.client_cert.get_or_init(|| self.chain.first().map(byte_sequence).unwrap_or_default().into());
        added.push(b"Client-Cert", own.as_bytes());
        if how == ForwardClientCert::Chain && self.chain.len() > 1 {
            // Section 2.3: the others in the handshake's order, as a list.
            let rest = self.client_cert_chain.get_or_init(|| {
                let rest: Vec<_> = self.chain.iter().skip(1).map(byte_sequence).collect();
                rest.join(", ").into()
            });
            added.push(b"Client-Cert-Chain", rest.as_bytes());
        }
    }
}

fn unix_s(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The stage: the certificate that counts for a request to `host`, if the client has shown one and was asked to.
pub(crate) fn verified<'i>(
    info: &'i ConnectionInfo,
    host: &HostEntry,
) -> Result<Option<&'i ClientCertificate>, Rejection> {
    let policy = &host.tls;
    if info.tls_version == Some("1.2") && policy.min_version > TlsVersion::Tls12 {
        return Err(Rejection::MisdirectedRequest);
    }
    let Some(wanted) = &policy.client_auth else { return Ok(None) };
    if !info.is_tls() {
        return if wanted.required { Err(Rejection::ClientCertificateRequired) } else { Ok(None) };
    }
    match &info.client_cert {
        Some(shown) if shown.holds(wanted, SystemTime::now()) => Ok(Some(shown)),
        // Whoever was asked under the same policy and has shown none has none.
        None if !wanted.required && info.asked.as_ref().is_some_and(|asked| asked.id == wanted.id) => {
            Ok(None)
        }
        _ => Err(Rejection::MisdirectedRequest),
    }
}

/// The stage: what the route demands.
pub(crate) fn admit(route: &Route, shown: Option<&ClientCertificate>) -> Result<(), Rejection> {
    if route.require_client_certificate && shown.is_none() {
        return Err(Rejection::ClientCertificateRequired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    use veloflux_model::{Desired, Document as _};
    use veloflux_snapshot::compile::AccessData;
    use veloflux_snapshot::runtime::Registry;
    use veloflux_snapshot::{Inputs, Lapsed, compile};

    use super::*;

    /// A policy that accepts what `authority` issued.
    fn policy(authority: &str) -> Arc<ClientAuth> {
        let state = "tenants: [{name: a, domains: [{host: a.test}], firewall: {mode: off}, \
                     tls: {client_auth: {ca_file: ca.pem}}}]";
        let inputs = Inputs {
            access: AccessData::default(),
            state_file: "state.yaml".to_owned(),
            files: HashMap::from([("ca.pem".to_owned(), Ok(authority.as_bytes().to_vec()))]),
            rulesets: HashMap::new(),
            active_ruleset: None,
            max_work_budget_percent: 100,
            native_roots: Vec::new(),
            now: SystemTime::now(),
            lapsed: Lapsed::Refuse,
            managed: None,
        };
        let state = Desired::parse("state.yaml", state).unwrap();
        let snapshot = compile(&state, &inputs, &Registry::default(), 1).unwrap();
        snapshot.hosts.get("a.test").unwrap().tls.client_auth.clone().unwrap()
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params
    }

    /// An authority's certificate, and one that it has issued for 2020 to 2030.
    fn authority() -> (String, CertificateDer<'static>) {
        let (mut own, key) = (params("authority"), KeyPair::generate().unwrap());
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = own.self_signed(&key).unwrap().pem();
        let client = params("client").signed_by(&KeyPair::generate().unwrap(), &Issuer::new(own, key));
        (pem, client.unwrap().der().clone())
    }

    #[test]
    fn a_verdict_is_good_for_one_policy_and_one_minute() {
        let ((authority_pem, client), (other_pem, _)) = (authority(), authority());
        let (wanted, other) = (policy(&authority_pem), policy(&other_pem));
        let shown = ClientCertificate::new(&[client], None);
        let end: SystemTime = date_time_ymd(2030, 1, 1).into();
        let second = Duration::from_secs(1);
        assert!(shown.holds(&wanted, end - second));
        // It ends within the minute, and not later.
        assert!(shown.holds(&wanted, end + second));
        assert!(!shown.holds(&wanted, end + Duration::from_secs(VERDICT_TTL_S)));
        // Another policy asks for itself.
        assert!(shown.holds(&wanted, end - second));
        assert!(!shown.holds(&other, end - second));
        assert!(!shown.holds(&wanted, end + second));
    }
}
