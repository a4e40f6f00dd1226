//! The PROXY protocol, versions 1 and 2, as a receiver (haproxy's `doc/proxy-protocol.txt`, sections 2.1 and 2.2).
//!
//! For listeners behind a balancer that is configured to send it: there the header is required, and anything else
//! is [`Parsed::Invalid`] (the specification forbids guessing). Which peers may send it is the caller's policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest version 1 line, CRLF included (section 2.1).
const MAX_V1_LEN: usize = 107;

/// The longest version 2 header accepted, in bytes; the format would allow 65,551. TLVs of a TLS-terminating
/// balancer with a client certificate's names stay well below it.
pub const MAX_HEADER_LEN: usize = 4096;

const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_LEN: usize = 16;
const TLV_CRC32C: u8 = 0x03;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// So far a valid header, but not all of it: read more.
    Incomplete,
    /// A proxied connection.
    Header {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
        /// Length of the header: the connection's own bytes follow.
        consumed: usize,
    },
    /// The proxy's own connection (a health check), or one of a family without IP addresses: the socket's
    /// addresses are the true ones.
    Local {
        /// Length of the header.
        consumed: usize,
    },
    /// Not a header: close the connection.
    Invalid,
}

/// Reads a header from the start of `bytes`. Never asks for more than [`MAX_HEADER_LEN`] bytes.
pub fn parse(bytes: &[u8]) -> Parsed {
    if starts_like(bytes, V1_PREFIX) {
        parse_v1(bytes)
    } else if starts_like(bytes, V2_SIGNATURE) {
        parse_v2(bytes)
    } else {
        Parsed::Invalid
    }
}

/// Whether `bytes` start with `prefix`, as far as there are bytes.
fn starts_like(bytes: &[u8], prefix: &[u8]) -> bool {
    let known = bytes.len().min(prefix.len());
    bytes[..known] == prefix[..known]
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(MAX_V1_LEN)];
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        return if bytes.len() < MAX_V1_LEN { Parsed::Incomplete } else { Parsed::Invalid };
    };
    let consumed = end + 2;
    let Some(rest) = window[..end].strip_prefix(V1_PREFIX) else { return Parsed::Invalid };
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Parsed::Local { consumed };
    }
    match std::str::from_utf8(rest).ok().and_then(v1_addresses) {
        Some((source, destination)) => Parsed::Header { source, destination, consumed },
        None => Parsed::Invalid,
    }
}

/// `TCP4 source destination port port`, single spaces.
fn v1_addresses(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = text.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (source_port, destination_port) = (v1_port(words.next()?)?, v1_port(words.next()?)?);
    words
        .next()
        .is_none()
        .then(|| (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)))
}

/// Digits without sign or leading zero.
fn v1_port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    plain.then(|| word.parse().ok())?
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_LEN>() else { return Parsed::Incomplete };
    let (version, command) = (fixed[12] >> 4, fixed[12] & 0x0f);
    let (family, transport) = (fixed[13] >> 4, fixed[13] & 0x0f);
    let payload_len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let consumed = V2_FIXED_LEN + payload_len;
    if version != 2 || command > 1 || family > 3 || transport > 2 || consumed > MAX_HEADER_LEN {
        return Parsed::Invalid;
    }
    let Some(payload) = rest.get(..payload_len) else { return Parsed::Incomplete };

    const LOCAL: u8 = 0;
    const UNSPECIFIED: u8 = 0;
    const UNIX: u8 = 3;
    const STREAM: u8 = 1;
    let (addresses, tlvs) = match (command, family) {
        // The receiver must take LOCAL's addresses for meaningless; the block is skipped whole.
        (LOCAL, _) | (_, UNSPECIFIED) => return Parsed::Local { consumed },
        (_, UNIX) => {
            const UNIX_ADDRESSES_LEN: usize = 216;
            let Some(tlvs) = payload.get(UNIX_ADDRESSES_LEN..) else { return Parsed::Invalid };
            (None, tlvs)
        }
        _ if transport != STREAM => return Parsed::Invalid,
        _ => {
            let Some((source, destination, tlvs)) = v2_addresses(family, payload) else {
                return Parsed::Invalid;
            };
            (Some((source, destination)), tlvs)
        }
    };
    if !tlvs_are_sound(&bytes[..consumed], consumed - tlvs.len()) {
        return Parsed::Invalid;
    }
    match addresses {
        Some((source, destination)) => Parsed::Header { source, destination, consumed },
        None => Parsed::Local { consumed },
    }
}

/// The two addresses of an IPv4 (family 1) or IPv6 payload, and the TLVs behind them.
fn v2_addresses(family: u8, payload: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (source, destination, rest): (IpAddr, IpAddr, _) = if family == 1 {
        let (source, rest) = payload.split_first_chunk::<4>()?;
        let (destination, rest) = rest.split_first_chunk::<4>()?;
        ((*source).into(), (*destination).into(), rest)
    } else {
        let (source, rest) = payload.split_first_chunk::<16>()?;
        let (destination, rest) = rest.split_first_chunk::<16>()?;
        ((*source).into(), (*destination).into(), rest)
    };
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, tlvs) = rest.split_first_chunk::<2>()?;
    Some((
        SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
        tlvs,
    ))
}

/// Whether the TLVs from `start` on fill the header exactly, and a checksum among them (section 2.2.5) is right.
fn tlvs_are_sound(header: &[u8], start: usize) -> bool {
    let mut at = start;
    while at < header.len() {
        let Some((&[kind, high, low], _)) = header[at..].split_first_chunk() else { return false };
        let value_at = at + 3;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = header.get(value_at..value_at + len) else { return false };
        if kind == TLV_CRC32C && value != checksum(header, value_at..value_at + len).to_be_bytes() {
            return false;
        }
        at = value_at + len;
    }
    true
}

/// CRC-32C (RFC 4960 appendix B) of the header with the checksum's own bytes taken as zero. Bit by bit: it is at
/// most [`MAX_HEADER_LEN`] bytes, once per connection, where a sender asks for it.
fn checksum(header: &[u8], own: std::ops::Range<usize>) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let crc = header.iter().enumerate().fold(u32::MAX, |crc, (at, &byte)| {
        let byte = if own.contains(&at) { 0 } else { byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ REVERSED_POLYNOMIAL } else { crc >> 1 }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(source: &str, destination: &str, consumed: usize) -> Parsed {
        Parsed::Header {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            consumed,
        }
    }

    fn v2(command: u8, family_transport: u8, payload: &[u8]) -> Vec<u8> {
        let len = (payload.len() as u16).to_be_bytes();
        [V2_SIGNATURE, &[0x20 | command, family_transport], &len, payload].concat()
    }

    const IPV4_PAYLOAD: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0x01, 0xbb];

    #[test]
    fn v1_tcp4_and_tcp6() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(parse(line), header("192.0.2.1:8080", "198.51.100.2:443", 44));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
        assert_eq!(parse(line), header("[2001:db8::1]:1", "[2001:db8::2]:65535", line.len()));
    }

    #[test]
    fn v1_unknown_is_local() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\nx"), Parsed::Local { consumed: 15 });
        assert_eq!(parse(b"PROXY UNKNOWN any thing\r\n"), Parsed::Local { consumed: 25 });
    }

    #[test]
    fn v1_errors() {
        for bad in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 8080 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 8080 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 8080 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +80 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 080 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 80 443\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.2 8080 443\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), Parsed::Invalid, "{bad}");
        }
    }

    #[test]
    fn a_v1_line_may_be_107_bytes_and_no_longer() {
        let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16));
        assert_eq!(parse(line(107).as_bytes()), Parsed::Local { consumed: 107 });
        assert_eq!(parse(line(108).as_bytes()), Parsed::Invalid);
        assert_eq!(parse(&line(108).as_bytes()[..106]), Parsed::Incomplete);
    }

    #[test]
    fn v2_ipv4_and_ipv6() {
        let bytes = v2(1, 0x11, &IPV4_PAYLOAD);
        assert_eq!(parse(&bytes), header("192.0.2.1:8080", "198.51.100.2:443", 28));
        let addresses: [Ipv6Addr; 2] = ["2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let payload = [&addresses[0].octets()[..], &addresses[1].octets(), &[0, 80, 1, 187]].concat();
        let bytes = v2(1, 0x21, &payload);
        assert_eq!(parse(&bytes), header("[2001:db8::1]:80", "[2001:db8::2]:443", 52));
    }

    #[test]
    fn v2_local_unspecified_and_unix_leave_the_sockets_addresses() {
        assert_eq!(parse(&v2(0, 0x00, b"")), Parsed::Local { consumed: 16 });
        assert_eq!(parse(&v2(0, 0x11, &IPV4_PAYLOAD)), Parsed::Local { consumed: 28 });
        assert_eq!(parse(&v2(1, 0x00, b"whatever")), Parsed::Local { consumed: 24 });
        assert_eq!(parse(&v2(1, 0x31, &[0; 216])), Parsed::Local { consumed: 232 });
    }

    #[test]
    fn v2_errors() {
        let mut other_version = v2(1, 0x11, &IPV4_PAYLOAD);
        other_version[12] = 0x31;
        let tlv_too_long = [&IPV4_PAYLOAD[..], &[0x04, 0, 2, 0]].concat();
        for bad in [
            other_version,
            v2(2, 0x11, &IPV4_PAYLOAD),
            v2(1, 0x12, &IPV4_PAYLOAD),
            v2(1, 0x41, &IPV4_PAYLOAD),
            v2(1, 0x13, &IPV4_PAYLOAD),
            v2(1, 0x11, &IPV4_PAYLOAD[..11]),
            v2(1, 0x21, &IPV4_PAYLOAD),
            v2(1, 0x31, &[0; 215]),
            v2(1, 0x11, &tlv_too_long),
            v2(1, 0x11, &[0; MAX_HEADER_LEN]),
        ] {
            assert_eq!(parse(&bad), Parsed::Invalid, "{bad:02x?}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(checksum(b"123456789", 0..0), 0xe306_9283);
    }

    #[test]
    fn v2_checksum_is_verified_and_other_tlvs_are_skipped() {
        let mut payload = IPV4_PAYLOAD.to_vec();
        payload.extend([0x04, 0, 1, 9, TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
        let mut bytes = v2(1, 0x11, &payload);
        let crc_at = bytes.len() - 4;
        let crc = checksum(&bytes, crc_at..bytes.len()).to_be_bytes();
        bytes[crc_at..].copy_from_slice(&crc);
        assert_eq!(parse(&bytes), header("192.0.2.1:8080", "198.51.100.2:443", bytes.len()));
        bytes[17] ^= 1;
        assert_eq!(parse(&bytes), Parsed::Invalid);
    }

    proptest! {
        #[test]
        fn every_prefix_of_a_header_is_incomplete(
            source: Ipv4Addr, destination: Ipv4Addr, ports: [u16; 2], tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let line = format!("PROXY TCP4 {source} {destination} {} {}\r\n", ports[0], ports[1]).into_bytes();
            let mut payload = [source.octets(), destination.octets()].concat();
            payload.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            for bytes in [line, v2(1, 0x11, &payload)] {
                for end in 0..bytes.len() {
                    prop_assert_eq!(parse(&bytes[..end]), Parsed::Incomplete);
                }
                let expected = Parsed::Header {
                    source: SocketAddr::new(source.into(), ports[0]),
                    destination: SocketAddr::new(destination.into(), ports[1]),
                    consumed: bytes.len(),
                };
                prop_assert_eq!(parse(&[&bytes[..], &tail].concat()), expected);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for start in [&b""[..], V1_PREFIX, b"PROXY TCP4 ", V2_SIGNATURE, &v2(1, 0x11, b"")[..14]] {
                let bytes = [start, &bytes].concat();
                if let Parsed::Header { consumed, .. } | Parsed::Local { consumed } = parse(&bytes) {
                    prop_assert!(consumed <= bytes.len() && consumed <= MAX_HEADER_LEN);
                }
            }
        }
    }
}
