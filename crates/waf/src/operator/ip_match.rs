//! `@ipMatch`, `@ipMatchF`, `@ipMatchFromFile`: the input is an address within one of some networks.
//!
//! Networks are IPv4 or IPv6 addresses, with or without a prefix length (`/0` matches every address of its
//! family), separated by commas; in a file also by lines, with `#` comments. An input that is no address matches
//! nothing. Example: `@ipMatch 192.0.2.0/24,2001:db8::/32`.

use super::{DataFiles, OperatorError};
use std::net::IpAddr;

/// Networks that one rule may name, so that a file cannot make each request slow.
const MAX_NETWORKS: usize = 100_000;

/// A set of networks: for each family the disjoint address ranges it covers, sorted.
#[derive(Debug)]
pub(super) struct Networks {
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    pub(super) fn from_argument(argument: &str) -> Result<Self, OperatorError> {
        Self::compile("ipMatch", argument.split(','))
    }

    pub(super) fn from_file(path: &str, files: &dyn DataFiles) -> Result<Self, OperatorError> {
        let file_error = |message| OperatorError::File { path: path.to_owned(), message };
        let bytes = files.read(path).map_err(file_error)?;
        let text = String::from_utf8(bytes).map_err(|error| file_error(error.to_string()))?;
        let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before));
        let entries = lines.flat_map(|line| line.split(',')).filter(|entry| !entry.trim().is_empty());
        Self::compile("ipMatchFromFile", entries)
    }

    /// Whether the input is an address within one of the networks.
    pub(super) fn contain(&self, input: &[u8]) -> bool {
        let Some(address) = std::str::from_utf8(input).ok().and_then(|text| text.parse().ok()) else {
            return false;
        };
        let (ranges, address) = match address {
            IpAddr::V4(address) => (&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let after = ranges.partition_point(|&(first, _)| first <= address);
        ranges[..after].last().is_some_and(|&(_, last)| address <= last)
    }

    fn compile<'a>(
        operator: &'static str,
        entries: impl Iterator<Item = &'a str>,
    ) -> Result<Self, OperatorError> {
        let mut networks = Self { v4: Vec::new(), v6: Vec::new() };
        for (count, entry) in entries.map(str::trim).enumerate() {
            let bad = |message| OperatorError::Argument { operator, message };
            if count == MAX_NETWORKS {
                return Err(bad(format!("more than {MAX_NETWORKS} networks")));
            }
            let (address, range) = parse(entry).ok_or_else(|| {
                bad(format!("`{entry}` is no IP address or network, such as 192.0.2.0/24 or 2001:db8::1"))
            })?;
            if address.is_ipv4() { networks.v4.push(range) } else { networks.v6.push(range) }
        }
        merge(&mut networks.v4);
        merge(&mut networks.v6);
        Ok(networks)
    }
}

/// The address of a network and the first and last address in it. Host bits may be set, as people write them.
fn parse(entry: &str) -> Option<(IpAddr, (u128, u128))> {
    let (address, length) = match entry.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (entry, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let host_bits = u32::checked_sub(width, length.unwrap_or(width))?;
    let host_mask = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
    Some((address, (bits & !host_mask, bits | host_mask)))
}

/// Sorts ranges and joins those that overlap.
fn merge(ranges: &mut Vec<(u128, u128)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(argument: &str) -> Networks {
        Networks::from_argument(argument).unwrap()
    }

    #[test]
    fn addresses_and_networks_of_both_families() {
        let some = networks("10.10.10.10, 192.0.2.77/24,2001:db8::/32,::1");
        for inside in ["10.10.10.10", "192.0.2.0", "192.0.2.255", "2001:DB8:ffff::1", "::1"] {
            assert!(some.contain(inside.as_bytes()), "{inside}");
        }
        for outside in
            ["10.10.10.11", "192.0.3.0", "2001:db9::", "::2", "::10.10.10.10", "", "x", "10.10.10.10 "]
        {
            assert!(!some.contain(outside.as_bytes()), "{outside}");
        }
    }

    #[test]
    fn overlapping_networks_are_one() {
        let some = networks("10.0.0.0/8,10.1.0.0/16,11.0.0.0/8,0.0.0.0/32");
        assert!(some.contain(b"10.200.0.1") && some.contain(b"11.255.255.255") && some.contain(b"0.0.0.0"));
        assert!(!some.contain(b"12.0.0.0") && !some.contain(b"9.255.255.255"));
        assert!(networks("::/0").contain(b"ffff::") && !networks("::/0").contain(b"1.2.3.4"));
    }

    #[test]
    fn nonsense_does_not_compile() {
        for wrong in ["", "10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.0/8,,", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert!(Networks::from_argument(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_lines_and_comments() {
        struct One;
        impl DataFiles for One {
            fn read(&self, path: &str) -> Result<Vec<u8>, String> {
                match path {
                    "ips" => Ok(b"# ours\n192.0.2.1 # one\n\n10.0.0.0/8,::1\n".to_vec()),
                    _ => Err("no such file".to_owned()),
                }
            }
        }
        let some = Networks::from_file("ips", &One).unwrap();
        assert!(some.contain(b"192.0.2.1") && some.contain(b"10.9.9.9") && some.contain(b"::1"));
        let missing = Networks::from_file("other", &One).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read other: no such file");
    }
}
