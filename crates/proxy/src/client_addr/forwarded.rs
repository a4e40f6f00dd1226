//! The `for` parameters of Forwarded (RFC 7239 section 4).

use std::net::IpAddr;

use super::{MAX_HOPS, parse_node};

/// The address of each element, left to right, the last [`MAX_HOPS`] of them; `None` for an element that is
/// malformed, hides its client, or has no `for`.
pub(super) fn for_nodes<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Option<IpAddr>> {
    let mut nodes: Vec<_> =
        values.flat_map(|value| split_outside_quotes(value, b',')).map(for_node).collect();
    nodes.drain(..nodes.len().saturating_sub(MAX_HOPS));
    nodes
}

fn for_node(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_outside_quotes(element, b';') {
        let at = memchr::memchr(b'=', pair)?;
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") {
            // A parameter must not occur twice (section 4): no telling which one is true.
            if found.is_some() {
                return None;
            }
            found = Some(parse_node(unquote(value)?)?);
        }
    }
    found
}

/// The text of a token or quoted string; `None` for a string that is not closed. Backslashes are left alone: no
/// address contains one, so such a value is refused later.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\""),
        None => Some(value),
    }
}

/// Splits at `separator` where it stands outside a quoted string (RFC 9110 section 5.6.4).
fn split_outside_quotes(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else {
            return !quoted && byte == separator;
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(value: &str) -> Vec<Option<String>> {
        for_nodes([value.as_bytes()].into_iter()).into_iter().map(|n| n.map(|ip| ip.to_string())).collect()
    }

    #[test]
    fn the_examples_of_rfc_7239() {
        assert_eq!(nodes("for=\"_gazonk\""), [None]);
        assert_eq!(nodes("For=\"[2001:db8:cafe::17]:4711\""), [Some("2001:db8:cafe::17".into())]);
        assert_eq!(nodes("for=192.0.2.60;proto=http;by=203.0.113.43"), [Some("192.0.2.60".into())]);
        assert_eq!(
            nodes("for=192.0.2.43, for=198.51.100.17"),
            [Some("192.0.2.43".into()), Some("198.51.100.17".into())]
        );
    }

    #[test]
    fn separators_in_quotes_do_not_split() {
        assert_eq!(nodes("host=\"a,b;for=1.1.1.1\\\",\";for=192.0.2.1"), [Some("192.0.2.1".into())]);
    }

    #[test]
    fn malformed_elements_have_no_address() {
        for bad in [
            "for",
            "for=",
            "for=unknown",
            "for=\"1.1.1.1",
            "for=1.1.1.1;for=2.2.2.2",
            "by=1.1.1.1",
            ";",
            "x;for=1.1.1.1",
        ] {
            assert_eq!(nodes(bad), [None], "{bad}");
        }
    }
}
