//! Which requests an exclusion applies to: methods, a path, hosts.
//!
//! An exclusion takes protection away, so a condition holds only where nobody could read the request in another way.
//! A path is compared as routes compare it, with unreserved characters decoded (RFC 3986 section 6.2.2). One that a
//! backend might read as another path satisfies no condition: dot segments, empty segments, `\`, `;`, NUL, and escapes
//! of these, of `/` and of `%` itself. So `/search/..%2fadmin` and `/search/..;/admin` are never under `/search`.

use crate::transaction::RequestHead;

/// Which requests are meant: those that satisfy all that is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Methods, as sent; none: all.
    pub methods: Vec<String>,
    /// The path; none: every path.
    pub path: Option<PathCondition>,
    /// Host names in lower case, or `*.` wildcards over one label; none: all.
    pub hosts: Vec<String>,
}

/// A condition on the path, which is in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathCondition {
    /// The whole path.
    Exact(String),
    /// A prefix that ends at a segment: `/a` covers `/a` and `/a/b`, not `/ab`.
    Prefix(String),
}

impl Condition {
    /// Whether it says nothing, and so holds for every request.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the request is one of those meant.
    pub(crate) fn holds(&self, head: &RequestHead<'_>) -> bool {
        let Self { methods, path, hosts } = self;
        (methods.is_empty() || methods.iter().any(|method| method.as_bytes() == head.method))
            && path.as_ref().is_none_or(|path| plain_path(head.target).is_some_and(|it| path.covers(&it)))
            && (hosts.is_empty()
                || only_host(head).is_some_and(|host| hosts.iter().any(|one| covers_host(one, &host))))
    }
}

impl PathCondition {
    fn covers(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == path,
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            }
        }
    }
}

/// The path of an origin-form target with unreserved characters decoded; `None` if it can be read in several ways.
fn plain_path(target: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    let mut path = Vec::with_capacity(end);
    let mut rest = &target[..end];
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        let decoded = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        match decoded {
            0 | b'/' | b'\\' | b'%' | b';' | b'.' => return None,
            _ if decoded.is_ascii_alphanumeric() || b"-_~".contains(&decoded) => path.push(decoded),
            _ => path.extend([b'%'].into_iter().chain(digits.to_ascii_uppercase())),
        }
        rest = &rest[2..];
    }
    let segments = path.strip_prefix(b"/")?;
    let is_odd = |segment: &[u8]| matches!(segment, b"." | b"..");
    let last = segments.split(|byte| *byte == b'/').count();
    let is_plain = !segments.iter().any(|byte| matches!(byte, 0 | b'\\' | b';'))
        && segments
            .split(|byte| *byte == b'/')
            .enumerate()
            .all(|(index, segment)| !is_odd(segment) && (!segment.is_empty() || index + 1 == last));
    is_plain.then_some(path)
}

/// The host of a request that has one `Host` header: in lower case, without port and final point.
fn only_host(head: &RequestHead<'_>) -> Option<String> {
    let mut hosts = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let (Some((_, host)), None) = (hosts.next(), hosts.next()) else { return None };
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    Some(host.strip_suffix('.').unwrap_or(host).to_owned())
}

fn covers_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &Condition, method: &str, target: &str, hosts: &[&str]) -> bool {
        let headers: Vec<(&[u8], &[u8])> = hosts.iter().map(|host| (&b"Host"[..], host.as_bytes())).collect();
        let (method, target) = (method.as_bytes(), target.as_bytes());
        condition.holds(&RequestHead { method, target, protocol: b"HTTP/1.1", headers: &headers })
    }

    fn under(prefix: &str, target: &str) -> bool {
        let path = Some(PathCondition::Prefix(prefix.to_owned()));
        holds(&Condition { path, ..Condition::default() }, "GET", target, &[])
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let condition = Condition {
            methods: vec!["POST".to_owned()],
            path: Some(PathCondition::Exact("/a".to_owned())),
            hosts: vec!["x.test".to_owned(), "*.y.test".to_owned()],
        };
        for (method, target, hosts, expected) in [
            ("POST", "/a?b", &["x.test"][..], true),
            ("POST", "/%61", &["X.test.:80"], true),
            ("POST", "/a", &["a.y.test"], true),
            ("POST", "/a", &["a.b.y.test"], false),
            ("POST", "/a", &["y.test"], false),
            ("POST", "/a", &[], false),
            ("POST", "/a", &["x.test", "x.test"], false),
            ("post", "/a", &["x.test"], false),
            ("POST", "/a/", &["x.test"], false),
            ("POST", "http://x.test/a", &["x.test"], false),
        ] {
            assert_eq!(holds(&condition, method, target, hosts), expected, "{method} {target} {hosts:?}");
        }
        assert!(holds(&Condition::default(), "X", "*", &[]));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for target in ["/search", "/search/", "/search/a.b/c", "/s%65arch/%C3%A4", "/search?x=/../"] {
            assert!(under("/search", target), "{target}");
        }
        assert!(under("/search/", "/search") && under("/", "/x"));
        assert!(!under("/search", "/searches") && !under("/search", "/"));
    }

    #[test]
    fn a_path_that_could_be_another_satisfies_no_condition() {
        for target in [
            "/search/../admin",
            "/search/..",
            "/search/./x",
            "/search//x",
            "/search/%2e%2e/admin",
            "/search/..%2fadmin",
            "/search/..%5cadmin",
            "/search/..\\admin",
            "/search/..;/admin",
            "/search/x;y",
            "/search/%252e%252e/admin",
            "/search/%00",
            "/search/%3b",
            "/search/%",
            "/search/%g0",
            "search",
        ] {
            assert!(!under("/search", target), "{target}");
            assert!(!under("/", target), "{target}");
        }
    }
}
