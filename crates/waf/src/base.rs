//! Our own base configuration: the SecLang text below every rule set.

use crate::ruleset::Source;

/// Name of the base configuration in errors and records.
const NAME: &str = "veloflux-base.conf";

/// The base configuration: engine and body access on, JSON and XML by content type, bodies that do not parse and
/// ambiguous multipart refused. Put it before all other sources. Its rules have ids 100-199.
pub fn base_config() -> Source {
    Source { name: NAME.to_owned(), text: include_str!("base.conf").to_owned() }
}
