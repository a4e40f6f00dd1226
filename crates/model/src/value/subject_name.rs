//! Which names a client certificate may carry: `dns:`, `uri:` and `email:` patterns of subject alternative names
//! (RFC 5280 section 4.2.1.6).
//!
//! A pattern is exact, or open in one place: `dns:*.example.com` stands for one label more, `uri:spiffe://example.com/*`
//! for everything below that path, `email:*@example.com` for every mailbox of that domain. Host names are compared
//! without regard to case, everything else byte for byte. A name that itself holds a `*` never matches: such a
//! certificate speaks for many, and a client is one.

use std::fmt;
use std::str::FromStr;

use super::{Hostname, Invalid, shown, text_value};

/// Longest pattern, in bytes; SPIFFE ids are at most as long.
const MAX_PATTERN: usize = 2048;

/// A pattern of subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectName {
    kind: NameKind,
    /// What stands behind the kind's colon.
    pattern: Box<str>,
}

/// A kind of subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// `dNSName`.
    Dns,
    /// `uniformResourceIdentifier`; a SPIFFE id is one.
    Uri,
    /// `rfc822Name`.
    Email,
}

impl NameKind {
    const ALL: [Self; 3] = [Self::Dns, Self::Uri, Self::Email];

    fn prefix(self) -> &'static str {
        match self {
            Self::Dns => "dns:",
            Self::Uri => "uri:",
            Self::Email => "email:",
        }
    }
}

impl SubjectName {
    /// Whether a certificate's `name` of this `kind` fits.
    pub fn matches(&self, kind: NameKind, name: &str) -> bool {
        if kind != self.kind || name.contains('*') {
            return false;
        }
        match kind {
            NameKind::Dns => {
                let name = name.to_ascii_lowercase();
                match self.pattern.strip_prefix("*.") {
                    Some(parent) => {
                        name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
                    }
                    None => *self.pattern == *name,
                }
            }
            NameKind::Uri => match self.pattern.strip_suffix('*') {
                Some(folder) => name.len() > folder.len() && name.starts_with(folder),
                None => *self.pattern == *name,
            },
            NameKind::Email => {
                let Some((mailbox, domain)) = name.rsplit_once('@') else { return false };
                let Some((wanted, wanted_domain)) = self.pattern.rsplit_once('@') else { return false };
                !mailbox.is_empty()
                    && (wanted == "*" || wanted == mailbox)
                    && wanted_domain.eq_ignore_ascii_case(domain)
            }
        }
    }
}

impl FromStr for SubjectName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |hint: &str| Invalid::new(format!("`{}` is not a name of clients", shown(text)), hint);
        let kind =
            NameKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix())).ok_or_else(|| {
                wrong(
                    "write `dns:client.example.com`, `uri:spiffe://example.com/app` or `email:a@example.com`",
                )
            })?;
        let pattern = &text[kind.prefix().len()..];
        if text.len() > MAX_PATTERN || !pattern.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return Err(wrong("write up to 2048 visible ASCII characters"));
        }
        match kind {
            NameKind::Dns => {
                pattern.parse::<Hostname>()?;
            }
            NameKind::Uri => {
                let fixed = pattern.strip_suffix("/*").map_or(pattern, |folder| folder);
                let rest = fixed.split_once("://").map(|(_, rest)| rest);
                if rest.is_none_or(str::is_empty) || fixed.contains('*') {
                    return Err(wrong(
                        "write a whole URI such as `uri:spiffe://example.com/app`, or one that ends in `/*`",
                    ));
                }
            }
            NameKind::Email => {
                let sound = pattern.rsplit_once('@').is_some_and(|(mailbox, domain)| {
                    let mailbox_is_sound = mailbox == "*" || (!mailbox.is_empty() && !mailbox.contains('*'));
                    let is_host = domain.to_ascii_lowercase().parse::<Hostname>().is_ok();
                    mailbox_is_sound && is_host && !domain.contains('*')
                });
                if !sound {
                    return Err(wrong(
                        "write `email:a@example.com`, or `email:*@example.com` for all of them",
                    ));
                }
            }
        }
        Ok(Self { kind, pattern: pattern.into() })
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.pattern)
    }
}

text_value!(SubjectName, "a name of clients", {
    "type": "string",
    "maxLength": 2048,
    "pattern": "^(dns|uri|email):[!-~]+$",
    "description": "A subject alternative name of client certificates: `dns:`, `uri:` or `email:`, exact, or `dns:*.parent`, `uri:…/*`, `email:*@domain`.",
    "examples": ["dns:*.clients.example.com", "uri:spiffe://example.com/ns/prod/*"]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, kind: NameKind, name: &str) -> bool {
        pattern.parse::<SubjectName>().unwrap().matches(kind, name)
    }

    #[test]
    fn patterns_fit_what_they_say_and_no_more() {
        use NameKind::{Dns, Email, Uri};
        for (pattern, kind, name, fits) in [
            ("dns:a.example", Dns, "a.example", true),
            ("dns:a.example", Dns, "A.Example", true),
            ("dns:a.example", Dns, "b.a.example", false),
            ("dns:a.example", Uri, "a.example", false),
            ("dns:*.a.example", Dns, "x.a.example", true),
            ("dns:*.a.example", Dns, "a.example", false),
            ("dns:*.a.example", Dns, ".a.example", false),
            ("dns:*.a.example", Dns, "x.y.a.example", false),
            ("dns:*.a.example", Dns, "*.a.example", false),
            ("uri:spiffe://a.example/web", Uri, "spiffe://a.example/web", true),
            ("uri:spiffe://a.example/web", Uri, "spiffe://a.example/web/x", false),
            ("uri:spiffe://a.example/web", Uri, "SPIFFE://a.example/web", false),
            ("uri:spiffe://a.example/ns/*", Uri, "spiffe://a.example/ns/x/y", true),
            ("uri:spiffe://a.example/ns/*", Uri, "spiffe://a.example/ns/", false),
            ("uri:spiffe://a.example/ns/*", Uri, "spiffe://a.example/nsx", false),
            ("uri:spiffe://a.example/*", Uri, "spiffe://a.example.evil/x", false),
            ("email:ops@a.example", Email, "ops@A.example", true),
            ("email:ops@a.example", Email, "Ops@a.example", false),
            ("email:*@a.example", Email, "anyone@a.example", true),
            ("email:*@a.example", Email, "@a.example", false),
            ("email:*@a.example", Email, "x@b.a.example", false),
            ("email:*@a.example", Email, "a.example", false),
        ] {
            assert_eq!(matches(pattern, kind, name), fits, "{pattern} {kind:?} {name}");
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused() {
        for bad in [
            "",
            "a.example",
            "dns:",
            "dns:a.*",
            "dns:*",
            "dns:A.example",
            "uri:",
            "uri:*",
            "uri:spiffe://*",
            "uri:spiffe://a*/*",
            "uri:/x",
            "email:a",
            "email:@a",
            "email:*a@b",
            "email:a@*.b",
            "ip:10.0.0.1",
            "dns:a b",
        ] {
            assert!(bad.parse::<SubjectName>().is_err(), "{bad}");
        }
    }
}
