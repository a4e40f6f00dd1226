//! Where an authority reaches whoever runs an account (RFC 8555 section 7.3).

use std::str::FromStr;

use super::{Invalid, checked_text, shown, text_value};

/// Longest contact, in bytes.
const MAX_CONTACT: usize = 320;

checked_text! {
    /// A `mailto:` URL with one address.
    Contact
}

impl FromStr for Contact {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&'*+-._~".contains(&b))
        };
        match address {
            Some((user, host)) if text.len() <= MAX_CONTACT && plain(user) && plain(host) => {
                Ok(Self(text.into()))
            }
            _ => Err(Invalid::new(
                format!("`{}` is not a contact", shown(text)),
                "write one address, such as `mailto:ops@example.com`",
            )),
        }
    }
}

text_value!(Contact, "a contact", {
    "type": "string",
    "maxLength": 320,
    "pattern": "^mailto:[^@ ,?]+@[^@ ,?]+$",
    "description": "Mail address as `mailto:` URL.",
    "examples": ["mailto:ops@example.com"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_one_address() {
        assert!("mailto:ops+certs@example.com".parse::<Contact>().is_ok());
        for bad in ["", "ops@example.com", "mailto:", "mailto:a@", "mailto:a@b,c@d", "mailto:a@b?subject=c"] {
            assert!(bad.parse::<Contact>().is_err(), "{bad}");
        }
    }
}
