use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

fn set(networks: &[&str]) -> AddressSet {
    networks.iter().map(|network| network.parse::<Cidr>().unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_set_holds_its_networks_and_nothing_else() {
    let some = set(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
    for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:ffff::1", "::1"] {
        assert!(some.contains(ip(inside)), "{inside}");
    }
    for outside in
        ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db9::", "::", "::2", "::a00:1"]
    {
        assert!(!some.contains(ip(outside)), "{outside}");
    }
    assert!(!AddressSet::default().contains(ip("::")));
    assert!(AddressSet::default().is_empty());
}

#[test]
fn ipv4_in_ipv6_form_is_ipv4() {
    assert!(set(&["192.0.2.0/24"]).contains(ip("::ffff:192.0.2.1")));
    assert!(set(&["::ffff:192.0.2.0/120"]).contains(ip("192.0.2.1")));
    assert!(set(&["::ffff:0:0/96"]).contains(ip("255.255.255.255")));
    assert!(!set(&["::/0"]).contains(ip("192.0.2.1")));
    assert!(!set(&["0.0.0.0/0"]).contains(ip("::1")));
    assert!(set(&["0.0.0.0/0", "::/0"]).contains(ip("::1")));
    assert!(set(&["::/0"]).contains(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
}

#[test]
fn what_overlaps_or_touches_is_one_range() {
    assert_eq!(set(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"]), set(&["10.0.0.0/8"]));
    assert_eq!(set(&["10.0.0.0/8", "10.0.0.0/8"]).ranges(), 1);
    assert_eq!(set(&["0.0.0.0/1", "128.0.0.0/1"]), set(&["0.0.0.0/0"]));
    assert_eq!(set(&["10.0.0.0/32", "10.0.0.2/32"]).ranges(), 2);
}

#[test]
fn a_list_has_lines_and_comments() {
    let list = b"# ours\r\n\r\n 192.0.2.1 # one\r\n10.0.0.0/8\n\t2001:db8::/32\n# \xff any bytes";
    assert_eq!(AddressSet::from_list(list).unwrap(), set(&["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"]));
    assert!(AddressSet::from_list(b"# nobody yet\n").unwrap().is_empty());
}

#[test]
fn a_wrong_line_is_named() {
    for (list, said) in [
        (
            &b"10.0.0.0/8\n\nnonsense\n"[..],
            "line 3: `nonsense` is not an address range; write `10.0.0.0/8`, `fd00::/8` or a single address",
        ),
        (
            b"10.0.0.1/8",
            "line 1: `10.0.0.1/8` has bits set beyond its prefix; write `10.0.0.0/8`, or `10.0.0.1` for that one address",
        ),
        (
            b"10.0.0.0/8, 10.0.0.0/9",
            "line 1: `10.0.0.0/8, 10.0.0.0/9` is not an address range; write `10.0.0.0/8`, `fd00::/8` or a single address",
        ),
        (b"1.1.1.1\n\xff\xfe", "line 2: this is not UTF-8"),
        (b" \n\n", "the file is empty; a list that is meant to hold nobody says so in a comment"),
        (b"", "the file is empty; a list that is meant to hold nobody says so in a comment"),
    ] {
        assert_eq!(AddressSet::from_list(list).unwrap_err().to_string(), said);
    }
}

#[test]
fn a_list_has_an_end() {
    let full = "10.0.0.0/8\n".repeat(MAX_LIST_ENTRIES);
    assert!(AddressSet::from_list(full.as_bytes()).is_ok());
    let error = AddressSet::from_list(format!("{full}10.0.0.0/8").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 1000001: more than 1000000 networks");
}

fn any_network() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0_u8..=32).prop_map(|(bits, length)| Ipv4Net::new_assert(
            Ipv4Addr::from_bits(bits),
            length
        )
        .trunc()
        .into()),
        (any::<u128>(), 0_u8..=128).prop_map(|(bits, length)| Ipv6Net::new_assert(
            Ipv6Addr::from_bits(bits),
            length
        )
        .trunc()
        .into()),
        // Small ones side by side, so that they meet.
        (0_u32..4_096, 24_u8..=32).prop_map(|(bits, length)| Ipv4Net::new_assert(
            Ipv4Addr::from_bits(bits),
            length
        )
        .trunc()
        .into()),
    ]
}

proptest! {
    #[test]
    fn a_set_equals_the_plain_list(
        networks in prop::collection::vec(any_network(), 0..60),
        others in prop::collection::vec(any_network(), 0..20),
    ) {
        let text: String = networks.iter().map(|network| format!("{network}\n")).chain(["#".to_owned()]).collect();
        let set = AddressSet::from_list(text.as_bytes()).unwrap();
        let listed: Vec<IpNet> = networks.iter().copied().filter(|n| !matches!(n.addr().to_canonical(), IpAddr::V4(_)) || n.addr().is_ipv4()).collect();
        prop_assume!(listed.len() == networks.len());
        let around = |network: &IpNet| {
            let step = |address: IpAddr, by: i8| match address {
                IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits().wrapping_add_signed(by.into()))),
                IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits().wrapping_add_signed(by.into()))),
            };
            let (first, last) = (network.network(), network.broadcast());
            [step(first, -1), first, last, step(last, 1)]
        };
        for address in networks.iter().chain(&others).flat_map(around) {
            let address = address.to_canonical();
            let expected = networks.iter().any(|network| network.contains(&address));
            prop_assert_eq!(set.contains(address), expected, "{}", address);
        }
    }

    #[test]
    fn no_list_brings_the_reader_down(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = AddressSet::from_list(&content);
    }
}
