//! `@geoLookup`: the input is an address that a geographic database knows.
//!
//! The engine has no database of its own; the caller may give one. Without one the operator compiles, because rule
//! sets carry it switched off, and evaluating it is a failure.

use super::OperatorFailure;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A geographic database.
pub trait Geo: fmt::Debug + Send + Sync {
    /// What is known of an address, as the names of the `GEO` collection (`COUNTRY_CODE`, `CITY`, ...) and their values;
    /// `Err` says why there is no answer.
    fn lookup(&self, address: IpAddr) -> Result<Option<Vec<(&'static str, String)>>, &'static str>;
}

/// Looks the input up; what is no address is unknown.
pub(super) fn lookup(
    database: Option<&Arc<dyn Geo>>,
    input: &[u8],
) -> Result<Option<Vec<(&'static str, String)>>, OperatorFailure> {
    let unavailable = |reason| OperatorFailure::Unavailable { operator: "geoLookup", reason };
    let Some(database) = database else {
        return Err(unavailable("no geographic database is configured"));
    };
    let address = std::str::from_utf8(input).ok().and_then(|text| text.parse().ok());
    address.map_or(Ok(None), |address| database.lookup(address)).map_err(unavailable)
}
