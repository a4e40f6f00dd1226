//! Versions of TLS that are spoken.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// A version of TLS. Older ones are broken and never spoken (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl FromStr for TlsVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(Invalid::new(
                format!("`{}` is not a version of TLS that is spoken", shown(text)),
                "write `1.2` or `1.3`",
            )),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        })
    }
}

text_value!(TlsVersion, "a version of TLS", {
    "type": ["string", "number"],
    "enum": ["1.2", "1.3", 1.2, 1.3],
    "description": "Version of TLS."
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_versions_are_read() {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            assert_eq!(version.to_string().parse::<TlsVersion>().unwrap(), version);
        }
        for bad in ["1.1", "1.0", "3", "", "TLSv1.2", "1.30"] {
            assert_eq!(bad.parse::<TlsVersion>().unwrap_err().hint, "write `1.2` or `1.3`", "{bad}");
        }
    }
}
