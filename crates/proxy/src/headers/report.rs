//! Reports of what a Content-Security-Policy stopped, which browsers send to a fixed path under a tenant's hosts.
//!
//! Both forms are read: `application/csp-report` (CSP Level 3 section 5.3, one report) and `application/reports+json`
//! (Reporting API, a list of which only `csp-violation` counts). Anybody can send anything here, so that body, reports
//! per body and how often are bounded, addresses are kept without query and fragment, what was stopped is never kept
//! itself, and all of it is masked before it is written.

use std::borrow::Cow;

use serde::Deserialize;
use veloflux_snapshot::headers::CSP_REPORT_PATH;

use crate::answer::Rejection;
use crate::exchange::{self, Client, Clock};
use crate::head::{Known, RequestHead};
use crate::observe::Observation;
use crate::route;

/// Longest body of reports, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Most reports that are taken from one body; the rest is dropped.
pub const MAX_REPORTS: usize = 16;

/// What was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    /// The page, without query and fragment.
    pub document: Cow<'a, str>,
    /// What it tried to load, without query and fragment, or a word such as `inline`.
    pub blocked: Cow<'a, str>,
    /// The directive that stopped it.
    pub directive: Cow<'a, str>,
    /// Where the script is that tried, without query and fragment; empty: unknown.
    pub source: Cow<'a, str>,
    /// Its line; 0: unknown.
    pub line: u64,
    /// Whether it was stopped, or only reported on.
    pub enforced: bool,
}

/// Whether a request brings reports.
pub(crate) fn is_report(head: &RequestHead) -> bool {
    head.method() == b"POST" && *route::normal_path(head.path()) == *CSP_REPORT_PATH.as_bytes()
}

/// Takes a body of reports and writes each down.
pub(crate) async fn take_reports<C: Client>(
    head: &RequestHead,
    client: &mut C,
    clock: &Clock,
    observed: &mut Observation<'_>,
) -> Result<(), Rejection> {
    let mut body = Vec::new();
    let whole = exchange::gather(client, &mut body, MAX_BODY_BYTES, clock).await?;
    observed.bytes_in = body.len() as u64;
    if !whole {
        return Err(Rejection::BodyTooLarge);
    }
    let content_type = head.fields.first(Known::ContentType).unwrap_or_default();
    let reports = read_reports(content_type, &body)
        .ok_or(Rejection::BadRequest("The body is no report of a Content-Security-Policy."))?;
    for report in &reports {
        observed.csp_report(report);
    }
    Ok(())
}

/// Reads a body of reports, at most [`MAX_REPORTS`]; `None`: it is none, by its type or its content.
pub fn read_reports<'a>(content_type: &[u8], body: &'a [u8]) -> Option<Vec<Report<'a>>> {
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/csp-report") {
        let Single { report } = serde_json::from_slice(body).ok()?;
        return Some(vec![report.into()]);
    }
    if !essence.eq_ignore_ascii_case(b"application/reports+json") {
        return None;
    }
    let listed: Vec<Listed<'a>> = serde_json::from_slice(body).ok()?;
    let violations = listed.into_iter().filter(|listed| listed.kind == "csp-violation");
    Some(violations.filter_map(|listed| listed.body).take(MAX_REPORTS).map(Into::into).collect())
}

#[derive(Deserialize)]
struct Single<'a> {
    #[serde(rename = "csp-report", borrow)]
    report: Fields<'a>,
}

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    body: Option<Fields<'a>>,
}

/// A report under the names of either form.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(alias = "document-uri", alias = "documentURL", borrow, default)]
    document: Cow<'a, str>,
    #[serde(alias = "blocked-uri", alias = "blockedURL", borrow, default)]
    blocked: Cow<'a, str>,
    #[serde(alias = "effective-directive", alias = "effectiveDirective", borrow, default)]
    effective: Cow<'a, str>,
    /// What browsers sent before there was an effective directive.
    #[serde(rename = "violated-directive", borrow, default)]
    violated: Cow<'a, str>,
    #[serde(alias = "source-file", alias = "sourceFile", borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(alias = "line-number", alias = "lineNumber", default)]
    line: Option<u64>,
    #[serde(borrow, default)]
    disposition: Cow<'a, str>,
}

impl<'a> From<Fields<'a>> for Report<'a> {
    fn from(fields: Fields<'a>) -> Self {
        Self {
            document: bare(fields.document),
            blocked: bare(fields.blocked),
            directive: if fields.effective.is_empty() { fields.violated } else { fields.effective },
            source: bare(fields.source.unwrap_or_default()),
            line: fields.line.unwrap_or_default(),
            enforced: fields.disposition != "report",
        }
    }
}

/// An address without query and fragment. Of a `data:` or `blob:` address only the scheme is left.
fn bare(url: Cow<'_, str>) -> Cow<'_, str> {
    let is_content = ["data:", "blob:"].iter().any(|scheme| url.starts_with(scheme));
    let end = if is_content { url.find(':') } else { url.find(['?', '#']) };
    match (end, url) {
        (None, url) => url,
        (Some(end), Cow::Borrowed(url)) => Cow::Borrowed(&url[..end]),
        (Some(end), Cow::Owned(mut url)) => {
            url.truncate(end);
            Cow::Owned(url)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let old = br#"{"csp-report":{"document-uri":"https://a.test/p?token=1#x","referrer":"","violated-directive":
            "script-src","effective-directive":"script-src-elem","original-policy":"x","blocked-uri":"inline",
            "source-file":"https://a.test/a.js?v=1","line-number":7,"disposition":"report","status-code":200}}"#;
        let expected = Report {
            document: "https://a.test/p".into(),
            blocked: "inline".into(),
            directive: "script-src-elem".into(),
            source: "https://a.test/a.js".into(),
            line: 7,
            enforced: false,
        };
        assert_eq!(read_reports(b"Application/CSP-report; charset=utf-8", old), Some(vec![expected]));

        let new = br#"[{"type":"deprecation","age":1,"url":"https://a.test/","body":{"id":"x"}},
            {"type":"csp-violation","age":1,"url":"https://a.test/","body":{"documentURL":"https://a.test/",
            "blockedURL":"data:text/html,secret","effectiveDirective":"img-src","disposition":"enforce"}}]"#;
        let expected = Report {
            document: "https://a.test/".into(),
            blocked: "data".into(),
            directive: "img-src".into(),
            source: "".into(),
            line: 0,
            enforced: true,
        };
        assert_eq!(read_reports(b"application/reports+json", new), Some(vec![expected]));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for (content_type, body) in [
            (&b""[..], &br#"{"csp-report":{}}"#[..]),
            (b"application/json", br#"{"csp-report":{}}"#),
            (b"application/csp-report", b""),
            (b"application/csp-report", b"{}"),
            (b"application/csp-report", b"[]"),
            (b"application/csp-report", b"\xff"),
            (b"application/reports+json", b"{}"),
            (b"application/reports+json", br#"[{"type":"csp-violation","body":7}]"#),
        ] {
            assert_eq!(read_reports(content_type, body), None, "{content_type:?} {body:?}");
        }
    }

    #[test]
    fn no_more_than_a_bounded_number_is_taken() {
        let many = format!("[{}]", [r#"{"type":"csp-violation","body":{}}"#; MAX_REPORTS + 5].join(","));
        let taken = read_reports(b"application/reports+json", many.as_bytes()).unwrap();
        assert_eq!(taken.len(), MAX_REPORTS);
    }

    proptest! {
        #[test]
        fn addresses_keep_no_query(url in "[a-z:/?#é\\\\\"]{0,40}") {
            let body = serde_json::json!({"csp-report": {"document-uri": url, "blocked-uri": url}}).to_string();
            let reports = read_reports(b"application/csp-report", body.as_bytes()).unwrap();
            prop_assert!(!reports[0].document.contains(['?', '#']));
            prop_assert!(url.starts_with(&*reports[0].blocked));
        }
    }
}
