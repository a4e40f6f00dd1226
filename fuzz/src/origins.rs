//! Lists of addresses and geographic databases.

use std::net::IpAddr;

use veloflux_model::addresses::AddressSet;
use veloflux_model::value::{Cidr, Country};
use veloflux_snapshot::GeoDatabase;
use veloflux_waf::maxmind::MaxMind;

/// Lists of addresses: one that is taken holds the ends of each of its networks, and of their neighbours those that
/// another of its networks holds.
pub fn address_list(input: &[u8]) {
    let Ok(set) = AddressSet::from_list(input) else { return };
    let entries = input.split(|&byte| byte == b'\n').filter_map(|line| {
        let entry = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let entry = std::str::from_utf8(entry.trim_ascii()).expect("what was taken is text");
        (!entry.is_empty()).then(|| entry.parse::<Cidr>().expect("what was taken is a network").network())
    });
    let networks: Vec<_> = entries.take(64).collect();
    assert_eq!(set.is_empty(), networks.is_empty());
    for network in &networks {
        // A network of IPv6 addresses may end where IPv4 in IPv6 form does, as `::/80`: it holds none of that.
        let is_v4 = |address: IpAddr| address.to_canonical().is_ipv4();
        let ends = [network.network(), network.broadcast()];
        for end in ends.into_iter().filter(|end| is_v4(*end) == is_v4(network.network())) {
            assert!(set.contains(end), "{network}");
        }
    }
    // IPv4 in IPv6 form is IPv4 in a set, and not to the networks that this is compared with.
    let mixed = networks.iter().any(|network| matches!(network.network(), IpAddr::V6(_)));
    if !mixed && networks.len() < 64 {
        for network in &networks {
            let IpAddr::V4(last) = network.broadcast() else { continue };
            let next = IpAddr::V4(last.to_bits().wrapping_add(1).into());
            assert_eq!(set.contains(next), networks.iter().any(|network| network.contains(&next)), "{next}");
        }
    }
}

/// Geographic databases: networks come in order and apart, and the compiled table says of both ends of each what the
/// file does.
pub fn geo_database(input: &[u8]) {
    let Ok(database) = MaxMind::new(input.to_vec()) else { return };
    let mut places = Vec::new();
    let walked = database.places(|first, last, place| places.push((first, last, place)));
    let table = GeoDatabase::read("fuzz".into(), input.to_vec());
    if walked.is_err() {
        assert!(table.is_err(), "half a database is none");
        return;
    }
    for pair in places.windows(2) {
        assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0, "{pair:?}");
    }
    let Ok(table) = table else { return };
    for (first, last, place) in places {
        // A network of IPv6 addresses may end in IPv4 in IPv6 form, of which the table says what it says of IPv4.
        for address in [first, last].into_iter().filter(|address| address.to_canonical() == *address) {
            let origin = table.origin(address);
            assert_eq!(origin.country, place.country.and_then(Country::from_code), "{address}");
            assert_eq!(origin.asn.map(|asn| asn.get()), place.asn.filter(|asn| *asn > 0), "{address}");
        }
    }
}
