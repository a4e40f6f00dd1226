//! Addresses: where a listener binds and where a backend is.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// An IP address and port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// As a socket address.
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl FromStr for ListenAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| {
            Invalid::new(
                format!("`{}` is not an IP address with a port", shown(text)),
                "write `0.0.0.0:443` or `[::]:443`",
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(ListenAddress, "an IP address with a port", {
    "type": "string",
    "description": "IP address and port.",
    "examples": ["0.0.0.0:443", "[::]:443"]
});

/// A backend's address: an IP address or a DNS name, with a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// A literal address.
    Ip(SocketAddr),
    /// A name that is resolved when it is needed, in lower case.
    Dns(Box<str>, u16),
}

/// Longest DNS name, in bytes.
const MAX_DNS_NAME: usize = 253;

impl FromStr for BackendAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                format!("`{}` is not a backend address", shown(text)),
                "write host and port: `10.0.0.5:8080`, `[fd00::5]:8080` or `app.internal:8080`",
            )
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(wrong()) } else { Ok(Self::Ip(address)) };
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = Some(port)
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|port| port.parse::<u16>().ok())
            .filter(|port| *port != 0);
        // Names inside a cluster may hold underscores, which host names of the web may not.
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        // A last label of digits would be a mistyped IP address (RFC 1123 section 2.1).
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        match port {
            Some(port) if name.len() <= MAX_DNS_NAME && name.split('.').all(label) && !numeric => {
                Ok(Self::Dns(name.into(), port))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

text_value!(BackendAddress, "a backend's host and port", {
    "type": "string",
    "description": "Host (IP address or DNS name, lower case) and port.",
    "examples": ["10.0.0.5:8080", "[fd00::5]:8080", "app.internal:8080"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_names() {
        for good in ["10.0.0.5:80", "[::1]:8080", "app:1", "app_1.ns.svc:8080"] {
            assert_eq!(good.parse::<BackendAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "app",
            "app:",
            "app:0",
            "app:70000",
            "app:+1",
            "10.0.0:80",
            "10.0.0.5:0",
            "http://a:80",
            "A:80",
            "::1:80",
            ":80",
            "a b:80",
        ] {
            assert!(bad.parse::<BackendAddress>().is_err(), "{bad}");
        }
    }
}
