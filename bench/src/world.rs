//! Where the clients of the row `protections` come from: what makes an edge that looks at addresses work is that they are
//! many and not neighbours. Addresses of one client or of none that a database knows would be found in the nearest cache.
//!
//! Countries are those of ip-location-db where `make setup` could fetch it, else of a database written here; no database
//! of autonomous systems is at hand, so that one is always written. Addresses are drawn from networks of the countries
//! that are served, half of them IPv6, and a million more are denied.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use veloflux_model::addresses::MAX_LIST_ENTRIES;
use veloflux_model::value::Country;
use veloflux_snapshot::{Geo, GeoDatabase};
use veloflux_waf::maxmind::MaxMind;

use crate::mmdb;
use crate::workdir::Workdir;

/// The list of denied addresses.
pub(crate) const DENIED_FILE: &str = "denied.txt";
/// The addresses of clients, one a line.
pub(crate) const CLIENTS_FILE: &str = "clients.txt";
/// The database of countries.
pub(crate) const COUNTRIES_FILE: &str = "country.mmdb";
/// The database of autonomous systems.
pub(crate) const ASNS_FILE: &str = "asn.mmdb";

/// An address on the list of those denied.
pub(crate) const DENIED: &str = "192.0.2.1";
/// An address in [`REFUSED_COUNTRY`].
pub(crate) const IN_REFUSED_COUNTRY: &str = "175.45.176.1";
/// An address in [`REFUSED_ASN`].
pub(crate) const IN_REFUSED_ASN: &str = "198.51.100.1";
/// Addresses that are in none of these.
pub(crate) const SERVED: [&str; 2] = ["203.0.113.1", "203.0.113.2"];

/// No client comes from there.
pub(crate) const REFUSED_COUNTRY: &str = "KP";
/// Nor from there.
pub(crate) const REFUSED_ASN: u32 = 64_500;

/// More than the load generator sends requests in a round, so that no client comes again in one.
const CLIENTS: usize = 200_000;

/// Clients, and what is known of them.
pub(crate) struct World {
    /// The databases.
    pub geo: Geo,
    /// Every client's address.
    pub clients: Vec<IpAddr>,
    /// Of what it is made, in words.
    pub facts: String,
}

impl World {
    /// Makes it and writes its files.
    pub(crate) fn create(workdir: &Workdir) -> Result<Self, String> {
        let (countries, source) = match std::fs::read(fetched()) {
            Ok(content) => (content, "of ip-location-db"),
            Err(_) => (written_countries(), "written here"),
        };
        let networks = Networks::of(&countries)?;
        let asns = written_asns(&networks);
        workdir.write(COUNTRIES_FILE, &countries)?;
        workdir.write(ASNS_FILE, &asns)?;

        let read = |name: &str, content| GeoDatabase::read(name.into(), content).map(Arc::new);
        let databases = vec![read(COUNTRIES_FILE, countries)?, read(ASNS_FILE, asns)?];
        let kib = databases.iter().map(|database| database.bytes()).sum::<usize>() >> 10;
        let geo = Geo { databases, max_age: Duration::MAX };

        let mut addresses = networks.draw();
        let served = |address: &IpAddr| {
            let origin = geo.origin(*address);
            origin.country.is_some_and(|country| country.code() != REFUSED_COUNTRY)
        };
        let clients: Vec<_> = addresses.by_ref().filter(served).take(CLIENTS).collect();
        let denied: Vec<_> = addresses.take(MAX_LIST_ENTRIES - 1).chain(DENIED.parse()).collect();
        workdir.write(DENIED_FILE, lines(&denied))?;
        workdir.write(CLIENTS_FILE, lines(&clients))?;
        let facts = format!(
            "data {CLIENTS} clients from {} IPv4 and {} IPv6 networks, countries {source}, {kib} KiB compiled; \
             {MAX_LIST_ENTRIES} addresses denied",
            networks.v4.len(),
            networks.v6.len(),
        );
        Ok(Self { geo, clients, facts })
    }
}

/// A list of addresses as files hold it.
pub(crate) fn lines(addresses: &[IpAddr]) -> String {
    addresses.iter().fold(String::new(), |lines, address| lines + &address.to_string() + "\n")
}

/// Where `make setup` puts the database of ip-location-db.
fn fetched() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(
        "../target/geo/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
    )
}

/// A database of 180,000 networks, one country after the other, and the one that is refused.
fn written_countries() -> Vec<u8> {
    let v4 = (0x0100..0xe000)
        .flat_map(|bits| [0, 128].map(|half| format!("{}.{}.{half}.0/17", bits >> 8, bits & 0xff)));
    let v6 = (0..=u16::MAX).map(|bits| format!("2001:{bits:x}::/32"));
    let served = Country::all().map(Country::code).filter(|code| *code != REFUSED_COUNTRY);
    let records: Vec<_> = served.map(mmdb::country).collect();
    written(
        v4.chain(v6).zip(records.into_iter().cycle()),
        ("175.45.176.0/22", mmdb::country(REFUSED_COUNTRY)),
    )
}

/// A database of the same networks as that of countries, with about as many autonomous systems as there are in the world,
/// and the one that is refused.
fn written_asns(networks: &Networks) -> Vec<u8> {
    const SYSTEMS: u32 = 60_000;
    let v4 = networks
        .v4
        .iter()
        .map(|(first, last)| format!("{}/{}", Ipv4Addr::from_bits(*first), (first ^ last).leading_zeros()));
    let v6 = networks
        .v6
        .iter()
        .map(|(first, last)| format!("{}/{}", Ipv6Addr::from_bits(*first), (first ^ last).leading_zeros()));
    written(
        v4.chain(v6).zip((1..=SYSTEMS).cycle().map(mmdb::asn)),
        ("198.51.100.0/24", mmdb::asn(REFUSED_ASN)),
    )
}

/// A database of these networks and one more.
fn written(networks: impl Iterator<Item = (String, Vec<u8>)>, more: (&str, Vec<u8>)) -> Vec<u8> {
    let networks: Vec<_> = networks.collect();
    let networks = networks.iter().map(|(network, record)| (network.as_str(), record.clone()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    mmdb::database(now.as_secs(), &networks.chain([more]).collect::<Vec<_>>())
}

/// First and last addresses of all networks of a database.
struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    fn of(database: &[u8]) -> Result<Self, String> {
        let mut all = Self { v4: Vec::new(), v6: Vec::new() };
        MaxMind::new(database.to_vec())?.places(|first, last, _| match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => all.v4.push((first.to_bits(), last.to_bits())),
            (IpAddr::V6(first), IpAddr::V6(last)) => all.v6.push((first.to_bits(), last.to_bits())),
            _ => {}
        })?;
        if all.v4.is_empty() || all.v6.is_empty() {
            Err("a database of one family only".into())
        } else {
            Ok(all)
        }
    }

    /// Addresses in networks at random, by turns of both families; the same in every run. None is a client that came
    /// before, as limits tell clients apart: databases know many a /64 in pieces, and its clients would come too often.
    fn draw(&self) -> impl Iterator<Item = IpAddr> {
        let mut random = fastrand::Rng::with_seed(1);
        let mut drawn = HashSet::new();
        let pairs = std::iter::repeat_with(move || {
            let (first, last) = self.v4[random.usize(..self.v4.len())];
            let v4 = IpAddr::V4(random.u32(first..=last).into());
            let (first, last) = self.v6[random.usize(..self.v6.len())];
            [v4, IpAddr::V6(random.u128(first..=last).into())]
        });
        pairs.flatten().filter(move |address| {
            drawn.insert(match *address {
                IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
                v4 @ IpAddr::V4(_) => v4,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_knows_every_client_and_refuses_whom_it_should() {
        let read = |content| GeoDatabase::read("written".into(), content).unwrap();
        let countries = written_countries();
        let networks = Networks::of(&countries).unwrap();
        let asns = read(written_asns(&networks));
        assert!(networks.v4.len() > 100_000 && networks.v6.len() > 60_000);
        let countries = read(countries);
        let country = |address: IpAddr| countries.origin(address).country.map(Country::code);
        let asn = |address: IpAddr| asns.origin(address).asn.map(std::num::NonZeroU32::get);
        assert_eq!(country(IN_REFUSED_COUNTRY.parse().unwrap()), Some(REFUSED_COUNTRY));
        assert_eq!(asn(IN_REFUSED_ASN.parse().unwrap()), Some(REFUSED_ASN));
        let drawn: Vec<_> = networks.draw().take(10_000).collect();
        assert_eq!(drawn, networks.draw().take(10_000).collect::<Vec<_>>());
        assert_eq!(drawn.iter().filter(|address| address.is_ipv4()).count(), 5_000);
        assert!(drawn.iter().all(|address| country(*address).is_some() && asn(*address).is_some()));
        let codes: HashSet<_> = drawn.iter().map(|address| country(*address)).collect();
        assert!(codes.len() > 200, "{codes:?}");
    }
}
