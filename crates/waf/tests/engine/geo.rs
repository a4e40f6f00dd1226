//! `SecGeoLookupDb` and `@geoLookup` over a database made here (MaxMind DB File Format Specification 2.0).

use crate::common::{Request, block};
use veloflux_waf::{MemFiles, Ruleset, Source};

/// A value as the format writes it; sizes stay below 29, which need no further bytes.
fn text(value: &str) -> Vec<u8> {
    [&[2 << 5 | value.len() as u8], value.as_bytes()].concat()
}

fn double(value: f64) -> Vec<u8> {
    [&[3 << 5 | 8][..], &value.to_be_bytes()].concat()
}

fn number(value: u16) -> Vec<u8> {
    [&[5 << 5 | 2][..], &value.to_be_bytes()].concat()
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut written = vec![7 << 5 | members.len() as u8];
    for (name, value) in members {
        written.extend(text(name));
        written.extend(value);
    }
    written
}

/// A database of IPv4 that knows the lower half of all addresses.
pub(crate) fn database() -> Vec<u8> {
    const NODES: u8 = 1;
    // One node: where the first bit is 0 the data behind 16 separating bytes, else nothing.
    let mut written = vec![0, 0, NODES + 16, 0, 0, NODES];
    written.extend([0; 16]);
    let names = |name: &str| map(&[("en", text(name))]);
    written.extend(map(&[
        ("city", map(&[("names", names("Graz"))])),
        ("continent", map(&[("names", names("Europe"))])),
        ("country", map(&[("iso_code", text("AT")), ("names", names("Austria"))])),
        ("location", map(&[("latitude", double(47.07)), ("longitude", double(15.43))])),
        ("postal", map(&[("code", text("8010"))])),
    ]));
    written.extend(b"\xab\xcd\xefMaxMind.com");
    let empty_array = vec![0, 4];
    let long_zero = vec![0, 2];
    written.extend(map(&[
        ("binary_format_major_version", number(2)),
        ("binary_format_minor_version", number(0)),
        ("build_epoch", long_zero),
        ("database_type", text("Test-City")),
        ("description", map(&[])),
        ("ip_version", number(4)),
        ("languages", empty_array),
        ("node_count", vec![6 << 5 | 1, NODES]),
        ("record_size", number(24)),
    ]));
    written
}

fn compile(rules: &str, database: Vec<u8>) -> Result<Ruleset, String> {
    let files = MemFiles::new().with("geo.mmdb", database);
    let source = Source { name: "r.conf".into(), text: format!("SecGeoLookupDb geo.mmdb\n{rules}") };
    Ruleset::compile(&[source], &files).map_err(|errors| errors.to_string())
}

#[test]
fn geo_holds_what_the_database_knows_of_the_last_address() {
    let rules = r#"
        SecRule ARGS:ip "@geoLookup" "id:1,phase:1,pass,log,\
            msg:'%{GEO.COUNTRY_CODE} %{GEO.COUNTRY_NAME} %{GEO.COUNTRY_CONTINENT} %{GEO.CITY} %{GEO.POSTAL_CODE} \
%{GEO.LATITUDE} %{GEO.LONGITUDE}'"
        SecRule &GEO "@eq 0" "id:2,phase:1,pass,log,msg:'nothing'"
    "#;
    let ruleset = compile(rules, database()).unwrap();
    assert!(ruleset.notes().is_empty(), "{:?}", ruleset.notes());
    let messages = |ip: &str| -> Vec<String> {
        let seen = Request::get(&format!("/?ip={ip}")).through(&ruleset, &block(&ruleset));
        seen.record.matches.iter().map(|found| found.message.clone()).collect()
    };
    assert_eq!(messages("8.8.8.8"), ["AT Austria Europe Graz 8010 47.070000 15.430000"]);
    for unknown in ["200.0.0.1", "2001:db8::1", "example"] {
        assert_eq!(messages(unknown), ["nothing"], "{unknown}");
    }
}

#[test]
fn a_damaged_database_does_not_compile_or_refuses() {
    assert!(compile("", b"no database".to_vec()).unwrap_err().contains("not a MaxMind database"));
    let mut damaged = database();
    // The record leads far behind the data.
    damaged[0] = 0x7f;
    let rule = "SecRule ARGS:ip \"@geoLookup\" \"id:1,phase:1,pass\"";
    let ruleset = compile(rule, damaged).unwrap();
    let seen = Request::get("/?ip=8.8.8.8").through(&ruleset, &block(&ruleset));
    assert_eq!(seen.status, 500);
}
