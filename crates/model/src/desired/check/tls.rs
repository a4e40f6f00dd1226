//! What must hold between TLS settings: client authentication is whole, no version is below the operator's, and what
//! a route or pool demands can be had.

use super::{Check, MAX_ENTRIES};
use crate::desired::{BackendTls, ClientAuth, OperatorTls, Tenant, Tls};
use crate::located::{At, Position};
use crate::value::TlsVersion;

/// Most revocation lists of one domain.
const MAX_CRLS: usize = 100;

/// Most names that one domain's clients may carry.
const MAX_ALLOWED_NAMES: usize = MAX_ENTRIES;

impl Check {
    pub(super) fn tenant_tls(&mut self, operator: &OperatorTls, tenant: &Tenant) {
        let at = tenant.name.position();
        self.tls(operator, at, &tenant.tls);
        for domain in &tenant.domains {
            self.tls(operator, domain.host.position(), &domain.tls);
        }
        let asks = |tls: &Tls| tls.client_auth.as_ref().is_some_and(ClientAuth::is_on);
        if asks(&tenant.tls) || tenant.domains.iter().any(|domain| asks(&domain.tls)) {
            return;
        }
        for route in tenant.routes.iter().filter(|route| route.require_client_certificate) {
            let message =
                format!("no client can reach route `{}`: none is asked for a certificate", route.name);
            let hint = "give the tenant or its domains `tls: {client_auth: …}`, or remove `require_client_certificate`";
            self.report(route.name.position(), message, hint);
        }
    }

    /// `at` is where to report what has no place of its own.
    fn tls(&mut self, operator: &OperatorTls, at: Position, tls: &Tls) {
        let least = operator.min_version.unwrap_or(TlsVersion::Tls12);
        if let Some(version) = tls.min_version.as_ref().filter(|version| *version.value() < least) {
            let message = format!("TLS {version} is below the operator's minimum");
            self.report(version.position(), message, format!("write `{least}` or higher"));
        }
        if let Some(client_auth) = &tls.client_auth {
            self.client_auth(at, client_auth);
        }
    }

    fn client_auth(&mut self, at: Position, client_auth: &ClientAuth) {
        let ClientAuth { ca_file, crl_files, allowed_names, .. } = client_auth;
        let at = ca_file.as_ref().map_or(at, At::position);
        self.length("revocation lists", at, crl_files.len(), 0, MAX_CRLS);
        self.length("allowed names", at, allowed_names.len(), 0, MAX_ALLOWED_NAMES);
        self.unique("revocation list", crl_files.iter());
        self.unique("allowed name", allowed_names.iter());
        let others = crl_files.iter().map(At::position).chain(allowed_names.iter().map(At::position));
        let first = ca_file.as_ref().map(At::position).or_else(|| others.into_iter().next());
        match (client_auth.is_on(), ca_file) {
            (true, None) => {
                let hint = "name the authorities in `ca_file`, or write `mode: off`";
                self.report(at, "client certificates are asked for, but nobody may issue them", hint);
            }
            (false, _) => {
                if let Some(position) = first {
                    let hint = "remove everything but `mode: off`";
                    self.report(position, "with `mode: off` no other setting has an effect", hint);
                }
            }
            (true, Some(_)) => {}
        }
    }

    pub(super) fn backend_tls(&mut self, tls: &BackendTls) {
        let hint = "remove it, or `verify: false`";
        if let (false, Some(ca_file)) = (tls.verify, &tls.ca_file) {
            self.report(ca_file.position(), "`ca_file` has no effect without verification", hint);
        }
        if let (false, Some(name)) = (tls.verify, &tls.verified_name) {
            self.report(name.position(), "`verified_name` has no effect without verification", hint);
        }
        for (key, name) in [("server_name", &tls.server_name), ("verified_name", &tls.verified_name)] {
            if let Some(name) = name.as_ref().filter(|name| name.wildcard_parent().is_some()) {
                let hint = "write the one name that the backends' certificates carry";
                self.report(name.position(), format!("`{key}` cannot be a wildcard"), hint);
            }
        }
    }
}
