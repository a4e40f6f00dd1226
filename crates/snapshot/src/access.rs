//! IP and country rules, compiled: who passes.

use std::net::IpAddr;
use std::sync::Arc;

use veloflux_model::addresses::{AddressList, AddressSet};
use veloflux_model::value::Country;

use crate::geo::Origin;

/// The rules of a tenant, a route or a listener. In this order: who is exempt passes, who is denied is refused; where
/// some alone are allowed, everybody else is refused.
#[derive(Debug)]
pub struct AccessPolicy {
    /// What happens to those who are refused.
    pub action: AccessAction,
    pub(crate) exempt: Members,
    pub(crate) deny: Members,
    pub(crate) allow_only: Option<Members>,
}

/// What happens to a request that the rules refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessAction {
    /// It is refused with 403.
    Block,
    /// It passes, and is recorded.
    Log,
}

/// The kind of rule that refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRule {
    /// A denied address.
    Address,
    /// A denied country.
    Country,
    /// A denied autonomous system.
    Asn,
    /// It is not among those who alone are allowed.
    AllowOnly,
}

impl AccessRule {
    /// All kinds, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Address, Self::Country, Self::Asn, Self::AllowOnly];

    /// Its place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }

    /// As logs and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Country => "country",
            Self::Asn => "asn",
            Self::AllowOnly => "allow_only",
        }
    }
}

const _: () = {
    let mut place = 0;
    while place < AccessRule::ALL.len() {
        assert!(AccessRule::ALL[place] as usize == place);
        place += 1;
    }
};

/// Why somebody is refused.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'p> {
    /// The kind of rule.
    pub rule: AccessRule,
    /// The list that has the address, where it stands in a file.
    pub list: Option<&'p Arc<str>>,
}

impl AccessPolicy {
    /// Whether somebody at `address`, of which `origin` is known, is refused. Allocates nothing.
    pub fn judge(&self, address: IpAddr, origin: Origin) -> Option<Denial<'_>> {
        if self.exempt.find(address, origin).is_some() {
            return None;
        }
        if let Some(denial) = self.deny.find(address, origin) {
            return Some(denial);
        }
        let allowed = self.allow_only.as_ref()?.find(address, origin).is_some();
        (!allowed).then_some(Denial { rule: AccessRule::AllowOnly, list: None })
    }
}

/// Addresses, countries and networks together.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) addresses: AddressSet,
    /// Each shared by all who use the file.
    pub(crate) lists: Vec<Arc<AddressList>>,
    pub(crate) countries: Countries,
    /// In ascending order.
    pub(crate) asns: Box<[u32]>,
}

impl Members {
    /// What holds somebody, if anything does.
    pub(crate) fn find(&self, address: IpAddr, origin: Origin) -> Option<Denial<'_>> {
        let by = |rule| Some(Denial { rule, list: None });
        if self.addresses.contains(address) {
            return by(AccessRule::Address);
        }
        if let Some(list) = self.lists.iter().find(|list| list.addresses.contains(address)) {
            return Some(Denial { rule: AccessRule::Address, list: Some(&list.name) });
        }
        if self.countries.has(origin.country) {
            return by(AccessRule::Country);
        }
        let listed = origin.asn.is_some_and(|asn| self.asns.binary_search(&asn.get()).is_ok());
        if listed { by(AccessRule::Asn) } else { None }
    }
}

/// A set of countries, and of those whose country is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Countries([u64; 4]);

/// The bit of those whose country is not known.
const UNKNOWN: usize = 255;
const _: () = assert!(Country::COUNT <= UNKNOWN);

impl Countries {
    fn has(&self, country: Option<Country>) -> bool {
        let bit = country.map_or(UNKNOWN, Country::index);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }
}

impl FromIterator<Option<Country>> for Countries {
    fn from_iter<I: IntoIterator<Item = Option<Country>>>(countries: I) -> Self {
        let mut set = [0; 4];
        for country in countries {
            let bit = country.map_or(UNKNOWN, Country::index);
            set[bit / 64] |= 1 << (bit % 64);
        }
        Self(set)
    }
}
