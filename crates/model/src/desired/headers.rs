//! What the edge does to header fields: security headers of a tenant, refined per route; a route's own rules; and who
//! may read a route's responses from other origins (CORS).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::At;
use crate::value::{CorsOrigin, Count, HeaderName, HeaderTemplate, HeaderText, Method};

/// Security headers on every response. What a route leaves out is the tenant's; a route that names a preset starts
/// from that alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityHeaders {
    /// What is sent where nothing else is said here. Default: balanced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What a page may load and do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_security_policy: Option<At<SecurityHeader>>,
    /// Whether that policy is only reported on, not enforced. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csp_report_only: Option<bool>,
    /// Whether browsers are asked to report what the policy stopped, to the edge itself. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csp_reports: Option<bool>,
    /// For how long browsers use HTTPS only. Sent over HTTPS only (RFC 6797 section 7.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_transport_security: Option<At<SecurityHeader>>,
    /// Who may show the page in a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_frame_options: Option<At<SecurityHeader>>,
    /// Whether browsers may guess content types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_content_type_options: Option<At<SecurityHeader>>,
    /// How much of its address a page tells others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer_policy: Option<At<SecurityHeader>>,
    /// Which of the browser's features a page may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions_policy: Option<At<SecurityHeader>>,
    /// Whether pages of other origins share the window's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_origin_opener_policy: Option<At<SecurityHeader>>,
    /// Which origins may embed the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_origin_resource_policy: Option<At<SecurityHeader>>,
    /// What old browsers' filter does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_xss_protection: Option<At<SecurityHeader>>,
    /// Whether `Server` and `X-Powered-By` of backends are removed. Default: unless the preset is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hide_server: Option<bool>,
}

/// A set of security headers; docs/headers.md lists what each holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// As much as browsers know, whatever a backend says; a site has to be written for it.
    Strict,
    /// What ordinary sites work with; where a backend says something itself, that mostly stays.
    #[default]
    Balanced,
    /// Nothing.
    Off,
}

/// One security header. What is left out is as in the preset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityHeader {
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<HeaderText>,
    /// What happens where the backend sent the header too. Default: as in the preset; in the preset off, keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
}

/// How a header of the edge meets the backend's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The backend's stays; the edge's is sent where the backend sent none.
    Keep,
    /// The edge's takes the place of the backend's.
    Override,
    /// Both are sent. Only of a Content-Security-Policy, of which both then apply.
    Append,
    /// The edge sends none, and the backend's passes.
    Off,
}

impl SecurityHeaders {
    /// Whether nothing is set, so that what is inherited is in force as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is in force where `self` is inherited and `own` refines it.
    #[must_use]
    pub fn refined_by(&self, own: &Self) -> Self {
        if own.preset.is_some() {
            return own.clone();
        }
        let first = |own: &Option<At<SecurityHeader>>, inherited: &Option<At<SecurityHeader>>| {
            own.as_ref().or(inherited.as_ref()).cloned()
        };
        Self {
            preset: self.preset,
            content_security_policy: first(&own.content_security_policy, &self.content_security_policy),
            csp_report_only: own.csp_report_only.or(self.csp_report_only),
            csp_reports: own.csp_reports.or(self.csp_reports),
            strict_transport_security: first(&own.strict_transport_security, &self.strict_transport_security),
            x_frame_options: first(&own.x_frame_options, &self.x_frame_options),
            x_content_type_options: first(&own.x_content_type_options, &self.x_content_type_options),
            referrer_policy: first(&own.referrer_policy, &self.referrer_policy),
            permissions_policy: first(&own.permissions_policy, &self.permissions_policy),
            cross_origin_opener_policy: first(
                &own.cross_origin_opener_policy,
                &self.cross_origin_opener_policy,
            ),
            cross_origin_resource_policy: first(
                &own.cross_origin_resource_policy,
                &self.cross_origin_resource_policy,
            ),
            x_xss_protection: first(&own.x_xss_protection, &self.x_xss_protection),
            hide_server: own.hide_server.or(self.hide_server),
        }
    }
}

/// Rules for header fields, carried out in this order: remove, set, add.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderRules {
    /// Fields that are removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<At<HeaderName>>,
    /// Fields that take the place of all that there are of their name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderLine>,
    /// Fields beside those that there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderLine>,
}

/// A header field to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderLine {
    /// Name, in lower case.
    pub name: At<HeaderName>,
    /// Its value.
    pub value: HeaderTemplate,
}

impl HeaderRules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The name of every field that a rule is about.
    pub fn names(&self) -> impl Iterator<Item = &At<HeaderName>> {
        self.remove.iter().chain(self.set.iter().chain(&self.add).map(|line| &line.name))
    }
}

/// Which other origins' scripts may read responses (CORS, Fetch standard section 3.2). The edge answers preflights, and
/// what backends say of it themselves is removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// The origins, at least one: `https://app.example`, `https://*.example` for every name below, or `*` for all.
    pub origins: Vec<At<CorsOrigin>>,
    /// Methods that they may use. Left out: those of the route, or else GET, HEAD and POST.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// Request headers that they may set, beside those that every script may; `*` for all but `authorization`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<At<HeaderName>>,
    /// Response headers that they may read, beside those that every script may; `*` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_headers: Vec<At<HeaderName>>,
    /// Whether requests carry cookies and the like; not with `*` anywhere. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credentials: bool,
    /// For how long a browser remembers a preflight's answer, in seconds. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<Count<0, 86_400>>,
}
