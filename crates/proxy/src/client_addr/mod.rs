//! Who is the client, behind proxies that are trusted, and what a backend is told about it.
//!
//! Policy:
//!
//! - The peer's address is the one thing that is known. If it is not in `trusted_proxies`, it is the client, and
//!   every forwarding header that came along is dropped as forged (RFC 9700 section 4.13).
//! - If it is, the last element of X-Forwarded-For is what that proxy saw; while the address found is trusted
//!   too, the element before it counts. The first untrusted address is the client. Only without X-Forwarded-For
//!   is Forwarded (RFC 7239) read. A trusted proxy that writes Forwarded alone must therefore remove a client's
//!   X-Forwarded-For.
//! - A malformed or hidden (`unknown`, `_name`) element ends the walk: the last good address is the client.
//! - Backends get X-Forwarded-For rebuilt from the addresses that were verified on the way, never the text that a
//!   client sent, and never Forwarded: two accounts of one thing could differ. See [`outbound`].

mod forwarded;
mod outbound;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

pub(crate) use outbound::is_same_name;
pub use outbound::{Forwarding, Inbound, forwarding, is_forwarding_header};

/// Elements of the forwarding headers that are looked at, counted from the right; a longer chain ends there.
pub const MAX_HOPS: usize = 32;

/// The proxies whose word is taken, as networks. IPv4 addresses in IPv6 form count as IPv4.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// From a list of networks; a few dozen at most, as each is compared in turn.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The addresses from the client to the peer, as far as trusted proxies vouch for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The client: the first untrusted address seen from here, or the farthest one known.
    pub client: IpAddr,
    /// The trusted proxies between, from the client's to our peer; empty when the peer is the client.
    pub proxies: Vec<IpAddr>,
}

/// Walks from `peer` towards the client. `x_forwarded_for` and `forwarded` are the values of these headers, in
/// the order received.
pub fn walk<'a>(
    trusted: &TrustedProxies,
    peer: IpAddr,
    x_forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    forwarded: impl Iterator<Item = &'a [u8]>,
) -> Chain {
    let mut chain = Chain { client: peer.to_canonical(), proxies: Vec::new() };
    if !trusted.contains(peer) {
        return chain;
    }
    let mut from_right = x_forwarded_for
        .rev()
        .flat_map(|value| value.rsplit(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        // RFC 9110 section 5.6.1: empty elements of a list do not count.
        .filter(|element| !element.is_empty())
        .map(parse_node)
        .peekable();
    if from_right.peek().is_some() {
        chain.extend(trusted, from_right);
    } else {
        chain.extend(trusted, forwarded::for_nodes(forwarded).into_iter().rev());
    }
    chain.proxies.reverse();
    chain
}

impl Chain {
    /// Takes in what the proxies say, nearest first.
    fn extend(&mut self, trusted: &TrustedProxies, from_right: impl Iterator<Item = Option<IpAddr>>) {
        for node in from_right.take(MAX_HOPS) {
            let Some(address) = node else { return };
            self.proxies.push(std::mem::replace(&mut self.client, address));
            if !trusted.contains(address) {
                return;
            }
        }
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`. `None` for anything else.
fn parse_node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .or_else(|| {
            text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(Into::into)
        })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn walk_text(peer: &str, x_forwarded_for: &[&str], forwarded: &[&str]) -> Chain {
        walk(
            &trusted(),
            peer.parse().unwrap(),
            x_forwarded_for.iter().map(|value| value.as_bytes()),
            forwarded.iter().map(|value| value.as_bytes()),
        )
    }

    fn client(peer: &str, x_forwarded_for: &[&str], forwarded: &[&str]) -> String {
        walk_text(peer, x_forwarded_for, forwarded).client.to_string()
    }

    #[test]
    fn a_strangers_headers_mean_nothing() {
        assert_eq!(client("203.0.113.9", &["1.1.1.1"], &["for=1.1.1.1"]), "203.0.113.9");
    }

    #[test]
    fn the_walk_stops_at_the_first_stranger_from_the_right() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], &[]), "203.0.113.9");
        let chain = walk_text("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"], &[]);
        assert_eq!(chain.client.to_string(), "203.0.113.9");
        let proxies: Vec<_> = chain.proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.0.0.2", "10.0.0.1"]);
    }

    #[test]
    fn when_all_are_trusted_the_farthest_is_the_client() {
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &[]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &[], &[]), "10.0.0.1");
    }

    #[test]
    fn a_malformed_element_ends_the_walk() {
        for bad in [
            "nonsense",
            "1.2.3",
            "1.2.3.4.5",
            "[::1",
            "1.1.1.1:99999",
            "unknown",
            "1.1.1.1 2.2.2.2",
            "\u{e9}",
        ] {
            let header = format!("1.1.1.1, {bad}, 10.0.0.2");
            assert_eq!(client("10.0.0.1", &[&header], &[]), "10.0.0.2", "{bad}");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        for element in ["203.0.113.9:1234", "::ffff:203.0.113.9", "[::ffff:203.0.113.9]:1"] {
            assert_eq!(client("::ffff:10.0.0.1", &[element], &[]), "203.0.113.9", "{element}");
        }
        assert_eq!(client("fd00::1", &["[2001:db8::1]:80"], &[]), "2001:db8::1");
        assert_eq!(client("fd00::1", &["[2001:db8::1]"], &[]), "2001:db8::1");
        assert_eq!(client("fd00::1", &["2001:db8::1"], &[]), "2001:db8::1");
    }

    #[test]
    fn empty_elements_do_not_count() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9, , 10.0.0.2,", ""], &[]), "203.0.113.9");
    }

    #[test]
    fn forwarded_counts_only_without_x_forwarded_for() {
        let forwarded = ["for=203.0.113.9;proto=https, for=10.0.0.2"];
        assert_eq!(client("10.0.0.1", &[], &forwarded), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.8"], &forwarded), "203.0.113.8");
        assert_eq!(client("10.0.0.1", &[" , "], &forwarded), "203.0.113.9");
    }

    #[test]
    fn a_long_chain_ends_at_the_limit() {
        let header = vec!["10.9.9.9"; MAX_HOPS * 3].join(",");
        let chain = walk_text("10.0.0.1", &[&header], &[]);
        assert_eq!(chain.proxies.len(), MAX_HOPS);
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_to_the_left_changes_nothing(
            forged in "[ -~]{0,80}", client_octet in 1_u8..255, hops in 1_usize..5,
        ) {
            let client = format!("203.0.113.{client_octet}");
            let honest = format!("{client}{}", ", 10.0.0.7".repeat(hops));
            let chain = walk_text("10.0.0.1", &[&forged, &honest], &[]);
            prop_assert_eq!(&chain.client.to_string(), &client);
            prop_assert_eq!(walk_text("10.0.0.1", &[&format!("{forged},{honest}")], &[]), chain);
        }

        #[test]
        fn the_client_is_the_peer_or_a_vouched_address(
            x_forwarded_for in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4),
            forwarded in prop::collection::vec("(for=|\"|;|,|=|_x|\\[::1\\]|10\\.0\\.0\\.1|\\\\| ){0,12}", 0..3),
        ) {
            let peer = "10.0.0.1".parse().unwrap();
            let chain = walk(
                &trusted(),
                peer,
                x_forwarded_for.iter().map(Vec::as_slice),
                forwarded.iter().map(String::as_bytes),
            );
            prop_assert!(chain.proxies.iter().all(|&proxy| trusted().contains(proxy)));
            prop_assert_eq!(*chain.proxies.last().unwrap_or(&chain.client), peer);
        }
    }
}
