//! Where addresses are: geographic databases compiled for lookups.
//!
//! A database is walked once, when it is read, and kept as two sorted tables of the addresses from which on something
//! else is known, one for each family; neighbours of which the same is known are one. So a broken file is found out
//! before it serves, and a lookup is two reads and a short search, allocates nothing and cannot fail. Memory is 12
//! bytes for each change of country or network within IPv4, 28 within IPv6.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use veloflux_model::addresses::{Address, Boundaries};
use veloflux_model::value::Country;
use veloflux_waf::maxmind::{MaxMind, Place};

/// What is known of where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The country.
    pub country: Option<Country>,
    /// The number of the autonomous system.
    pub asn: Option<NonZeroU32>,
}

/// The databases of a process, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geo {
    /// The databases.
    pub databases: Vec<Arc<GeoDatabase>>,
    /// Age from which on one of them is warned of.
    pub max_age: Duration,
}

impl Geo {
    /// What is known of `address`: of country and network each what the first database says that knows it.
    pub fn origin(&self, address: IpAddr) -> Origin {
        let mut known = Origin::default();
        for database in &self.databases {
            let Origin { country, asn } = database.origin(address);
            known.country = known.country.or(country);
            known.asn = known.asn.or(asn);
        }
        known
    }

    /// Whether any of them knows countries.
    pub fn has_countries(&self) -> bool {
        self.databases.iter().any(|database| database.has_countries)
    }

    /// Whether any of them knows autonomous systems.
    pub fn has_asns(&self) -> bool {
        self.databases.iter().any(|database| database.has_asns)
    }
}

/// One database.
#[derive(Debug, PartialEq, Eq)]
pub struct GeoDatabase {
    /// The file, as the process file names it.
    pub name: Arc<str>,
    /// When it was built, in seconds since 1970.
    pub built_unix_s: u64,
    has_countries: bool,
    has_asns: bool,
    v4: Table<u32>,
    v6: Table<u128>,
}

impl GeoDatabase {
    /// Reads a file in MaxMind's format. `Err` says what is wrong with it: one that cannot be read to its end, or knows
    /// no country and no autonomous system of any address, is no database.
    pub fn read(name: Arc<str>, content: Vec<u8>) -> Result<Self, String> {
        let database = MaxMind::new(content)?;
        let (mut v4, mut v6) = (Growing::default(), Growing::default());
        let (mut has_countries, mut has_asns) = (false, false);
        database.places(|first, last, Place { country, asn }| {
            // Codes of no country (`EU`, `ZZ`) stand for what is not known.
            let origin =
                Origin { country: country.and_then(Country::from_code), asn: asn.and_then(NonZeroU32::new) };
            has_countries |= origin.country.is_some();
            has_asns |= origin.asn.is_some();
            match (first, last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    v4.add(first.to_bits(), last.to_bits().checked_add(1), origin);
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    v6.add(first.to_bits(), last.to_bits().checked_add(1), origin);
                }
                _ => {}
            }
        })?;
        if !has_countries && !has_asns {
            return Err("the database knows no country and no autonomous system".to_owned());
        }
        let built_unix_s = database.built_unix_s();
        Ok(Self { name, built_unix_s, has_countries, has_asns, v4: v4.finish(), v6: v6.finish() })
    }

    /// What it knows of `address`. An IPv4 address in IPv6 form counts as IPv4.
    pub fn origin(&self, address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }

    /// Its age at a time in seconds since 1970, in seconds; 0 where it is from the future.
    pub fn age_s(&self, now_unix_s: u64) -> u64 {
        now_unix_s.saturating_sub(self.built_unix_s)
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// From each of some addresses on, what is known.
#[derive(Debug, PartialEq, Eq)]
struct Table<A> {
    starts: Boundaries<A>,
    origins: Box<[Origin]>,
}

impl<A: Address> Table<A> {
    fn get(&self, address: A) -> Origin {
        let behind = self.starts.up_to(address);
        behind.checked_sub(1).and_then(|last| self.origins.get(last)).copied().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.starts.bytes() + size_of_val(&*self.origins)
    }
}

/// A table that grows by networks in ascending order.
#[derive(Debug)]
struct Growing<A> {
    starts: Vec<A>,
    origins: Vec<Origin>,
    /// What comes after the last network; `None`: nothing more.
    end: Option<A>,
}

impl<A> Default for Growing<A> {
    fn default() -> Self {
        Self { starts: Vec::new(), origins: Vec::new(), end: None }
    }
}

impl<A: Address> Growing<A> {
    fn add(&mut self, first: A, end: Option<A>, origin: Origin) {
        if let Some(gap) = self.end.filter(|end| *end < first) {
            self.push(gap, Origin::default());
        }
        self.push(first, origin);
        self.end = end;
    }

    fn push(&mut self, start: A, origin: Origin) {
        let known = self.origins.last().copied().unwrap_or_default();
        if known != origin && self.starts.last().is_none_or(|last| *last < start) {
            self.starts.push(start);
            self.origins.push(origin);
        }
    }

    fn finish(mut self) -> Table<A> {
        if let Some(end) = self.end {
            self.push(end, Origin::default());
        }
        Table { starts: Boundaries::new(self.starts), origins: self.origins.into() }
    }
}
