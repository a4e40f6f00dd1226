//! Which tenant and route a request belongs to.
//!
//! The host decides the tenant; over TLS it must belong to the tenant whose certificate the client was shown
//! (RFC 9110 section 7.4: 421 otherwise). The path is compared in a normal form, so that no spelling reaches a
//! route that another spelling of the same path would not. What only some servers take for the same path is in
//! `readings`.

mod readings;

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::sync::Arc;

use veloflux_snapshot::{HostEntry, PathMatch, Route, Snapshot, Tenant};

use crate::head::RequestHead;

pub(crate) use readings::other_readings;

/// Where a request belongs.
#[derive(Debug)]
pub(crate) struct Site<'s> {
    pub(crate) tenant: &'s Tenant,
    pub(crate) route: &'s Route,
    /// The path in normal form.
    pub(crate) path: Cow<'s, [u8]>,
}

/// Why no route was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSite {
    /// No tenant has the host.
    UnknownHost,
    /// The host belongs to another tenant than the one the connection was opened for.
    Misdirected,
    /// The tenant has no route for the request.
    NoRoute,
    /// There is a route for the path, but not for the method.
    MethodNotAllowed,
}

/// A host name as it is looked up: lower case, without port and trailing dot; an IPv6 literal in its short form, in
/// brackets (RFC 5952). `None`: not a host name.
pub(crate) fn host_name(authority: &[u8]) -> Option<Cow<'_, str>> {
    let authority = std::str::from_utf8(authority).ok()?;
    if let Some(rest) = authority.strip_prefix('[') {
        let address: Ipv6Addr = rest.split_once(']')?.0.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let name = authority.split_once(':').map_or(authority, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Cow::Owned(name.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(name))
}

/// Finds whose a request's host is. `sni` is the name that a TLS connection was opened for, if it named one.
pub(crate) fn host<'s>(
    snapshot: &'s Snapshot,
    host: &str,
    is_tls: bool,
    sni: Option<&str>,
) -> Result<&'s HostEntry, NoSite> {
    let entry = snapshot.hosts.get(host);
    // Whoever named no host was shown the operator's certificate, which vouches for no tenant.
    if is_tls && sni.is_none() && entry.is_some() {
        return Err(NoSite::Misdirected);
    }
    if let Some(sni) = sni
        && sni != host
    {
        // A coalesced HTTP/2 connection (RFC 9113 section 9.1.1) may ask for another name of the same tenant,
        // with the same certificate; whatever else is another's business.
        let same = entry.zip(snapshot.hosts.get(sni)).is_some_and(|(a, b)| a.tenant.id == b.tenant.id);
        if !same {
            return Err(NoSite::Misdirected);
        }
    }
    entry.ok_or(NoSite::UnknownHost)
}

/// Finds the route of a request within its tenant: the first that fits, in the compiled order. `method` is the
/// request's, or the one that a preflight asks about.
pub(crate) fn route<'s>(
    tenant: &'s Arc<Tenant>,
    host: &str,
    path: Cow<'s, [u8]>,
    method: &[u8],
    head: &RequestHead,
) -> Result<Site<'s>, NoSite> {
    find(tenant, host, &path, method, head).map(|route| Site { tenant, route, path })
}

/// Whether a path leads to its route in each of its `readings`.
pub(crate) fn is_unmistakable(
    site: &Site<'_>,
    readings: &[Vec<u8>],
    host: &str,
    method: &[u8],
    head: &RequestHead,
) -> bool {
    let found = |path: &[u8]| find(site.tenant, host, path, method, head);
    readings.iter().all(|path| found(path).is_ok_and(|route| std::ptr::eq(route, site.route)))
}

fn find<'s>(
    tenant: &'s Tenant,
    host: &str,
    path: &[u8],
    method: &[u8],
    head: &RequestHead,
) -> Result<&'s Route, NoSite> {
    let mut wrong_method = false;
    for route in &tenant.routes {
        if !matches_path(&route.path, path)
            || !matches_host(&route.hosts, host)
            || !matches_headers(route, head)
        {
            continue;
        }
        if !route.methods.is_empty() && !route.methods.iter().any(|m| m.as_bytes() == method) {
            wrong_method = true;
            continue;
        }
        return Ok(route);
    }
    Err(if wrong_method { NoSite::MethodNotAllowed } else { NoSite::NoRoute })
}

/// What a 405 says in Allow (RFC 9110 section 15.5.6): the methods of the routes that match but for the method.
pub(crate) fn allowed_methods(snapshot: &Snapshot, head: &RequestHead) -> String {
    let Some(host) = host_name(head.authority()) else { return String::new() };
    let Some(entry) = snapshot.hosts.get(&host) else { return String::new() };
    let path = normal_path(head.path());
    let routes = entry.tenant.routes.iter().filter(|route| {
        matches_path(&route.path, &path) && matches_host(&route.hosts, &host) && matches_headers(route, head)
    });
    let methods: std::collections::BTreeSet<&str> =
        routes.flat_map(|r| r.methods.iter().map(|m| &**m)).collect();
    methods.into_iter().collect::<Vec<_>>().join(", ")
}

/// Whether a path in normal form is one that is wanted.
pub(crate) fn matches_path(wanted: &PathMatch, path: &[u8]) -> bool {
    match wanted {
        PathMatch::Exact(exact) => exact.as_bytes() == path,
        PathMatch::Prefix(prefix) => after_prefix(prefix.as_bytes(), path).is_some(),
    }
}

/// What follows a prefix that ends at a segment boundary: empty, or beginning with `/`.
pub(crate) fn after_prefix<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

fn matches_host(patterns: &[Box<str>], host: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => &**pattern == host,
        })
}

fn matches_headers(route: &Route, head: &RequestHead) -> bool {
    route.headers.iter().all(|(wanted, value)| {
        head.fields.iter().any(|(_, name, found)| {
            name.eq_ignore_ascii_case(wanted.as_bytes())
                && value.as_ref().is_none_or(|v| v.as_bytes() == found)
        })
    })
}

/// A path in normal form (RFC 3986 section 6.2.2): unreserved characters decoded, hexadecimal digits in upper
/// case, `.` and `..` segments resolved. Reserved characters stay encoded, so `%2F` is never a separator; empty
/// segments stay, since backends differ on them. An empty path is `/`, and so is `*`.
pub(crate) fn normal_path(path: &[u8]) -> Cow<'_, [u8]> {
    // `*` asks about the server as a whole (RFC 9110 section 9.3.7): about what answers for the host's root.
    if path.is_empty() || path == b"*" {
        return Cow::Borrowed(b"/");
    }
    if memchr::memchr(b'%', path).is_none() && memchr::memmem::find(path, b"/.").is_none() {
        return Cow::Borrowed(path);
    }
    Cow::Owned(resolve_dots(&decode_unreserved(path)))
}

fn decode_unreserved(path: &[u8]) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|&b| (b as char).to_digit(16)).map(|d| d as u8);
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, hex(path.get(at + 1)), hex(path.get(at + 2))) {
            let decoded = high << 4 | low;
            if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                out.push(decoded);
            } else {
                out.push(b'%');
                out.extend(path[at + 1..at + 3].iter().map(u8::to_ascii_uppercase));
            }
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

fn resolve_dots(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|&b| b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let parent = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
                    out.truncate(parent);
                }
                // A dot segment at the end names the folder: `/a/.` is `/a/`.
                if last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        String::from_utf8(normal_path(path.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn paths_have_one_spelling() {
        for (spelling, expected) in [
            ("", "/"),
            ("*", "/"),
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.hidden", "/.hidden"),
            ("/a/..b", "/a/..b"),
            ("/%61dmin", "/admin"),
            ("/x/%2e%2E/admin", "/admin"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%zz", "/a%zz"),
            ("/a%", "/a%"),
            ("//a", "//a"),
            ("/a//../b", "/a/b"),
        ] {
            assert_eq!(normal(spelling), expected, "{spelling}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_normal_form_is_stable_and_has_no_way_up(path in "/[a.%2eEfF/-]{0,24}") {
            let once = normal(&path);
            proptest::prop_assert_eq!(&normal(&once), &once);
            proptest::prop_assert!(!once.split('/').any(|s| s == ".." || s == "."));
            proptest::prop_assert!(once.starts_with('/'));
        }
    }

    #[test]
    fn prefixes_end_at_segment_boundaries() {
        let rest = |prefix: &str, path: &str| {
            after_prefix(prefix.as_bytes(), path.as_bytes()).map(|r| String::from_utf8(r.to_vec()).unwrap())
        };
        assert_eq!(rest("/", "/a"), Some("/a".into()));
        assert_eq!(rest("/a", "/a"), Some(String::new()));
        assert_eq!(rest("/a", "/a/b"), Some("/b".into()));
        assert_eq!(rest("/a/", "/a/b"), Some("/b".into()));
        assert_eq!(rest("/a", "/ab"), None);
    }

    #[test]
    fn host_names_are_compared_in_one_form() {
        assert_eq!(host_name(b"Acme.Test.:8443").as_deref(), Some("acme.test"));
        assert_eq!(host_name(b"[FE80::f1:01]:8443").as_deref(), Some("[fe80::f1:1]"));
        assert_eq!(host_name(b"[acme.test]"), None);
        assert_eq!(host_name(b":80"), None);
    }
}
