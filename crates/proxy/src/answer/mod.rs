//! The edge's own answers: the one place that turns a [`Rejection`] into bytes.
//!
//! A browser (Accept names HTML and does not prefer JSON) gets a small HTML page, everybody else
//! `application/problem+json` (RFC 9457). Both say what went wrong in words for the client and carry the request
//! id, by which the log tells more; neither repeats any part of the request or names a backend, a rule or a
//! version.

mod accept;

use std::borrow::Cow;

use serde::Serialize;

pub(crate) use accept::prefers_html;

/// Why a request is not answered by a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The request breaks HTTP's grammar or could be read in two ways; how, in words for the client.
    BadRequest(&'static str),
    /// A protocol version that is not served.
    UnsupportedVersion,
    /// A transfer coding that is not understood (RFC 9112 section 6.1).
    UnsupportedTransferCoding,
    /// The target is longer than allowed.
    UriTooLong,
    /// The head is longer than allowed, or has too many fields.
    HeaderTooLarge,
    /// The body is longer than the route or the firewall allows.
    BodyTooLarge,
    /// An expectation other than 100-continue (RFC 9110 section 10.1.1).
    ExpectationFailed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The host belongs to another tenant than the TLS server name (RFC 9110 section 7.4).
    MisdirectedRequest,
    /// The host or the route is for clients with a verified certificate only.
    ClientCertificateRequired,
    /// The host belongs to no tenant.
    UnknownHost,
    /// No route of the tenant matches.
    NoRoute,
    /// A route matches but for the method.
    MethodNotAllowed,
    /// IP and country rules refused.
    Denied,
    /// The request is over a limit of its tenant, route or client.
    TooManyRequests {
        /// When it may be within it, in seconds from now.
        retry_after_s: u32,
    },
    /// The firewall refused.
    Blocked {
        /// The status that the policy asks for, usually 403.
        status: u16,
    },
    /// The site is closed for maintenance.
    Maintenance {
        /// When clients may try again, in seconds from now.
        retry_after_s: u32,
    },
    /// The site is under attack, and the client has proved no work.
    ProofRequired,
    /// Every backend is down or draining.
    NoBackend,
    /// No backend gave a usable answer.
    BackendFailed,
    /// The backend's answer is in a content coding that cannot be undone, and so cannot be looked at as the policy asks.
    Undecodable,
    /// No backend answered in time.
    BackendTimeout,
    /// The edge is at one of its own limits.
    Overloaded,
    /// A fault of the edge itself; refusing is how it fails closed.
    Internal,
    /// The client went away: nothing can be sent, but the log says so (status 499, as in nginx).
    ClientGone,
}

/// An answer ready to be sent. Content-Length and framing are the connection's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; not sent in answer to HEAD.
    pub body: String,
}

/// Renders `rejection` for a client that sent these Accept header values.
pub fn render<'a>(rejection: &Rejection, accept: impl Iterator<Item = &'a [u8]>, request_id: &str) -> Answer {
    let status = rejection.status();
    let words = Words::of(rejection);
    let (content_type, body) = if prefers_html(accept) {
        ("text/html; charset=utf-8", html(status, &words, request_id))
    } else {
        ("application/problem+json", problem(status, &words, request_id))
    };
    let mut headers = vec![
        ("Content-Type", Cow::Borrowed(content_type)),
        ("Cache-Control", "no-store".into()),
        ("X-Content-Type-Options", "nosniff".into()),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'".into()),
        ("X-Request-Id", request_id.to_owned().into()),
    ];
    if let Some(seconds) = rejection.retry_after_s() {
        headers.push(("Retry-After", seconds.to_string().into()));
    }
    Answer { status, headers, body }
}

impl Rejection {
    /// The status code of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::UnknownHost | Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UriTooLong => 414,
            Self::ExpectationFailed => 417,
            Self::MisdirectedRequest => 421,
            Self::TooManyRequests { .. } => 429,
            Self::HeaderTooLarge => 431,
            Self::ClientGone => 499,
            // A policy cannot turn a refusal into a success.
            Self::Blocked { status } if (400..600).contains(status) => *status,
            Self::Blocked { .. } | Self::Denied | Self::ClientCertificateRequired | Self::ProofRequired => {
                403
            }
            Self::Internal => 500,
            Self::UnsupportedTransferCoding => 501,
            Self::BackendFailed | Self::Undecodable => 502,
            Self::NoBackend | Self::Overloaded | Self::Maintenance { .. } => 503,
            Self::BackendTimeout => 504,
            Self::UnsupportedVersion => 505,
        }
    }

    /// Whether the connection cannot be used again: what follows on it is not known to be a request.
    pub fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::UnsupportedVersion
                | Self::UnsupportedTransferCoding
                | Self::UriTooLong
                | Self::HeaderTooLarge
                | Self::BodyTooLarge
                | Self::ExpectationFailed
                | Self::RequestTimeout
                | Self::ClientGone
        )
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests { retry_after_s } | Self::Maintenance { retry_after_s } => {
                Some(*retry_after_s)
            }
            Self::Overloaded => Some(1),
            Self::NoBackend => Some(5),
            _ => None,
        }
    }
}

/// What the client reads.
struct Words {
    title: &'static str,
    detail: &'static str,
}

impl Words {
    fn of(rejection: &Rejection) -> Self {
        let (title, detail) = match rejection {
            Rejection::BadRequest(why) => ("Bad request", *why),
            Rejection::UnsupportedVersion => {
                ("HTTP version not supported", "This server speaks HTTP/1.1 and HTTP/2.")
            }
            Rejection::UnsupportedTransferCoding => {
                ("Not implemented", "The request's transfer coding is not understood.")
            }
            Rejection::UriTooLong => {
                ("URI too long", "The requested address is longer than this server accepts.")
            }
            Rejection::HeaderTooLarge => (
                "Request header fields too large",
                "The request's header is larger than this server accepts.",
            ),
            Rejection::BodyTooLarge => {
                ("Content too large", "The request's body is larger than this address accepts.")
            }
            Rejection::ExpectationFailed => {
                ("Expectation failed", "The request's expectation cannot be met.")
            }
            Rejection::RequestTimeout => ("Request timeout", "The request did not arrive in time."),
            Rejection::MisdirectedRequest => {
                ("Misdirected request", "This connection was made for another host. Connect anew.")
            }
            Rejection::ClientCertificateRequired => (
                "Client certificate required",
                "This address is for clients that show a certificate which this server accepts.",
            ),
            Rejection::UnknownHost => ("Not found", "No site is served under this name."),
            Rejection::NoRoute => ("Not found", "There is nothing at this address."),
            Rejection::MethodNotAllowed => {
                ("Method not allowed", "This address does not accept the request's method.")
            }
            Rejection::Undecodable => {
                ("Bad gateway", "The site answered in a content coding that cannot be checked here.")
            }
            Rejection::Denied => (
                "Access denied",
                "Requests from your address are not accepted here. If yours should be, tell the site's owner the request id.",
            ),
            Rejection::TooManyRequests { .. } => {
                ("Too many requests", "There were too many requests. Please try again a little later.")
            }
            Rejection::Blocked { .. } => (
                "Request blocked",
                "The request looks like an attack and was refused. If it was not one, tell the site's owner the request id.",
            ),
            Rejection::Maintenance { .. } => (
                "Service unavailable",
                "The site is being worked on and will be back. Please try again later.",
            ),
            Rejection::ProofRequired => (
                "Browser check required",
                "The site is under attack and serves only browsers that have passed a check. Open one of its pages in a browser first, or ask the site's owner to let your program in.",
            ),
            Rejection::NoBackend => {
                ("Service unavailable", "The site cannot be reached at the moment. Please try again shortly.")
            }
            Rejection::BackendFailed => ("Bad gateway", "The site did not give a usable answer."),
            Rejection::BackendTimeout => ("Gateway timeout", "The site did not answer in time."),
            Rejection::Overloaded => ("Service unavailable", "The server is busy. Please try again shortly."),
            Rejection::Internal => {
                ("Internal server error", "The server could not handle the request safely and refused it.")
            }
            Rejection::ClientGone => ("Client closed request", "The client closed the connection."),
        };
        Self { title, detail }
    }
}

/// RFC 9457: `about:blank` says that the status tells the type.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    request_id: &'a str,
}

fn problem(status: u16, words: &Words, request_id: &str) -> String {
    let problem =
        Problem { r#type: "about:blank", title: words.title, status, detail: words.detail, request_id };
    // Strings and a number always serialise.
    serde_json::to_string(&problem).unwrap_or_default()
}

fn html(status: u16, words: &Words, request_id: &str) -> String {
    let [title, detail, request_id] = [words.title, words.detail, request_id].map(escape);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status} {title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n<p>{detail}</p>\n<p>Request id: <code>{request_id}</code></p>\n</body>\n</html>\n"
    )
}

/// Makes text safe between tags and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f3a4-5b6c-7d8e-9f01-23456789abcd";

    fn every_rejection() -> [(&'static str, Rejection); 24] {
        [
            (
                "bad-request",
                Rejection::BadRequest("Both Content-Length & \"Transfer-Encoding\" are present."),
            ),
            ("unsupported-version", Rejection::UnsupportedVersion),
            ("unsupported-transfer-coding", Rejection::UnsupportedTransferCoding),
            ("uri-too-long", Rejection::UriTooLong),
            ("header-too-large", Rejection::HeaderTooLarge),
            ("body-too-large", Rejection::BodyTooLarge),
            ("expectation-failed", Rejection::ExpectationFailed),
            ("request-timeout", Rejection::RequestTimeout),
            ("misdirected-request", Rejection::MisdirectedRequest),
            ("client-certificate-required", Rejection::ClientCertificateRequired),
            ("unknown-host", Rejection::UnknownHost),
            ("no-route", Rejection::NoRoute),
            ("method-not-allowed", Rejection::MethodNotAllowed),
            ("denied", Rejection::Denied),
            ("too-many-requests", Rejection::TooManyRequests { retry_after_s: 7 }),
            ("blocked", Rejection::Blocked { status: 403 }),
            ("maintenance", Rejection::Maintenance { retry_after_s: 300 }),
            ("proof-required", Rejection::ProofRequired),
            ("no-backend", Rejection::NoBackend),
            ("backend-failed", Rejection::BackendFailed),
            ("undecodable", Rejection::Undecodable),
            ("backend-timeout", Rejection::BackendTimeout),
            ("overloaded", Rejection::Overloaded),
            ("internal", Rejection::Internal),
        ]
    }

    fn as_text(answer: &Answer) -> String {
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{}\n{}\n\n{}", answer.status, headers.join("\n"), answer.body)
    }

    /// Compares with the files in `golden/`; with `UPDATE_GOLDEN` set, writes them.
    #[test]
    fn answers_are_as_in_the_golden_files() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/answer/golden");
        for (name, rejection) in every_rejection() {
            for (form, accept) in [("html", &b"text/html"[..]), ("json", b"*/*")] {
                let answer = as_text(&render(&rejection, [accept].into_iter(), ID));
                let file = dir.join(format!("{name}.{form}.txt"));
                if std::env::var_os("UPDATE_GOLDEN").is_some() {
                    std::fs::write(&file, &answer).unwrap();
                }
                let golden = std::fs::read_to_string(&file).unwrap();
                assert_eq!(answer, golden, "{}", file.display());
            }
        }
    }

    #[test]
    fn a_policy_cannot_turn_a_refusal_into_success() {
        for (asked, sent) in
            [(403, 403), (429, 429), (503, 503), (200, 403), (302, 403), (0, 403), (600, 403)]
        {
            assert_eq!(Rejection::Blocked { status: asked }.status(), sent);
        }
    }

    #[test]
    fn what_is_not_fixed_text_is_escaped() {
        let id = "<script>\"'&";
        let page = render(&Rejection::NoRoute, [&b"text/html"[..]].into_iter(), id).body;
        assert!(page.contains("<code>&lt;script&gt;&quot;&#39;&amp;</code>"), "{page}");
        let problem = render(&Rejection::NoRoute, std::iter::empty(), id).body;
        let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
        assert_eq!(problem["request_id"], id);
    }

    #[test]
    fn connections_stay_open_only_where_the_request_was_read_whole() {
        let closing: Vec<_> = every_rejection()
            .into_iter()
            .filter(|(_, r)| r.closes_connection())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            closing,
            [
                "bad-request",
                "unsupported-version",
                "unsupported-transfer-coding",
                "uri-too-long",
                "header-too-large",
                "body-too-large",
                "expectation-failed",
                "request-timeout",
            ]
        );
    }
}
