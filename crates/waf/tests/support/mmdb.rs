//! Writes small databases in MaxMind's format (MaxMind DB File Format Specification 2.0), for tests of this and other
//! crates.

#![allow(dead_code, unreachable_pub, reason = "each test crate that includes this uses a part of it")]

use std::collections::HashMap;
use std::net::IpAddr;

/// A value as the format writes it; sizes stay below 29, which need no further bytes.
pub(crate) fn text(value: &str) -> Vec<u8> {
    [&[2 << 5 | value.len() as u8], value.as_bytes()].concat()
}

pub(crate) fn double(value: f64) -> Vec<u8> {
    [&[3 << 5 | 8][..], &value.to_be_bytes()].concat()
}

pub(crate) fn number16(value: u16) -> Vec<u8> {
    [&[5 << 5 | 2][..], &value.to_be_bytes()].concat()
}

pub(crate) fn number32(value: u32) -> Vec<u8> {
    [&[6 << 5 | 4][..], &value.to_be_bytes()].concat()
}

/// An unsigned 64-bit number: an extended type.
pub(crate) fn number64(value: u64) -> Vec<u8> {
    [&[8, 2][..], &value.to_be_bytes()].concat()
}

pub(crate) fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut written = vec![7 << 5 | members.len() as u8];
    for (name, value) in members {
        written.extend(text(name));
        written.extend(value);
    }
    written
}

/// A record as databases of countries have it.
pub(crate) fn country(code: &str) -> Vec<u8> {
    map(&[("country", map(&[("iso_code", text(code))]))])
}

/// A record as databases of autonomous systems have it.
pub(crate) fn asn(number: u32) -> Vec<u8> {
    map(&[("autonomous_system_number", number32(number))])
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database of IPv4 and IPv6, built at `built_unix_s`, of networks in CIDR notation and their records; where two
/// overlap, the longer one has to come later.
pub(crate) fn database(built_unix_s: u64, networks: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut nodes = vec![[Child::Nothing; 2]];
    let mut data: Vec<u8> = Vec::new();
    // As in others' databases, equal records are one.
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    for (network, record) in networks {
        let (bits, length) = bits(network);
        let leaf = Child::Data(*places.entry(record).or_insert_with(|| {
            data.extend(record);
            data.len() - record.len()
        }));
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = leaf;
            } else if let Child::Node(next) = nodes[node][side] {
                node = next;
            } else {
                let whole = nodes[node][side];
                nodes.push([whole; 2]);
                nodes[node][side] = Child::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
    }
    let count = nodes.len();
    let mut written = Vec::new();
    for child in nodes.into_iter().flatten() {
        let record = match child {
            Child::Nothing => count,
            Child::Node(node) => node,
            // Data begins behind 16 separating bytes.
            Child::Data(offset) => count + 16 + offset,
        };
        written.extend(&(record as u32).to_be_bytes()[1..]);
    }
    written.extend([0; 16]);
    written.extend(data);
    written.extend(b"\xab\xcd\xefMaxMind.com");
    let empty_array = vec![0, 4];
    written.extend(map(&[
        ("binary_format_major_version", number16(2)),
        ("binary_format_minor_version", number16(0)),
        ("build_epoch", number64(built_unix_s)),
        ("database_type", text("Test")),
        ("description", map(&[])),
        ("ip_version", number16(6)),
        ("languages", empty_array),
        ("node_count", number32(count as u32)),
        ("record_size", number16(24)),
    ]));
    written
}

/// The bits of a network's address in the tree, and its length there.
fn bits(network: &str) -> (u128, u32) {
    let (address, length) = network.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    match address.parse().unwrap() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), length + 96),
        IpAddr::V6(address) => (address.to_bits(), length),
    }
}
