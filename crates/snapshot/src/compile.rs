//! From a desired state to a snapshot: everything that serving needs is made here, once, or the state is refused.
//!
//! No IO: [`Inputs`] brings the content of the files that the state names and the rule sets that it uses.
//! Everything that is wrong is gathered, so that one look at the report is enough.
//!
//! Routes are sorted so that the first match is the most specific one: exact host before wildcard before any host;
//! then exact path before prefix; then the longer path; then more conditions (headers, and methods as one); then
//! document order. A route with both exact and wildcard hosts stands in both places.

mod access;
mod certificate;
mod chain;
mod client_auth;
mod firewall;
mod headers;
mod limits;
mod mode;
mod ocsp;
mod pool;
mod ring;
mod route;
mod tls;
mod verify;

pub use access::{AccessData, access, lists_named};
pub use certificate::check_issued;
pub use ocsp::{CertStatus, OcspResponse, SingleResponse};
pub use ring::{MAX_RING_POINTS, stable_hash};
pub use verify::AcceptsAnyCertificateDangerously;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use veloflux_model::desired::{self, Baseline, Desired, FirewallMode, KeyPair, OperatorTls, Plan, Tls};
use veloflux_model::located::Position;
use veloflux_model::value::{FilePath, Hostname};
use veloflux_model::{At, Document, Problem, Report};
use veloflux_waf::{Ruleset, Tunable};

use crate::managed::{IssuedCertificates, ManagedDomain};
use crate::runtime::Registry;
use crate::tls::RevocationList;
use crate::{HostEntry, HostTable, Pool, Snapshot, Tenant};
use certificate::{Loaded, LoadedCertificates};
use tls::TenantTls;
use verify::Verifiers;

/// What a desired state refers to but does not hold.
pub struct Inputs {
    /// How messages name the state file.
    pub state_file: String,
    /// Content of every file of [`files_named`], by path as written; or why it could not be read.
    pub files: HashMap<String, Result<Vec<u8>, String>>,
    /// Every rule set of [`rulesets_named`] by version; or why it cannot be used.
    pub rulesets: HashMap<String, Result<Arc<Ruleset>, String>>,
    /// The version used where a policy names none.
    pub active_ruleset: Option<String>,
    /// What IP and country rules are judged by: every list of [`lists_named`], and the process's databases.
    pub access: AccessData,
    /// The most that a policy may set as its work budget, in per cent.
    pub max_work_budget_percent: u32,
    /// The authorities that the system trusts.
    pub native_roots: Vec<CertificateDer<'static>>,
    /// The time at which certificates have to be valid.
    pub now: SystemTime,
    /// Which certificates may be served although they are not valid at that time.
    pub lapsed: Lapsed,
    /// What there is for domains whose certificates are ordered; `None`: nobody orders any.
    pub managed: Option<ManagedInputs>,
}

/// What there is for domains whose certificates are ordered.
#[derive(Debug, Clone)]
pub struct ManagedInputs {
    /// Whether wildcards can be proved.
    pub wildcards: bool,
    /// What was issued so far.
    pub issued: Arc<IssuedCertificates>,
}

/// Which certificates are served as they are although they have expired or are not valid yet. Clients then see the
/// true reason; [`Certificate::lapsed`](crate::Certificate::lapsed) tells whoever has to renew them.
#[derive(Debug, Clone)]
pub enum Lapsed {
    /// None: what an operator is about to bring in has to be right.
    Refuse,
    /// Those that this snapshot serves for the same tenant: they became invalid while they were served, and one
    /// tenant's lapse must not keep every other tenant's changes out.
    ServeAsIn(Arc<Snapshot>),
    /// All, for the start of a process: one tenant's lapse must not keep every other tenant down.
    Serve,
}

impl fmt::Debug for Inputs {
    /// Names only: some of the files hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("state_file", &self.state_file)
            .field("files", &self.files.keys())
            .field("rulesets", &self.rulesets.keys())
            .field("active_ruleset", &self.active_ruleset)
            .finish_non_exhaustive()
    }
}

/// Every file that `state` names, as written there.
pub fn files_named(state: &Desired) -> BTreeSet<&str> {
    let mut named: Vec<&At<FilePath>> = Vec::new();
    named.extend(state.tls.default_certificate.iter().flat_map(pair_files));
    for tenant in &state.tenants {
        for certificate in &tenant.certificates {
            named.extend([&certificate.cert_file, &certificate.key_file]);
            named.extend(&certificate.ocsp_file);
        }
        for tls in tenant.domains.iter().map(|domain| &domain.tls).chain([&tenant.tls]) {
            named.extend(client_auth_files(tls));
        }
        for tls in tenant.pools.iter().filter_map(|pool| pool.tls.as_ref()) {
            named.extend(&tls.ca_file);
            named.extend(tls.client_certificate.iter().flat_map(pair_files));
        }
    }
    named.into_iter().map(|path| path.as_str()).collect()
}

fn pair_files(pair: &KeyPair) -> [&At<FilePath>; 2] {
    [&pair.cert_file, &pair.key_file]
}

fn client_auth_files(tls: &Tls) -> impl Iterator<Item = &At<FilePath>> {
    tls.client_auth.iter().flat_map(|client_auth| client_auth.ca_file.iter().chain(&client_auth.crl_files))
}

/// The versions of rule sets that `state` uses; `None` stands for the active one.
pub fn rulesets_named(state: &Desired) -> BTreeSet<Option<&str>> {
    let mut named = BTreeSet::new();
    for tenant in &state.tenants {
        for own in std::iter::once(None).chain(tenant.routes.iter().map(|route| Some(&route.firewall))) {
            let mode = own.and_then(|own| own.mode.as_ref()).or(tenant.firewall.mode.as_ref());
            if mode.is_none_or(|mode| *mode.value() != FirewallMode::Off) {
                let ruleset = own.and_then(|own| own.ruleset.as_ref()).or(tenant.firewall.ruleset.as_ref());
                named.insert(ruleset.map(|version| version.as_str()));
            }
        }
    }
    named
}

/// Whether `state` has backends that are verified by the system's authorities.
pub fn needs_native_roots(state: &Desired) -> bool {
    let pools = state.tenants.iter().flat_map(|tenant| &tenant.pools);
    pools.filter_map(|pool| pool.tls.as_ref()).any(|tls| tls.verify && tls.ca_file.is_none())
}

/// Compiles `state`, which is checked first, wherever it comes from. States that outlive snapshots are found again in `registry`; `revision` numbers the result.
pub fn compile(
    state: &Desired,
    inputs: &Inputs,
    registry: &Registry,
    revision: u64,
) -> Result<Snapshot, Report> {
    Report::none_or(&inputs.state_file, state.problems())?;
    let mut compiler = Compiler::new(state, inputs, registry);
    let default_tls = compiler.default_tls();
    let mut tenants = Vec::with_capacity(state.tenants.len());
    let mut hosts = HostTable::default();
    let mut managed = Vec::new();
    for tenant in &state.tenants {
        let TenantTls { domains, revocation_lists } = compiler.tenant_tls(tenant);
        let compiled = Arc::new(compiler.tenant(tenant, revocation_lists));
        let mut configs = HashMap::new();
        for ((host, certificate), tls) in compiler.domains(tenant).into_iter().zip(domains) {
            // Host names with the same certificate and policy share a configuration.
            let config = certificate.as_ref().and_then(|certificate| {
                let made = || tls.showing(&certificate.key, certificate.staple.as_ref());
                configs.entry((Arc::as_ptr(certificate), Arc::as_ptr(&tls))).or_insert_with(made).clone()
            });
            let entry = HostEntry {
                tenant: compiled.clone(),
                certificate: certificate.map(|certificate| certificate.key.clone()),
                config,
                tls,
            };
            hosts.insert(host.as_str(), entry);
        }
        let ordered = tenant.domains.iter().filter(|domain| domain.is_managed());
        managed.extend(ordered.map(|domain| ManagedDomain {
            tenant: compiled.id.clone(),
            host: domain.host.as_str().into(),
            certificate: None,
        }));
        tenants.push(compiled);
    }
    Report::none_or(&inputs.state_file, compiler.problems)?;
    tenants.sort_by(|a, b| a.id.cmp(&b.id));
    let mut snapshot = Snapshot {
        revision,
        tenants,
        hosts,
        header_policy: headers::nobodys(),
        managed,
        default_tls,
        geo: inputs.access.geo.clone(),
        metrics_access: None,
        data_files: Vec::new(),
    };
    if let Some(ManagedInputs { issued, .. }) = &inputs.managed {
        snapshot.take_issued(issued);
    }
    Ok(snapshot)
}

/// What is gathered and shared while one state is compiled.
struct Compiler<'a> {
    baseline: &'a Baseline,
    operator_tls: &'a OperatorTls,
    plans: &'a [Plan],
    inputs: &'a Inputs,
    registry: &'a Registry,
    provider: Arc<CryptoProvider>,
    certificates: LoadedCertificates<'a>,
    verifiers: Verifiers<'a>,
    /// What the pools of the tenant at hand show to their backends.
    pool_certificates: Vec<crate::Certificate>,
    /// What tenants may tune, by version of the rule set.
    tunable: HashMap<String, Arc<Tunable>>,
    problems: Vec<Problem>,
}

impl<'a> Compiler<'a> {
    fn new(state: &'a Desired, inputs: &'a Inputs, registry: &'a Registry) -> Self {
        Self {
            baseline: &state.baseline,
            operator_tls: &state.tls,
            plans: &state.plans,
            inputs,
            registry,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            certificates: LoadedCertificates::default(),
            verifiers: Verifiers::default(),
            pool_certificates: Vec::new(),
            tunable: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn report(&mut self, position: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.report_once(Problem::new(position, message).hint(hint));
    }

    /// Adds a problem once: a route repeats what its tenant says, and an attack what holds otherwise.
    fn report_once(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn tenant(&mut self, tenant: &'a desired::Tenant, revocation_lists: Vec<RevocationList>) -> Tenant {
        let id: Arc<str> = tenant.name.as_str().into();
        let mut certificates = self.certificates(&id, tenant);
        let pools: HashMap<&str, Arc<Pool>> = tenant
            .pools
            .iter()
            .filter_map(|pool| Some((pool.name.as_str(), Arc::new(self.pool(&id, pool)?))))
            .collect();
        certificates.append(&mut self.pool_certificates);
        let attack = mode::attack(tenant);
        let usual_limits = attack.and_then(|_| self.limits(tenant, None, None));
        let mode = self.mode(tenant, usual_limits.clone());
        let limits = self.limits(tenant, None, attack);
        let header_policy = headers::of_tenant(tenant);
        let csp_reports = self.csp_reports(tenant);
        let access: Box<[_]> = self.access(&tenant.access).into_iter().collect();
        let routes = self.routes(tenant, &pools, &access, limits.as_ref(), usual_limits.as_ref());
        let state = self.registry.tenant(&id);
        Tenant {
            id,
            routes,
            certificates,
            access,
            revocation_lists,
            limits,
            header_policy,
            csp_reports,
            mode,
            state,
        }
    }

    /// The tenant's host names with the certificate to present for each.
    ///
    /// A tenant without certificates serves all its names on plain listeners only. Once it has one, a name that none
    /// covers is an error: it would be missing from TLS listeners without a word.
    fn domains(&mut self, tenant: &'a desired::Tenant) -> Vec<(&'a Hostname, Option<Arc<Loaded>>)> {
        let loaded: Vec<(&str, Option<Arc<Loaded>>)> = tenant
            .certificates
            .iter()
            .map(|certificate| (certificate.name.as_str(), self.certificates.get(certificate)))
            .collect();
        let broken = loaded.iter().any(|(_, certificate)| certificate.is_none());
        tenant
            .domains
            .iter()
            .map(|domain| {
                let host = domain.host.value();
                let certificate = if domain.is_managed() {
                    self.can_be_ordered(domain);
                    None
                } else if let Some(name) = &domain.certificate {
                    let named = loaded.iter().find(|(known, _)| *known == name.as_str());
                    let found = named.and_then(|(_, certificate)| certificate.clone());
                    if let Some(found) = found.as_ref().filter(|found| !found.covers(host)) {
                        let message = format!("the certificate `{name}` does not cover `{host}`");
                        self.report(name.position(), message, format!("it covers: {}", found.list_names()));
                    }
                    found
                } else {
                    let found =
                        loaded.iter().filter_map(|(_, c)| c.as_ref()).find(|c| c.covers(host)).cloned();
                    if found.is_none() && !loaded.is_empty() && !broken {
                        let message = format!("none of the tenant's certificates covers `{host}`");
                        let hint =
                            "add a certificate for it, or remove the tenant's certificates to serve it plain";
                        self.report(domain.host.position(), message, hint);
                    }
                    found
                };
                (host, certificate)
            })
            .collect()
    }

    /// Reports a domain whose certificate nobody can order.
    fn can_be_ordered(&mut self, domain: &desired::Domain) {
        let at = domain.certificate.as_ref().map_or(domain.host.position(), At::position);
        let host = &domain.host;
        match &self.inputs.managed {
            None => {
                let hint = "configure `acme` in the process file, or name a certificate";
                self.report(at, format!("nobody orders a certificate for `{host}`"), hint);
            }
            Some(managed) if host.wildcard_parent().is_some() && !managed.wildcards => {
                let hint = "allow `dns_01` under `acme` in the process file, or name a certificate";
                self.report(at, format!("the wildcard `{host}` cannot be proved"), hint);
            }
            Some(_) => {}
        }
    }

    /// A file's content, or a report that it cannot be read.
    fn file(&mut self, key: &str, path: &'a At<FilePath>) -> Option<&'a [u8]> {
        match self.inputs.files.get(path.as_str()) {
            Some(Ok(content)) => Some(content),
            failed => {
                let why =
                    failed.and_then(|read| read.as_ref().err()).map_or("it was not read", String::as_str);
                let message = format!("the {key} `{path}` cannot be read: {why}");
                self.report(path.position(), message, "relative paths count from the state file's folder");
                None
            }
        }
    }
}
