//! Geographic databases in MaxMind's DB format (MaxMind DB File Format Specification 2.0), held in memory.
//!
//! Two uses: `SecGeoLookupDb`, where names and values of `GEO` are those that libmodsecurity v3 takes from such a file;
//! and [`MaxMind::places`], which walks a whole database once, for whoever compiles countries and networks into a form
//! of its own. The walk reads every record that the tree leads to, so a file that passes it holds no broken one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;

use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use crate::limits;
use crate::operator::Geo;

/// A database of cities, countries or autonomous systems.
pub struct MaxMind(Reader<Vec<u8>>);

/// What a database knows of a network, as far as rules about countries and autonomous systems need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2 code of the country: `country.iso_code`, as in MaxMind's own databases, or `country_code`, as
    /// in those of ip-location-db.
    pub country: Option<[u8; 2]>,
    /// Number of the autonomous system: `autonomous_system_number`.
    pub asn: Option<u32>,
}

/// Where a country's code may stand.
const COUNTRY_CODES: [&[&str]; 2] = [&["country", "iso_code"], &["country_code"]];
/// Where the number of an autonomous system stands.
const AS_NUMBER: &[&str] = &["autonomous_system_number"];

/// A tree has one more leaf than nodes; one that leads back into itself has any number. Databases of IPv6 show the
/// part with IPv4 addresses under up to three more prefixes.
const MOST_LEAVES_PER_NODE: usize = 4;

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
    pub fn new(content: Vec<u8>) -> Result<Self, String> {
        if content.len() > limits::GEO_DATABASE_BYTES {
            return Err(format!("a database of more than {} bytes", limits::GEO_DATABASE_BYTES));
        }
        Reader::from_source(content).map(Self).map_err(|error| format!("not a MaxMind database: {error}"))
    }

    /// When the database was built, in seconds since 1970.
    pub fn built_unix_s(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    /// Gives every network that the database knows something of to `take`: its first and last address, and what is
    /// known. Networks come in ascending order, those of IPv4 as IPv4; none overlaps another.
    ///
    /// `Err` says what is wrong with the file; what was given before then means nothing.
    pub fn places(&self, mut take: impl FnMut(IpAddr, IpAddr, Place)) -> Result<(), String> {
        let damaged = |error: MaxMindDbError| format!("the database is damaged: {error}");
        let mut left = (self.0.metadata().node_count as usize + 1).saturating_mul(MOST_LEAVES_PER_NODE);
        // Records are shared between networks: each is read once.
        let mut known: HashMap<usize, Place> = HashMap::new();
        for found in self.0.networks(WithinOptions::default()).map_err(damaged)? {
            left = left.checked_sub(1).ok_or("the database is damaged: its tree leads back into itself")?;
            let found = found.map_err(damaged)?;
            let Some(offset) = found.offset() else { continue };
            let place = match known.entry(offset) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(place(&found).map_err(damaged)?),
            };
            let network = found.network().map_err(damaged)?;
            if place != Place::default() {
                take(network.network(), network.broadcast(), place);
            }
        }
        Ok(())
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

fn place(found: &maxminddb::LookupResult<'_, Vec<u8>>) -> Result<Place, MaxMindDbError> {
    let mut place = Place::default();
    for path in COUNTRY_CODES {
        if place.country.is_none()
            && let Some(code) = found.decode_path::<&str>(&elements(path))?
        {
            place.country = code.as_bytes().try_into().ok();
        }
    }
    place.asn = found.decode_path::<u32>(&elements(AS_NUMBER))?;
    Ok(place)
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
