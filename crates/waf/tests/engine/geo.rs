//! `SecGeoLookupDb` and `@geoLookup` over a database made here.

use crate::common::{Request, block};
use crate::mmdb::{self, double, map, text};
use veloflux_waf::{MemFiles, Ruleset, Source};

/// A database that knows the lower half of all IPv4 addresses.
pub(crate) fn database() -> Vec<u8> {
    let names = |name: &str| map(&[("en", text(name))]);
    let record = map(&[
        ("city", map(&[("names", names("Graz"))])),
        ("continent", map(&[("names", names("Europe"))])),
        ("country", map(&[("iso_code", text("AT")), ("names", names("Austria"))])),
        ("location", map(&[("latitude", double(47.07)), ("longitude", double(15.43))])),
        ("postal", map(&[("code", text("8010"))])),
    ]);
    mmdb::database(0, &[("0.0.0.0/1", record)])
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
