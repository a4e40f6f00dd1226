//! TLS settings: a policy and a server configuration for every host name.
//!
//! TLS 1.2 and 1.3 with the provider's suites, all of which have forward secrecy; X25519MLKEM768 before all other key
//! exchanges. Domains that say nothing of their own share their tenant's policy; host names with the same policy and
//! certificate share a configuration.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use veloflux_model::desired::{self, ClientAuthMode, Hsts, Tls};
use veloflux_model::located::Position;
use veloflux_model::value::{Period, TlsVersion};

use super::Compiler;
use super::certificate::Files;
use super::chain::Purpose;
use crate::NOBODY;
use crate::tls::{ClientAuth, DEFAULT_TICKET_ROTATION, DefaultTls, RevocationList, TlsPolicy};

/// TLS of a tenant.
pub(super) struct TenantTls {
    /// In the order of the tenant's domains.
    pub(super) domains: Vec<Arc<TlsPolicy>>,
    /// All revocation lists, each file once.
    pub(super) revocation_lists: Vec<RevocationList>,
}

impl<'a> Compiler<'a> {
    pub(super) fn tenant_tls(&mut self, tenant: &'a desired::Tenant) -> TenantTls {
        static NOTHING: Tls = Tls { min_version: None, http2: None, hsts: None, client_auth: None };
        let mut lists = Vec::new();
        let id = tenant.name.as_str();
        let shared = self.policy_of(id, tenant.name.position(), &tenant.tls, &NOTHING, &mut lists);
        let domains = tenant.domains.iter().map(|domain| {
            if domain.tls.is_empty() {
                return shared.clone();
            }
            self.policy_of(id, domain.host.position(), &tenant.tls, &domain.tls, &mut lists)
        });
        let domains = domains.collect();
        lists.sort_by(|a, b| a.file.cmp(&b.file));
        lists.dedup_by(|a, b| a.file == b.file);
        TenantTls { domains, revocation_lists: lists }
    }

    fn policy_of(
        &mut self,
        tenant: &str,
        at: Position,
        inherited: &'a Tls,
        own: &'a Tls,
        lists: &mut Vec<RevocationList>,
    ) -> Arc<TlsPolicy> {
        let settings = inherited.refined_by(own);
        let least = self.operator_tls.min_version.unwrap_or(TlsVersion::Tls12);
        let min_version = settings.min_version.map_or(least, |version| *version.value());
        let asked = settings.client_auth.map(|client_auth| self.client_auth(tenant, client_auth, lists));
        let broken = matches!(asked, Some(None));
        let client_auth = asked.flatten();
        let base = if broken {
            None
        } else {
            self.server_config(tenant, at, min_version, settings.http2, client_auth.as_ref())
        };
        let policy = TlsPolicy {
            min_version,
            hsts: settings.hsts.map(|hsts| hsts_value(hsts).into()),
            client_auth,
            base,
        };
        Arc::new(policy)
    }

    /// What clients that ask for no tenant's name are shown.
    pub(super) fn default_tls(&mut self) -> Option<DefaultTls> {
        let pair = self.operator_tls.default_certificate.as_ref()?;
        let files = Files::of_pair(pair, Purpose::Server);
        let (certificate, loaded) = self.certificate(NOBODY, "default", "default_certificate", files)?;
        let min_version = self.operator_tls.min_version.unwrap_or(TlsVersion::Tls12);
        let base = self.server_config(NOBODY, pair.cert_file.position(), min_version, true, None);
        let policy = TlsPolicy { min_version, hsts: None, client_auth: None, base };
        let config = policy.showing(&loaded.key, None)?;
        Some(DefaultTls { config, certificate })
    }

    /// A configuration that shows no certificate yet. `tenant` and what is asked of clients decide which tickets resume.
    fn server_config(
        &mut self,
        tenant: &str,
        at: Position,
        min_version: TlsVersion,
        http2: bool,
        client_auth: Option<&Arc<ClientAuth>>,
    ) -> Option<ServerConfig> {
        let versions: &[_] = match min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let rotation = self.operator_tls.ticket_rotation.map_or(DEFAULT_TICKET_ROTATION, Period::duration);
        let clients = client_auth.map(|client_auth| client_auth.id);
        let policy = format!("{min_version} {http2} {rotation:?} {clients:?}");
        let policy = digest::digest(&digest::SHA256, policy.as_bytes());
        let made = || {
            let tickets = self.registry.tickets(&format!("{tenant}/{policy:?}").into(), rotation)?;
            let builder = ServerConfig::builder_with_provider(self.provider.clone())
                .with_protocol_versions(versions)?;
            let builder = match client_auth {
                Some(client_auth) => builder.with_client_cert_verifier(client_auth.verifier.clone()),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
            let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = tickets;
            config.send_tls13_tickets = 1;
            Ok::<_, rustls::Error>(config)
        };
        let made = made();
        if let Err(error) = &made {
            self.report(at, format!("TLS cannot be set up: {error}"), "look at the machine's cryptography");
        }
        made.ok()
    }
}

/// RFC 6797 section 6.1.
fn hsts_value(hsts: &Hsts) -> String {
    let mut value = format!("max-age={}", hsts.max_age.duration().as_secs());
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}

/// Whether clients have to show a certificate.
pub(super) fn is_required(client_auth: &desired::ClientAuth) -> bool {
    client_auth.mode == ClientAuthMode::Required
}
