//! Host names as HTTP and TLS carry them: ASCII, lower case, no trailing dot.
//!
//! Labels follow RFC 1123 section 2.1 (letters, digits, hyphens inside), lengths RFC 1035 section 2.3.4. A name
//! with other letters must be written in its IDNA form (RFC 5891, `xn--`): two spellings of one name would be
//! two names. A leading `*.` covers exactly one label (RFC 6125 section 6.4.3). IP literals are names too, for
//! clients that connect by address; IPv6 stands in brackets, as in a Host header.

use std::net::Ipv6Addr;
use std::str::FromStr;

use super::{Invalid, checked_text, shown, text_value};

/// Longest name, in bytes (RFC 1035, without the root's dot).
const MAX_NAME: usize = 253;

/// Longest label, in bytes.
const MAX_LABEL: usize = 63;

checked_text! {
    /// A host name or a `*.` wildcard.
    Hostname
}

impl Hostname {
    /// The name behind `*.` when this is a wildcard.
    pub fn wildcard_parent(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether a request for `host` (exact, lower case) is covered.
    pub fn covers(&self, host: &str) -> bool {
        match self.wildcard_parent() {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => &*self.0 == host,
        }
    }
}

impl FromStr for Hostname {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str, hint: String| Err(Invalid::new(format!("`{}` {what}", shown(text)), hint));
        if let Some(literal) = text.strip_prefix('[') {
            return match literal.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok()) {
                Some(address) if format!("[{address}]") == text => Ok(Self(text.into())),
                Some(address) => {
                    wrong("is not the short form of its address", format!("write `[{address}]`"))
                }
                None => wrong("is not an IPv6 address", "write `[::1]`".to_owned()),
            };
        }
        if !text.is_ascii() {
            return wrong(
                "holds letters outside ASCII",
                "write the name in its IDNA form, `xn--…`".to_owned(),
            );
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return wrong("is not lower case", format!("write `{}`", shown(&text.to_ascii_lowercase())));
        }
        if let Some(undotted) = text.strip_suffix('.').filter(|rest| !rest.is_empty()) {
            return wrong("ends in a dot", format!("write `{}`", shown(undotted)));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let hint = || {
            "write a name such as `shop.example.com` or `*.example.com`, without scheme, port or path"
                .to_owned()
        };
        if text.len() > MAX_NAME {
            return wrong("is longer than 253 bytes", hint());
        }
        if !name.split('.').all(is_label) {
            return wrong("is not a host name", hint());
        }
        Ok(Self(text.into()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

text_value!(Hostname, "a host name", {
    "type": "string",
    "maxLength": 253,
    "pattern": r"^((\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])$",
    "description": "Host name: lower-case ASCII (IDNA form), or a `*.` wildcard that covers one label.",
    "examples": ["shop.example.com", "*.example.com"]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(text: &str) -> String {
        text.parse::<Hostname>().unwrap_err().hint
    }

    #[test]
    fn accepts_names_wildcards_and_addresses() {
        for good in
            ["localhost", "a.b-c.example", "*.example.com", "xn--bcher-kva.example", "127.0.0.1", "[::1]"]
        {
            assert_eq!(good.parse::<Hostname>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_with_what_would_be_right() {
        assert_eq!(hint("Shop.Example"), "write `shop.example`");
        assert_eq!(hint("shop.example."), "write `shop.example`");
        assert_eq!(hint("bücher.example"), "write the name in its IDNA form, `xn--…`");
        assert_eq!(hint("[0::1]"), "write `[::1]`");
        for bad in
            ["", "*", "*.", "a..b", "-a", "a-", "a_b", "http://a", "a:80", "a/b", "*.*.a", "a.*", "x\n"]
        {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
        assert!("a".repeat(64).parse::<Hostname>().is_err());
        assert!(["a"; 128].join(".").parse::<Hostname>().is_err());
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let wildcard: Hostname = "*.example.com".parse().unwrap();
        assert!(wildcard.covers("a.example.com"));
        assert!(!wildcard.covers("a.b.example.com"));
        assert!(!wildcard.covers("example.com"));
        assert!(!wildcard.covers(".example.com"));
    }
}
