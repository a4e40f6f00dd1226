//! Header fields as the edge changes them: ready bytes, so that a response costs copies only.

use crate::template::Template;

/// Where browsers report what a Content-Security-Policy stopped, under every host of a tenant that asked for it.
pub const CSP_REPORT_PATH: &str = "/.well-known/veloflux/csp-report";

/// What happens to the header fields of a route's requests and responses, or of responses that no route makes.
#[derive(Debug, Default)]
pub struct Headers {
    /// Security headers of every response.
    pub security: Vec<SecurityField>,
    /// For requests on their way to a backend.
    pub request: FieldRules,
    /// For responses.
    pub response: FieldRules,
    /// Who may read responses from other origins; `None`: that is left to backends.
    pub cors: Option<Cors>,
}

/// One security header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityField {
    /// Which one.
    pub header: SecurityHeader,
    /// Its value; `None`: it is removed only.
    pub value: Option<Box<str>>,
    /// How it meets the backend's.
    pub merge: Merge,
}

/// How a header of the edge meets the backend's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The backend's stays; the edge's is sent where there is none.
    Keep,
    /// The edge's takes its place.
    Override,
    /// Both are sent.
    Append,
}

macro_rules! security_headers {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// The security headers, and what else is sent or removed with them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum SecurityHeader {
            $($(#[$meta])* $variant),+
        }

        impl SecurityHeader {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The field's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

security_headers! {
    /// Content Security Policy Level 3, enforced.
    ContentSecurityPolicy = "Content-Security-Policy",
    /// The same, only reported on.
    ContentSecurityPolicyReportOnly = "Content-Security-Policy-Report-Only",
    /// Where reports go (Reporting API).
    ReportingEndpoints = "Reporting-Endpoints",
    /// RFC 6797; over HTTPS only.
    StrictTransportSecurity = "Strict-Transport-Security",
    /// RFC 7034.
    XFrameOptions = "X-Frame-Options",
    /// Fetch standard section 3.5.
    XContentTypeOptions = "X-Content-Type-Options",
    /// Referrer Policy.
    ReferrerPolicy = "Referrer-Policy",
    /// Permissions Policy.
    PermissionsPolicy = "Permissions-Policy",
    /// HTML standard section 7.1.3.
    CrossOriginOpenerPolicy = "Cross-Origin-Opener-Policy",
    /// Fetch standard section 3.6.
    CrossOriginResourcePolicy = "Cross-Origin-Resource-Policy",
    /// For browsers that no longer change.
    XXssProtection = "X-XSS-Protection",
    /// RFC 9110 section 10.2.4.
    Server = "Server",
    /// What many frameworks tell of themselves.
    XPoweredBy = "X-Powered-By",
}

/// Rules of a route for one direction.
#[derive(Debug, Default)]
pub struct FieldRules {
    /// Lower-case names of the fields that are left out, those that `write` sets anew among them.
    pub remove: Vec<Box<str>>,
    /// Fields that are written.
    pub write: Vec<(Box<str>, Template)>,
}

impl FieldRules {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.write.is_empty()
    }

    /// Whether a field of this name is left out.
    pub fn removes(&self, name: &[u8]) -> bool {
        self.remove.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Who may read a route's responses from other origins, as response fields (Fetch standard section 3.2.3).
#[derive(Debug)]
pub struct Cors {
    /// The origins.
    pub origins: Vec<CorsOrigin>,
    /// Value of Access-Control-Allow-Methods.
    pub methods: Box<str>,
    /// Value of Access-Control-Allow-Headers; empty: none.
    pub headers: Box<str>,
    /// Value of Access-Control-Expose-Headers; empty: none.
    pub exposed_headers: Box<str>,
    /// Whether requests may carry credentials.
    pub credentials: bool,
    /// Value of Access-Control-Max-Age, in seconds.
    pub max_age_s: Box<str>,
}

/// An origin that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigin {
    /// Every origin, the opaque `null` among them.
    Any,
    /// This one.
    Exact(Box<str>),
    /// Every name below one: `https://` and `.example:8443`.
    Below {
        /// The scheme with `://`.
        scheme: Box<str>,
        /// `.`, the parent, and the port if there is one.
        suffix: Box<str>,
    },
}

impl Cors {
    /// Whether every origin is allowed, so that responses do not differ by it.
    pub fn is_for_all(&self) -> bool {
        self.origins.contains(&CorsOrigin::Any)
    }

    /// Whether scripts of `origin`, as the browser wrote it, are allowed.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| match allowed {
            CorsOrigin::Any => true,
            CorsOrigin::Exact(exact) => exact.as_bytes() == origin,
            CorsOrigin::Below { scheme, suffix } => {
                let name = origin
                    .strip_prefix(scheme.as_bytes())
                    .and_then(|rest| rest.strip_suffix(suffix.as_bytes()));
                // What stands before the suffix is labels and nothing else, so that no port, userinfo or path can
                // make another host look like one below it.
                name.is_some_and(|name| {
                    !name.is_empty()
                        && !name.starts_with(b".")
                        && !name.ends_with(b".")
                        && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b))
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_one_are_labels_before_its_suffix() {
        let below = CorsOrigin::Below { scheme: "https://".into(), suffix: ".app.example".into() };
        let cors = Cors {
            origins: vec![below, CorsOrigin::Exact("http://localhost:3000".into())],
            methods: "GET".into(),
            headers: "".into(),
            exposed_headers: "".into(),
            credentials: false,
            max_age_s: "600".into(),
        };
        for allowed in ["https://a.app.example", "https://b.a.app.example", "http://localhost:3000"] {
            assert!(cors.allows(allowed.as_bytes()), "{allowed}");
        }
        for refused in [
            "https://app.example",
            "https://.app.example",
            "https://evilapp.example",
            "https://evil.example/.app.example",
            "https://evil.example:1.app.example",
            "https://u@x.app.example",
            "http://a.app.example",
            "https://a.app.example:8443",
            "https://a.app.example.evil.example",
            "http://localhost:3001",
            "null",
            "",
        ] {
            assert!(!cors.allows(refused.as_bytes()), "{refused}");
        }
        assert!(!cors.is_for_all());
    }
}
