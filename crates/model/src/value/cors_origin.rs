//! Origins of other sites: whose scripts may read responses (RFC 6454 section 6.2, Fetch standard section 3.2.1).

use std::net::Ipv6Addr;
use std::str::FromStr;

use super::{Invalid, checked_text, shown, text_value};

/// Longest origin, in bytes: a scheme, a host name and a port.
const MAX_ORIGIN: usize = 300;

checked_text! {
    /// `*`, or an origin as browsers write it: `https://app.example:8443`; `https://*.example` is every name below.
    CorsOrigin
}

impl CorsOrigin {
    /// Whether it stands for all.
    pub fn is_any(&self) -> bool {
        self.as_str() == "*"
    }

    /// Scheme with `://`, and what follows `*` (`.example:8443`), where it stands for every name below one.
    pub fn suffix(&self) -> Option<(&str, &str)> {
        let (scheme, suffix) = self.as_str().split_once('*')?;
        (!scheme.is_empty()).then_some((scheme, suffix))
    }
}

impl FromStr for CorsOrigin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |hint: &str| Err(Invalid::new(format!("`{}` is not an origin", shown(text)), hint));
        if text == "*" {
            return Ok(Self(text.into()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("write `https://app.example`, `https://*.example` or `*`");
        };
        let is_scheme = scheme.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        let port_at = match rest.find(']') {
            Some(bracket) => rest[bracket..].find(':').map(|at| bracket + at),
            None => rest.find(':'),
        };
        let (host, port) = match port_at {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let is_host = is_address(host) || is_name(host.strip_prefix("*.").unwrap_or(host));
        if !is_scheme || !is_host || text.len() > MAX_ORIGIN {
            return wrong("write scheme and host in lower case, no path: `https://app.example`");
        }
        if let Some(port) = port {
            let number = port.parse::<u16>().ok().filter(|number| number.to_string() == port);
            match (scheme, number) {
                (_, None) => return wrong("the port is a number"),
                ("https", Some(443)) | ("http", Some(80)) => {
                    return wrong("browsers leave the scheme's own port out; leave it out here");
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
}

/// An IPv6 address in brackets, as browsers write it (RFC 5952).
fn is_address(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    address.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == text))
}

text_value!(CorsOrigin, "an origin", {
    "type": "string",
    "maxLength": 300,
    "pattern": "^(\\*|[a-z][a-z0-9+.-]*://[^/?#@ ]+)$",
    "description": "Origin as browsers write it; `https://*.example` stands for every name below, `*` for all origins.",
    "examples": ["https://app.example", "https://*.example", "*"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for good in [
            "*",
            "https://app.example",
            "http://localhost:3000",
            "https://*.app.example",
            "https://*.app.example:8443",
            "http://[::1]:8080",
            "capacitor://localhost",
        ] {
            assert!(good.parse::<CorsOrigin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "https://App.example",
            "HTTPS://app.example",
            "https://app.example/",
            "https://app.example:443",
            "http://app.example:080",
            "https://app.example:x",
            "https://a.*.example",
            "https://*",
            "https://u@app.example",
            "https://[::1",
            "https://[x]",
            "https://[0::1]",
            "https://*.[::1]",
            "https://app.example:",
            "https://a b",
        ] {
            assert!(bad.parse::<CorsOrigin>().is_err(), "{bad}");
        }
        let suffix: CorsOrigin = "https://*.app.example:8443".parse().unwrap();
        assert_eq!(suffix.suffix(), Some(("https://", ".app.example:8443")));
        assert_eq!("*".parse::<CorsOrigin>().unwrap().suffix(), None);
    }
}
