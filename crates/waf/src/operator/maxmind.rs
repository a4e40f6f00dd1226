//! `SecGeoLookupDb`: a database in MaxMind's DB format (MaxMind DB File Format Specification 2.0), held in memory.
//!
//! Names and values of `GEO` are those that libmodsecurity v3 takes from such a file.

use std::fmt;
use std::net::IpAddr;

use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::Geo;
use crate::limits;

/// A database of cities or countries.
pub(crate) struct MaxMind(Reader<Vec<u8>>);

/// Members of `GEO` that are texts, and where the database keeps them.
const TEXTS: [(&str, &[&str]); 5] = [
    ("COUNTRY_CODE", &["country", "iso_code"]),
    ("COUNTRY_NAME", &["country", "names", "en"]),
    ("COUNTRY_CONTINENT", &["continent", "names", "en"]),
    ("CITY", &["city", "names", "en"]),
    ("POSTAL_CODE", &["postal", "code"]),
];
/// Members that are degrees.
const DEGREES: [(&str, &[&str]); 2] =
    [("LATITUDE", &["location", "latitude"]), ("LONGITUDE", &["location", "longitude"])];

impl MaxMind {
    /// Takes the content of a database file; `Err` says what is wrong with it.
    pub(crate) fn new(content: Vec<u8>) -> Result<Self, String> {
        if content.len() > limits::GEO_DATABASE_BYTES {
            return Err(format!("a database of more than {} bytes", limits::GEO_DATABASE_BYTES));
        }
        Reader::from_source(content).map(Self).map_err(|error| format!("not a MaxMind database: {error}"))
    }

    fn find(&self, address: IpAddr) -> Result<Option<Vec<(&'static str, String)>>, MaxMindDbError> {
        // A database of IPv4 has no answer for IPv6, which is no failure.
        if address.is_ipv6() && self.0.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.0.lookup(address)?;
        if !found.has_data() {
            return Ok(None);
        }
        let mut members = Vec::new();
        for (name, path) in TEXTS {
            if let Some(text) = found.decode_path::<String>(&elements(path))? {
                members.push((name, text));
            }
        }
        for (name, path) in DEGREES {
            if let Some(degrees) = found.decode_path::<f64>(&elements(path))? {
                members.push((name, format!("{degrees:.6}")));
            }
        }
        Ok(Some(members))
    }
}

fn elements<'a>(path: &[&'a str]) -> Vec<PathElement<'a>> {
    path.iter().map(|key| PathElement::Key(key)).collect()
}

impl Geo for MaxMind {
    fn lookup(&self, address: IpAddr) -> Result<Option<Vec<(&'static str, String)>>, &'static str> {
        self.find(address.to_canonical()).map_err(|_| "the geographic database is damaged")
    }
}

impl fmt::Debug for MaxMind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxMind").finish_non_exhaustive()
    }
}
