//! IP and country rules and the tables of geographic databases, through the public door.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "../../waf/tests/support/mmdb.rs"]
mod mmdb;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mmdb::{asn, country, map, text};
use proptest::prelude::*;
use veloflux_model::addresses::{AddressList, AddressSet};
use veloflux_model::desired::Access;
use veloflux_model::{Desired, Document, Problem};
use veloflux_snapshot::compile::{AccessData, access};
use veloflux_snapshot::{AccessPolicy, Geo, GeoDatabase, Origin};
use veloflux_waf::maxmind::MaxMind;

fn read(content: Vec<u8>) -> Result<GeoDatabase, String> {
    GeoDatabase::read("geo.mmdb".into(), content)
}

fn geo(databases: Vec<Vec<u8>>) -> Arc<Geo> {
    let databases = databases.into_iter().map(|content| Arc::new(read(content).unwrap())).collect();
    Arc::new(Geo { databases, max_age: Duration::from_hours(24) })
}

/// Country and number of the autonomous system, as text.
fn shown(origin: Origin) -> String {
    let asn = origin.asn.map_or(String::new(), |asn| asn.to_string());
    format!("{} {asn}", origin.country.map_or("-", |country| country.code()))
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[test]
fn databases_are_asked_in_turn() {
    let geo = geo(vec![
        mmdb::database(7, &[("192.0.2.0/24", country("DE")), ("192.0.2.64/26", country("AT"))]),
        mmdb::database(7, &[("192.0.2.0/25", asn(64_500)), ("2001:db8::/32", asn(4_294_967_295))]),
        mmdb::database(
            7,
            &[("0.0.0.0/1", map(&[("country_code", text("US"))])), ("128.0.0.0/1", country("ZZ"))],
        ),
    ]);
    for (address, expected) in [
        ("192.0.2.0", "DE 64500"),
        ("192.0.2.63", "DE 64500"),
        ("192.0.2.64", "AT 64500"),
        ("192.0.2.127", "AT 64500"),
        ("192.0.2.128", "DE "),
        ("192.0.3.0", "- "),
        ("192.0.1.255", "- "),
        ("::ffff:192.0.2.1", "DE 64500"),
        ("10.0.0.1", "US "),
        ("127.255.255.255", "US "),
        ("255.255.255.255", "- "),
        ("2001:db8::1", "- 4294967295"),
        ("2001:db9::", "- "),
        ("::1", "- "),
    ] {
        assert_eq!(shown(geo.origin(ip(address))), expected, "{address}");
    }
    assert_eq!(geo.databases[0].built_unix_s, 7);
    assert_eq!((geo.databases[0].age_s(10), geo.databases[0].age_s(1)), (3, 0));
}

#[test]
fn what_is_no_database_says_why() {
    let good = mmdb::database(0, &[("192.0.2.0/24", country("DE")), ("198.51.100.0/24", country("AT"))]);
    let separator = good.windows(16).position(|window| window == [0; 16]).unwrap();
    let mut behind = good.clone();
    behind[separator - 6..separator].fill(0x7f);
    let mut round = good.clone();
    // The root's two sides lead to the root.
    round[..6].fill(0);
    let wrong_type = mmdb::database(0, &[("192.0.2.0/24", map(&[("country_code", mmdb::number32(49))]))]);
    let nothing = mmdb::database(0, &[("192.0.2.0/24", country("ZZ"))]);
    for (content, said) in [
        (b"no database".to_vec(), "not a MaxMind database"),
        (Vec::new(), "not a MaxMind database"),
        (good[..good.len() - 20].to_vec(), "not a MaxMind database"),
        (behind, "damaged"),
        (round, "damaged"),
        (wrong_type, "damaged"),
        (nothing, "knows no country and no autonomous system"),
    ] {
        let error = read(content).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert!(read(good).is_ok());
}

proptest! {
    /// The compiled table and the reader that it was made with say the same.
    #[test]
    fn a_table_equals_its_database(
        networks in prop::collection::vec((any::<u32>(), 4_u8..=32, 0_usize..4), 1..40),
        asked in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        const CODES: [&str; 4] = ["DE", "AT", "US", "ZZ"];
        let mut networks: Vec<_> = networks
            .into_iter()
            .map(|(bits, length, code)| (length, bits & (u32::MAX << (32 - length)), CODES[code]))
            .collect();
        networks.sort_unstable();
        let records: Vec<_> = networks
            .iter()
            .map(|(length, bits, code)| (format!("{}/{length}", Ipv4Addr::from_bits(*bits)), country(code)))
            .collect();
        let records: Vec<_> = records.iter().map(|(network, record)| (network.as_str(), record.clone())).collect();
        let Ok(table) = read(mmdb::database(0, &records)) else {
            prop_assert!(networks.iter().all(|(_, _, code)| *code == "ZZ"));
            return Ok(());
        };
        let edges = networks.iter().flat_map(|(length, bits, _)| {
            let last = bits | u32::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
            [bits.wrapping_sub(1), *bits, last, last.wrapping_add(1)]
        });
        for address in edges.chain(asked) {
            let holds = |length: u8, bits: u32| address & (u32::MAX << (32 - length)) == bits;
            let longest = networks.iter().rfind(|(length, bits, _)| holds(*length, *bits));
            let expected = longest.map_or("-", |(_, _, code)| *code);
            let expected = if expected == "ZZ" { "-" } else { expected };
            let found = table.origin(Ipv4Addr::from_bits(address).into());
            prop_assert_eq!(found.country.map_or("-", |country| country.code()), expected);
        }
    }

    #[test]
    fn no_file_brings_the_reader_down(
        position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut content = mmdb::database(0, &[("192.0.2.0/24", country("DE")), ("2001:db8::/32", asn(1))]);
        let _ = read(content[..cut.index(content.len())].to_vec());
        let position = position.index(content.len());
        content[position] = byte;
        let _ = read(content);
    }
}

/// The rules of a tenant that writes them so.
fn rules(text: &str) -> Access {
    let state = format!("tenants: [{{name: t, access: {text}}}]");
    Desired::parse("state.yaml", &state).unwrap_or_else(|report| panic!("{report}")).tenants.remove(0).access
}

fn compile(text: &str, data: &AccessData) -> Result<Option<Arc<AccessPolicy>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let policy = access(&rules(text), data, &mut problems);
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

#[test]
fn who_is_exempt_goes_before_who_is_denied_before_who_alone_is_allowed() {
    let geo = geo(vec![mmdb::database(
        0,
        &[
            ("192.0.2.0/24", country("DE")),
            ("198.51.100.0/24", country("KP")),
            ("203.0.113.0/24", asn(64_500)),
        ],
    )]);
    let list = AddressList { name: "l".into(), addresses: AddressSet::from_list(b"192.0.2.7\n").unwrap() };
    let data =
        AccessData { lists: HashMap::from([("l".to_owned(), Ok(Arc::new(list)))]), geo: Some(geo.clone()) };
    let judged = |rules: &str, address: &str| {
        let policy = compile(rules, &data).unwrap().unwrap();
        let denial = policy.judge(ip(address), geo.origin(ip(address)));
        denial.map_or("pass".to_owned(), |denial| {
            format!("{}{}", denial.rule.name(), denial.list.map_or("", |l| l))
        })
    };
    for (rules, address, expected) in [
        ("{deny: {addresses: [192.0.2.1]}}", "192.0.2.1", "address"),
        ("{deny: {addresses: [192.0.2.1]}}", "192.0.2.2", "pass"),
        ("{deny: {files: [l]}}", "192.0.2.7", "addressl"),
        ("{deny: {countries: [KP]}}", "198.51.100.1", "country"),
        ("{deny: {countries: [KP]}}", "203.0.113.1", "pass"),
        ("{deny: {countries: [unknown]}}", "203.0.113.1", "country"),
        ("{deny: {asns: [1, 64500]}}", "203.0.113.1", "asn"),
        ("{deny: {countries: [KP]}, exempt: {addresses: [198.51.100.1]}}", "198.51.100.1", "pass"),
        ("{deny: {countries: [DE]}, allow_only: {addresses: [192.0.2.1]}}", "192.0.2.1", "country"),
        ("{allow_only: {countries: [DE]}}", "192.0.2.1", "pass"),
        ("{allow_only: {countries: [DE]}}", "198.51.100.1", "allow_only"),
        ("{allow_only: {countries: [DE]}}", "203.0.113.1", "allow_only"),
        ("{allow_only: {countries: [DE, unknown]}}", "203.0.113.1", "pass"),
        ("{allow_only: {asns: [64500], files: [l]}}", "192.0.2.7", "pass"),
        ("{allow_only: {countries: [DE]}, exempt: {asns: [64500]}}", "203.0.113.1", "pass"),
    ] {
        assert_eq!(judged(rules, address), expected, "{rules} {address}");
    }
    assert!(compile("{}", &data).unwrap().is_none());
    assert!(compile("{action: log}", &data).unwrap().is_none());
}

#[test]
fn what_nobody_can_tell_is_an_error() {
    let of = |rules, geo| compile(rules, &AccessData { lists: HashMap::new(), geo });
    let said = |rules, geo| of(rules, geo).unwrap_err()[0].message.clone();
    assert_eq!(said("{deny: {countries: [KP]}}", None), "no geographic database tells countries");
    assert_eq!(said("{exempt: {asns: [1]}}", None), "no geographic database tells AS numbers");
    let networks = mmdb::database(0, &[("192.0.2.0/24", asn(1))]);
    assert_eq!(
        said("{deny: {countries: [unknown]}}", Some(geo(vec![networks.clone()]))),
        "no geographic database tells countries"
    );
    assert!(of("{deny: {asns: [1]}}", Some(geo(vec![networks]))).is_ok());
    assert_eq!(said("{deny: {files: [l]}}", None), "the list `l` cannot be used: it was not read");
}

/// The database of ip-location-db, where set-up has put it.
#[test]
fn a_database_of_the_whole_world_is_read() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(
        "../../target/geo/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
    );
    let Ok(content) = std::fs::read(&path) else {
        println!("skipped: {} is not there; `make setup` fetches it", path.display());
        return;
    };
    let reader = MaxMind::new(content.clone()).unwrap();
    let begun = Instant::now();
    let table = read(content).unwrap();
    println!("{} KiB, read in {} ms", table.bytes() >> 10, begun.elapsed().as_millis());
    let mut networks = 0;
    reader
        .places(|first, last, place| {
            networks += 1;
            let code = place.country.map(|code| String::from_utf8(code.into()).unwrap());
            for address in [first, last] {
                let found = table.origin(address).country.map(|country| country.code().to_owned());
                assert_eq!(
                    found,
                    code.clone().filter(|code| code.parse::<veloflux_model::value::Country>().is_ok()),
                    "{address}"
                );
            }
        })
        .unwrap();
    assert!(networks > 100_000, "{networks}");
    assert_eq!(shown(table.origin(ip("193.0.6.139"))), "NL ", "RIPE NCC");
    assert_eq!(shown(table.origin(ip("10.0.0.1"))), "- ");
}
