//! Header fields: presets and what refines them, rules, CORS; and the limits of who may report.
//!
//! A preset is a table of value and merge for each header; docs/headers.md says why each is as it is.

use std::sync::Arc;
use std::time::Duration;

use veloflux_model::At;
use veloflux_model::desired::{self, Preset, SecurityHeaders};
use veloflux_model::value::{Count, HeaderName, HeaderText, Method};

use super::{Compiler, stable_hash};
use crate::headers::{
    CSP_REPORT_PATH, Cors, CorsOrigin, FieldRules, Headers, Merge, SecurityField, SecurityHeader,
};
use crate::limit::{KeyPart, LimitAction, Limits, Pace, RateRule};
use crate::template::Template;

/// For how long browsers remember a preflight's answer where nothing else is said, in seconds.
const DEFAULT_MAX_AGE_S: u64 = 600;

/// Methods that other origins' scripts may use where neither CORS nor the route names any: those that need no leave.
const DEFAULT_METHODS: &str = "GET, HEAD, POST";

/// Reports that one client may send in a minute, and at once.
const REPORTS_PER_CLIENT_PER_MIN: u32 = 60;

/// Reports that all clients of a tenant may send in a minute, and at once.
const REPORTS_PER_MIN: u32 = 1_000;

/// What a preset says of one header.
type Given = Option<(&'static str, Merge)>;

/// A header with what the preset and the document say of it.
struct Row<'a> {
    header: SecurityHeader,
    preset: Given,
    own: Option<&'a At<desired::SecurityHeader>>,
}

/// Headers of responses that belong to no tenant: the default preset's.
pub(super) fn nobodys() -> Arc<Headers> {
    Arc::new(Headers { security: security(&SecurityHeaders::default()), ..Headers::default() })
}

/// Headers of a tenant's responses that no route makes.
pub(super) fn of_tenant(tenant: &desired::Tenant) -> Arc<Headers> {
    Arc::new(Headers { security: security(&tenant.security_headers), ..Headers::default() })
}

/// Headers of a route.
pub(super) fn of_route(tenant: &desired::Tenant, route: &desired::Route) -> Arc<Headers> {
    Arc::new(Headers {
        security: security(&tenant.security_headers.refined_by(&route.security_headers)),
        request: rules(&route.request_headers),
        response: rules(&route.response_headers),
        cors: route.cors.as_ref().map(|given| cors(route, given)),
    })
}

fn security(given: &SecurityHeaders) -> Vec<SecurityField> {
    let preset = given.preset.unwrap_or_default();
    let mut fields: Vec<SecurityField> =
        rows(given, preset).into_iter().filter_map(|row| field(&row)).collect();
    let reports = given.csp_reports == Some(true);
    for csp in fields.iter_mut().filter(|field| field.header == SecurityHeader::ContentSecurityPolicy) {
        if let Some(value) = csp.value.as_mut().filter(|_| reports) {
            *value = format!("{value}; report-uri {CSP_REPORT_PATH}; report-to csp").into();
        }
        if given.csp_report_only == Some(true) {
            csp.header = SecurityHeader::ContentSecurityPolicyReportOnly;
        }
    }
    if reports {
        fields.push(SecurityField {
            header: SecurityHeader::ReportingEndpoints,
            value: Some(format!("csp=\"{CSP_REPORT_PATH}\"").into()),
            // A dictionary: several fields are one (RFC 9651 section 3.2).
            merge: Merge::Append,
        });
    }
    if given.hide_server.unwrap_or(preset != Preset::Off) {
        fields.extend([SecurityHeader::Server, SecurityHeader::XPoweredBy].map(|header| SecurityField {
            header,
            value: None,
            merge: Merge::Override,
        }));
    }
    fields
}

/// The table of presets.
fn rows(given: &SecurityHeaders, preset: Preset) -> [Row<'_>; 9] {
    use Merge::{Append, Keep, Override};
    let of = |balanced: (&'static str, Merge), strict: (&'static str, Merge)| match preset {
        Preset::Balanced => Some(balanced),
        Preset::Strict => Some(strict),
        Preset::Off => None,
    };
    let row = |header, own, preset| Row { header, preset, own };
    [
        row(
            SecurityHeader::ContentSecurityPolicy,
            given.content_security_policy.as_ref(),
            of(
                ("base-uri 'self'; object-src 'self'", Keep),
                (
                    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
                    Append,
                ),
            ),
        ),
        row(
            SecurityHeader::StrictTransportSecurity,
            given.strict_transport_security.as_ref(),
            of(("max-age=31536000", Keep), ("max-age=63072000; includeSubDomains", Override)),
        ),
        row(
            SecurityHeader::XFrameOptions,
            given.x_frame_options.as_ref(),
            of(("SAMEORIGIN", Keep), ("DENY", Override)),
        ),
        row(
            SecurityHeader::XContentTypeOptions,
            given.x_content_type_options.as_ref(),
            of(("nosniff", Override), ("nosniff", Override)),
        ),
        row(
            SecurityHeader::ReferrerPolicy,
            given.referrer_policy.as_ref(),
            of(("strict-origin-when-cross-origin", Keep), ("no-referrer", Override)),
        ),
        row(
            SecurityHeader::PermissionsPolicy,
            given.permissions_policy.as_ref(),
            of(
                ("browsing-topics=(), hid=(), serial=(), usb=()", Keep),
                (
                    "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), \
                     gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
                     screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()",
                    Override,
                ),
            ),
        ),
        row(
            SecurityHeader::CrossOriginOpenerPolicy,
            given.cross_origin_opener_policy.as_ref(),
            of(("same-origin-allow-popups", Keep), ("same-origin", Override)),
        ),
        row(
            SecurityHeader::CrossOriginResourcePolicy,
            given.cross_origin_resource_policy.as_ref(),
            of(("cross-origin", Keep), ("same-origin", Override)),
        ),
        row(
            SecurityHeader::XXssProtection,
            given.x_xss_protection.as_ref(),
            of(("0", Override), ("0", Override)),
        ),
    ]
}

fn field(row: &Row<'_>) -> Option<SecurityField> {
    let (preset_value, preset_merge) = row.preset.unzip();
    let own = row.own.map(At::value);
    let value = own.and_then(|own| own.value.as_ref()).map(HeaderText::as_str).or(preset_value)?;
    let merge = match own.and_then(|own| own.merge) {
        Some(desired::Merge::Off) => return None,
        Some(desired::Merge::Keep) => Merge::Keep,
        Some(desired::Merge::Override) => Merge::Override,
        Some(desired::Merge::Append) => Merge::Append,
        None => preset_merge.unwrap_or(Merge::Keep),
    };
    Some(SecurityField { header: row.header, value: Some(value.into()), merge })
}

fn rules(given: &desired::HeaderRules) -> FieldRules {
    let desired::HeaderRules { remove, set, add } = given;
    let removed = remove.iter().chain(set.iter().map(|line| &line.name));
    FieldRules {
        remove: removed.map(|name| name.as_str().into()).collect(),
        write: set
            .iter()
            .chain(add)
            .map(|line| (line.name.as_str().into(), Template::parse(line.value.as_str())))
            .collect(),
    }
}

fn cors(route: &desired::Route, given: &desired::Cors) -> Cors {
    let names = |names: &[At<HeaderName>]| {
        names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ").into_boxed_str()
    };
    let methods = if given.methods.is_empty() { &route.methods } else { &given.methods };
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    Cors {
        origins: given.origins.iter().map(|allowed| origin(allowed)).collect(),
        methods: if methods.is_empty() { DEFAULT_METHODS.into() } else { methods.join(", ").into() },
        headers: names(&given.headers),
        exposed_headers: names(&given.exposed_headers),
        credentials: given.credentials,
        max_age_s: given.max_age_s.map_or(DEFAULT_MAX_AGE_S, Count::get).to_string().into(),
    }
}

fn origin(given: &veloflux_model::value::CorsOrigin) -> CorsOrigin {
    match given.suffix() {
        _ if given.is_any() => CorsOrigin::Any,
        Some((scheme, suffix)) => CorsOrigin::Below { scheme: scheme.into(), suffix: suffix.into() },
        None => CorsOrigin::Exact(given.as_str().into()),
    }
}

impl Compiler<'_> {
    /// How often a tenant's clients may report; `None`: it takes no reports.
    pub(super) fn csp_reports(&self, tenant: &desired::Tenant) -> Option<Arc<Limits>> {
        let everywhere = tenant.routes.iter().map(|route| &route.security_headers);
        everywhere.chain([&tenant.security_headers]).any(|headers| headers.csp_reports == Some(true)).then(
            || {
                let id = tenant.name.as_str();
                let rule = |name: &str, key, per_min| RateRule {
                    name: name.into(),
                    key,
                    methods: Vec::new(),
                    path: None,
                    pace: Pace::new(per_min, Duration::from_mins(1), per_min),
                    cost: 1,
                    action: LimitAction::Reject,
                    dry_run: false,
                    policy: None,
                    state: self.registry.limit(&format!("{id}/csp_reports/{name}").into()),
                };
                Arc::new(Limits {
                    rates: vec![
                        rule("per_client", vec![KeyPart::Client(64)], REPORTS_PER_CLIENT_PER_MIN),
                        rule("total", Vec::new(), REPORTS_PER_MIN),
                    ],
                    connections: Vec::new(),
                    requests: Vec::new(),
                    bandwidth: Vec::new(),
                    tenant_mark: stable_hash(id.as_bytes(), 0) as u16,
                })
            },
        )
    }
}
