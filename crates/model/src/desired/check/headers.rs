//! Header fields: rules touch nothing that framing, routing or the edge's own fields depend on, and no origin is
//! trusted with credentials by a `*`.

use super::Check;
use crate::desired::{Cors, HeaderRules, Merge, Route, SecurityHeader, SecurityHeaders};
use crate::located::At;
use crate::value::HeaderName;

/// Most rules for the header of a route's requests or responses.
const MAX_RULES: usize = 32;

/// Most origins, methods or headers that a route's CORS names.
const MAX_CORS_ENTRIES: usize = 64;

/// Fields of one connection (RFC 9110 section 7.6.1), and those that say where a message ends or for whom it is.
const UNTOUCHABLE: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// What the edge tells backends of the client itself; `x-forwarded-` and what follows it besides.
const FORWARDING: [&str; 2] = ["forwarded", "x-real-ip"];

/// Response fields that `security_headers` is for.
const SECURITY: [&str; 12] = [
    "content-security-policy",
    "content-security-policy-report-only",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
    "x-xss-protection",
];

impl Check {
    pub(super) fn security_headers(&mut self, headers: &SecurityHeaders) {
        let SecurityHeaders { content_security_policy: csp, csp_reports, .. } = headers;
        let others = [
            &headers.strict_transport_security,
            &headers.x_frame_options,
            &headers.x_content_type_options,
            &headers.referrer_policy,
            &headers.permissions_policy,
            &headers.cross_origin_opener_policy,
            &headers.cross_origin_resource_policy,
            &headers.x_xss_protection,
        ];
        for header in others.into_iter().flatten().filter(|header| header.merge == Some(Merge::Append)) {
            let hint = "write `keep` or `override`";
            self.report(header.position(), "browsers take only one value of this header", hint);
        }
        for header in others.into_iter().chain([csp]).flatten() {
            if header.value.as_ref().is_some_and(|value| value.as_str().is_empty()) {
                self.report(header.position(), "the value is empty", "write `merge: off` to send none");
            }
            if header.value.is_some() && header.merge == Some(Merge::Off) {
                self.report(header.position(), "the value is never sent", "remove it, or `merge: off`");
            }
        }
        if let Some(csp) = csp.as_ref().filter(|_| *csp_reports == Some(true))
            && names_reports(csp)
        {
            let hint = "leave `report-uri` and `report-to` out of it, or `csp_reports`";
            self.report(csp.position(), "the policy says itself where reports go", hint);
        }
    }

    pub(super) fn route_headers(&mut self, route: &Route) {
        self.security_headers(&route.security_headers);
        let at = route.name.position();
        if route.forward.is_none() && !route.request_headers.is_empty() {
            let hint = "they are for routes that forward requests";
            self.report(at, format!("nobody gets to see `request_headers` of `{}`", route.name), hint);
        }
        for (rules, response) in [(&route.request_headers, false), (&route.response_headers, true)] {
            let count = rules.names().count();
            self.length("header rules", at, count, 0, MAX_RULES);
            self.unique("removed header", rules.remove.iter());
            self.unique("set header", rules.set.iter().map(|line| &line.name));
            self.header_rules(rules, response, route.cors.is_some());
        }
        if let Some(cors) = &route.cors {
            self.cors(route, cors);
        }
    }

    fn header_rules(&mut self, rules: &HeaderRules, response: bool, cors: bool) {
        for name in rules.names() {
            let text = name.as_str();
            let of = |list: &[&str]| list.contains(&text);
            let hint = if of(&UNTOUCHABLE) {
                "what it says is settled between the edge and each side"
            } else if !response && (of(&FORWARDING) || text.starts_with("x-forwarded-")) {
                "the edge tells backends of the client itself"
            } else if response && of(&SECURITY) {
                "write it under `security_headers`"
            } else if response && cors && text.starts_with("access-control-") {
                "it follows from `cors`"
            } else {
                continue;
            };
            self.report(name.position(), format!("no rule may touch `{name}`"), hint);
        }
        for name in &rules.remove {
            if rules.set.iter().any(|line| line.name.value() == name.value()) {
                self.report(name.position(), format!("`{name}` is set as well"), "`set` removes it too");
            }
        }
    }

    fn cors(&mut self, route: &Route, cors: &Cors) {
        let at = route.name.position();
        self.length("origins", at, cors.origins.len(), 1, MAX_CORS_ENTRIES);
        self.length("methods", at, cors.methods.len(), 0, MAX_CORS_ENTRIES);
        self.unique("origin", cors.origins.iter());
        for (what, headers) in [("header", &cors.headers), ("exposed header", &cors.exposed_headers)] {
            self.length(&format!("{what}s"), at, headers.len(), 0, MAX_CORS_ENTRIES);
            self.unique(what, headers.iter());
        }
        if !cors.credentials {
            return;
        }
        let hint = "name who is trusted with them; Fetch standard section 3.2.5";
        if let Some(any) = cors.origins.iter().find(|origin| origin.is_any()) {
            self.report(any.position(), "credentials are never for every origin", hint);
        }
        let every = |name: &&At<HeaderName>| name.as_str() == "*";
        if let Some(any) = cors.headers.iter().chain(&cors.exposed_headers).find(every) {
            let hint = "name the headers; with credentials `*` is only a header of that name";
            self.report(any.position(), "`*` does not stand for all headers with credentials", hint);
        }
        if cors.methods.iter().any(|method| method.as_str() == "*") {
            let hint = "name the methods";
            self.report(at, "`*` does not stand for all methods with credentials", hint);
        }
    }
}

/// Whether a policy says where reports go.
fn names_reports(header: &SecurityHeader) -> bool {
    header.value.as_ref().is_some_and(|value| {
        value.as_str().split(';').any(|directive| {
            let name = directive.split_ascii_whitespace().next().unwrap_or_default();
            ["report-uri", "report-to"].iter().any(|known| name.eq_ignore_ascii_case(known))
        })
    })
}
