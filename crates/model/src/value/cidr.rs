//! Address ranges in CIDR notation (RFC 4632, RFC 4291); a bare address is a range of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Invalid, shown, text_value};

/// An IP address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// As a network.
    pub fn network(self) -> IpNet {
        self.0
    }
}

impl FromStr for Cidr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) if network.trunc() == network => Ok(Self(network)),
            // `10.0.0.5/8` is more likely a mistyped prefix than a wish for all of 10.0.0.0/8.
            Some(network) => Err(Invalid::new(
                format!("`{}` has bits set beyond its prefix", shown(text)),
                format!("write `{}`, or `{}` for that one address", network.trunc(), network.addr()),
            )),
            None => Err(Invalid::new(
                format!("`{}` is not an address range", shown(text)),
                "write `10.0.0.0/8`, `fd00::/8` or a single address",
            )),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(Cidr, "an address range", {
    "type": "string",
    "description": "IP address range in CIDR notation, or a single address.",
    "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges_and_addresses() {
        for (text, printed) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128"), ("192.0.2.7", "192.0.2.7/32")]
        {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), printed);
        }
        assert_eq!(
            "10.0.0.5/8".parse::<Cidr>().unwrap_err().hint,
            "write `10.0.0.0/8`, or `10.0.0.5` for that one address"
        );
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
    }
}
