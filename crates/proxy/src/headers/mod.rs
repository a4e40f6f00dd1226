//! Header fields of responses, changed in one place right before a head is written, whoever made the response: a
//! backend, a route, or the edge where it refuses.
//!
//! Policy, in this order:
//!
//! - What a route's rules remove goes, and what they write comes; not where the edge refuses, so that no rule makes a
//!   refusal look like the route's own, to a cache for example.
//! - Each security header meets what the response has of it already by its merge: `keep` leaves that alone, `override`
//!   takes its place, `append` comes beside it. The edge's own answers count as a backend's; but where it refuses and its
//!   page has a Content-Security-Policy, that stands alone: it allows what the page needs and nothing else.
//! - Strict-Transport-Security goes over HTTPS only, a backend's too (RFC 6797 section 7.2), and where the domain's TLS
//!   policy says what it is, nobody else does.
//! - Where a route says who may read it from other origins, nobody else does (see `cors`).
//!
//! Nothing is allocated but where the response's memory has to grow.

mod cors;
mod report;

use veloflux_snapshot::headers::{Headers, Merge, SecurityField, SecurityHeader};

use crate::head::{Fields, Known};
use crate::template::{self, Values};

pub(crate) use cors::preflight_method;
pub use report::{MAX_REPORTS, Report, read_reports};
pub(crate) use report::{is_report, take_reports};

/// Changes a response's fields: `own` are the backend's, or of the answer that the edge makes itself; `added` is what
/// goes out beside them.
pub(crate) fn finish(policy: &Headers, to: &Recipient<'_>, own: &mut Fields, added: &mut Fields) {
    if !policy.response.is_empty() && !to.is_refused {
        own.retain(|_, name| !policy.response.removes(name));
        template::write_fields(&policy.response, &to.request, added);
    }
    security(&policy.security, to, own, added);
    if let Some(cors) = &policy.cors {
        cors::finish(cors, to.request.head, own, added);
    }
}

/// Whom a response is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient<'a> {
    pub(crate) request: Values<'a>,
    pub(crate) transport: Transport<'a>,
    /// Whether the edge refuses the request.
    pub(crate) is_refused: bool,
}

/// What the response goes over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport<'a> {
    Plain,
    Tls {
        /// What the domain's TLS policy says of strict transport security, in place of anybody else's word.
        hsts: Option<&'a str>,
    },
}

fn security(fields: &[SecurityField], to: &Recipient<'_>, own: &mut Fields, added: &mut Fields) {
    let bit = |header: SecurityHeader| 1_u32 << header as u8;
    let add = |added: &mut Fields, header: SecurityHeader, value: &str| {
        added.push_known(Known::Security(header), header.name().as_bytes(), value.as_bytes());
    };
    let mut present = 0;
    for field in &own.list {
        if let Known::Security(header) = field.known {
            present |= bit(header);
        }
    }
    let sts = SecurityHeader::StrictTransportSecurity;
    // Of these nothing comes from `fields`.
    let mut settled = match to.transport {
        Transport::Plain => bit(sts),
        Transport::Tls { hsts: Some(hsts) } => {
            add(added, sts, hsts);
            bit(sts)
        }
        Transport::Tls { hsts: None } => 0,
    };
    let mut replaced = settled;
    if to.is_refused {
        settled |= present & bit(SecurityHeader::ContentSecurityPolicy);
    }
    for SecurityField { header, value, merge } in fields {
        let here = bit(*header);
        if settled & here != 0 {
            continue;
        }
        match merge {
            Merge::Keep if present & here != 0 => continue,
            Merge::Keep | Merge::Append => {}
            Merge::Override => replaced |= here,
        }
        if let Some(value) = value {
            add(added, *header, value);
        }
    }
    if present & replaced != 0 {
        own.retain(|known, _| !matches!(known, Known::Security(header) if replaced & bit(header) != 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::RequestHead;

    const TLS: Transport<'_> = Transport::Tls { hsts: None };

    fn after(
        policy: &[(SecurityHeader, Option<&str>, Merge)],
        transport: Transport<'_>,
        own: &[(&str, &str)],
    ) -> String {
        let policy = Headers {
            security: policy
                .iter()
                .map(|(header, value, merge)| SecurityField {
                    header: *header,
                    value: value.map(Into::into),
                    merge: *merge,
                })
                .collect(),
            ..Headers::default()
        };
        let (mut fields, mut added) = (Fields::default(), Fields::default());
        for (name, value) in own {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let head = RequestHead::default();
        let request = Values { head: &head, client: [127, 0, 0, 1].into(), request_id: "" };
        let to = Recipient { request, transport, is_refused: false };
        finish(&policy, &to, &mut fields, &mut added);
        let all = fields.iter().chain(added.iter());
        let lines: Vec<String> = all
            .map(|(_, name, value)| {
                format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            })
            .collect();
        lines.join("|")
    }

    #[test]
    fn each_merge_does_what_it_says() {
        use Merge::{Append, Keep, Override};
        use SecurityHeader::{ContentSecurityPolicy as Csp, XFrameOptions};
        for (header, merge, own, expected) in [
            (XFrameOptions, Keep, &[][..], "X-Frame-Options: DENY"),
            (XFrameOptions, Keep, &[("x-frame-options", "A")], "x-frame-options: A"),
            (XFrameOptions, Override, &[("x-frame-options", "A")], "X-Frame-Options: DENY"),
            (XFrameOptions, Override, &[("a", "b")], "a: b|X-Frame-Options: DENY"),
            (
                Csp,
                Append,
                &[("content-security-policy", "A")],
                "content-security-policy: A|Content-Security-Policy: DENY",
            ),
            (
                XFrameOptions,
                Override,
                &[("X-FRAME-OPTIONS", "A"), ("a", "b"), ("x-frame-options", "B")],
                "a: b|X-Frame-Options: DENY",
            ),
        ] {
            assert_eq!(
                after(&[(header, Some("DENY"), merge)], Transport::Plain, own),
                expected,
                "{merge:?} {own:?}"
            );
        }
        let hidden = [(SecurityHeader::Server, None, Override)];
        assert_eq!(after(&hidden, TLS, &[("Server", "x/1"), ("a", "b")]), "a: b");
        assert_eq!(after(&[], TLS, &[("Server", "x/1")]), "Server: x/1");
    }

    #[test]
    fn strict_transport_security_is_for_https() {
        let own = [("strict-transport-security", "max-age=1")];
        let domains = Transport::Tls { hsts: Some("max-age=3") };
        for merge in [Merge::Keep, Merge::Override, Merge::Append] {
            let policy = [(SecurityHeader::StrictTransportSecurity, Some("max-age=2"), merge)];
            assert_eq!(after(&policy, Transport::Plain, &own), "", "{merge:?}");
            assert_eq!(after(&policy, TLS, &[]), "Strict-Transport-Security: max-age=2");
            assert_eq!(after(&policy, domains, &own), "Strict-Transport-Security: max-age=3", "{merge:?}");
        }
        assert_eq!(after(&[], domains, &own), "Strict-Transport-Security: max-age=3");
        assert_eq!(after(&[], TLS, &own), "strict-transport-security: max-age=1");
        assert_eq!(after(&[], Transport::Plain, &own), "");
    }
}
