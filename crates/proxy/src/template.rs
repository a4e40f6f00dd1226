//! Fills templates: targets of redirects, values of header fields.
//!
//! What comes from the request is visible ASCII or above, as the head reader has checked, so that it cannot end the
//! header line.

use std::io::Write as _;
use std::net::IpAddr;

use veloflux_snapshot::headers::FieldRules;
use veloflux_snapshot::template::{Part, Template};

use crate::head::{Fields, RequestHead};
use crate::route;

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) client: IpAddr,
    pub(crate) request_id: &'a str,
}

/// Appends a filled template.
pub(crate) fn fill(template: &Template, values: &Values<'_>, to: &mut Vec<u8>) {
    let head = values.head;
    for part in &template.parts {
        match part {
            Part::Text(text) => to.extend_from_slice(text.as_bytes()),
            Part::Host => {
                let host = route::host_name(head.authority()).unwrap_or_default();
                to.extend_from_slice(host.as_bytes());
            }
            Part::Path => to.extend_from_slice(&route::normal_path(head.path())),
            Part::Query => {
                if head.has_query {
                    to.push(b'?');
                    to.extend_from_slice(head.query());
                }
            }
            Part::Client => {
                // Writing to a vector does not fail.
                let _ = write!(to, "{}", values.client);
            }
            Part::RequestId => to.extend_from_slice(values.request_id.as_bytes()),
        }
    }
}

/// Adds the fields that rules write.
pub(crate) fn write_fields(rules: &FieldRules, values: &Values<'_>, to: &mut Fields) {
    for (name, template) in &rules.write {
        to.push_with(name.as_bytes(), |value| fill(template, values, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_what_the_request_says() {
        let mut head = RequestHead::default();
        head.authority = head.fields.store(b"X.test:8443");
        head.path = head.fields.store(b"/a/../p%41");
        head.query = head.fields.store(b"a=1");
        head.has_query = true;
        let values = Values { head: &head, client: [127, 0, 0, 9].into(), request_id: "id" };
        let filled = |template| {
            let mut filled = Vec::new();
            fill(&Template::parse(template), &values, &mut filled);
            String::from_utf8(filled).unwrap()
        };
        assert_eq!(filled("https://{host}{path}{query}"), "https://x.test/pA?a=1");
        assert_eq!(filled("{client} {request_id}"), "127.0.0.9 id");
        assert_eq!(filled("/fixed"), "/fixed");
    }
}
