//! URLs of services that this process calls, as RFC 3986 section 3 with the schemes `https` and `http`.

use std::str::FromStr;

use super::{Hostname, Invalid, checked_text, shown, text_value};

/// Longest URL, in bytes.
const MAX_URL: usize = 2048;

checked_text! {
    /// The URL of a service: scheme, host, maybe a port, path and query; neither user nor fragment.
    ServiceUrl
}

impl ServiceUrl {
    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Host, without brackets around IPv6, and port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let default = if self.is_https() { 443 } else { 80 };
        let (host, port) = split(&self.0).map_or(("", None), |parts| parts);
        (host.trim_matches(['[', ']']), port.unwrap_or(default))
    }
}

/// Host as written, and the port if there is one.
fn split(url: &str) -> Option<(&str, Option<u16>)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?']).next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            Some((host, Some(port.parse().ok().filter(|port| digits && *port > 0)?)))
        }
        _ => Some((authority, None)),
    }
}

impl FromStr for ServiceUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let visible = text.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"#\\\"<>^`{|}@".contains(&b));
        let host = split(text).and_then(|(host, _)| host.parse::<Hostname>().ok());
        if visible && text.len() <= MAX_URL && host.is_some_and(|host| host.wildcard_parent().is_none()) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            format!("`{}` is not the URL of a service", shown(text)),
            "write `https://`, a host in lower case, and a path, in visible ASCII",
        ))
    }
}

text_value!(ServiceUrl, "the URL of a service", {
    "type": "string",
    "maxLength": 2048,
    "pattern": "^https?://[^/?#@]+([/?][^#]*)?$",
    "description": "URL of a service, with neither user nor fragment.",
    "examples": ["https://ca.example/directory"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whom_to_connect_to() {
        for (url, host, port) in [
            ("https://ca.example/directory", "ca.example", 443),
            ("http://127.0.0.1:8055/hook?a=b", "127.0.0.1", 8055),
            ("https://[::1]:14000/dir", "::1", 14_000),
            ("https://[::1]", "::1", 443),
        ] {
            assert_eq!(url.parse::<ServiceUrl>().unwrap().host_and_port(), (host, port), "{url}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "",
            "ca.example",
            "ftp://ca.example/",
            "https://",
            "https:///x",
            "https://user@ca.example/",
            "https://ca.example/#a",
            "https://ca.example:0/",
            "https://ca.example:+1/",
            "https://ca.example:99999/",
            "https://CA.example/",
            "https://*.example/",
            "https://a b/",
            "https://ca.example/\r\nx: y",
        ] {
            assert!(bad.parse::<ServiceUrl>().is_err(), "{bad}");
        }
    }
}
