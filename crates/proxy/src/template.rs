//! Fills templates: targets of redirects, values of header fields.
//!
//! What comes from the request is visible ASCII or above, as the head reader has checked, so that it cannot end the
//! header line. Of path and query what RFC 3986 section 2 does not allow in them is percent-encoded, so that it cannot
//! end the quotation marks or angle brackets that a template puts around them either.

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
            Part::Path => encode(&route::normal_path(head.path()), to),
            Part::Query => {
                if head.has_query {
                    to.push(b'?');
                    encode(head.query(), to);
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

/// Appends part of a URI as it has to be written.
fn encode(text: &[u8], to: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            to.push(byte);
        } else {
            // Writing to a vector does not fail.
            let _ = write!(to, "%{byte:02X}");
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

    #[test]
    fn nothing_breaks_out_of_what_is_put_around_it() {
        let mut head = RequestHead::default();
        head.path = head.fields.store("/é>;rel=x,<\"\\'%3E".as_bytes());
        head.query = head.fields.store(b"a={|}^`&b='%22");
        head.has_query = true;
        let values = Values { head: &head, client: [127, 0, 0, 9].into(), request_id: "id" };
        let mut filled = Vec::new();
        fill(&Template::parse("<{path}{query}>"), &values, &mut filled);
        let expected = "</%C3%A9%3E;rel=x,%3C%22%5C'%3E?a=%7B%7C%7D%5E%60&b='%22>";
        assert_eq!(String::from_utf8(filled).unwrap(), expected);
    }
}
