//! IP and country rules: whose requests are taken, by address, country and network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::{At, Position};
use crate::problem::Problem;
use crate::value::{Cidr, Count, Country, FilePath, ListedCountry};

/// Most addresses and AS numbers written into one list; files hold more.
const MAX_ENTRIES: usize = 10_000;

/// Most files of one list; each is looked into in turn.
const MAX_FILES: usize = 16;

/// Rules about where requests come from. In this order: who is in `exempt` passes; who is in `deny` is refused; where
/// there is an `allow_only`, who is not in it is refused. A request has to pass its tenant's rules and its route's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// What happens to those who are refused.
    #[serde(skip_serializing_if = "AccessAction::is_default")]
    pub action: AccessAction,
    /// Whether a request has to pass the tenant's rules too; for routes only. Left out: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherit: Option<At<bool>>,
    /// Who passes whatever the lists below say.
    #[serde(skip_serializing_if = "Origins::is_empty")]
    pub exempt: Origins,
    /// Who is refused.
    #[serde(skip_serializing_if = "Origins::is_empty")]
    pub deny: Origins,
    /// Who alone passes. Left out: everybody who is not in `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_only: Option<At<Origins>>,
}

/// What happens to a request that the rules refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessAction {
    /// 403.
    #[default]
    Block,
    /// It passes, and is recorded.
    Log,
}

impl AccessAction {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where requests come from: all that is named, together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Origins {
    /// Networks and addresses. IPv4 addresses in IPv6 form count as IPv4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub addresses: Vec<Cidr>,
    /// Files with a network or an address on each line, up to 1,000,000 of them; `#` begins a comment. A file that
    /// becomes unreadable or wrong keeps what it held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub files: Vec<At<FilePath>>,
    /// Countries, by the operator's geographic databases. Without `unknown`, an address of which none of them knows the
    /// country is in no list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<At<ListedCountry>>,
    /// Numbers of autonomous systems, by the same databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub asns: Vec<At<Count<1, 4_294_967_295>>>,
}

impl Origins {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        let Self { addresses, files, countries, asns } = self;
        addresses.is_empty() && files.is_empty() && countries.is_empty() && asns.is_empty()
    }

    /// The files that are named, as written.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.as_str())
    }

    /// Lists that are too long; `at` is where to report them.
    pub(crate) fn problems(&self, at: Position) -> Vec<Problem> {
        let Self { addresses, files, countries, asns } = self;
        [
            ("addresses", addresses.len(), MAX_ENTRIES),
            ("files", files.len(), MAX_FILES),
            ("countries", countries.len(), Country::COUNT + 1),
            ("AS numbers", asns.len(), MAX_ENTRIES),
        ]
        .into_iter()
        .filter(|(_, length, most)| length > most)
        .map(|(what, length, most)| {
            let message = format!("there are {length} {what} in a list of origins");
            Problem::new(at, message).hint(format!("there may be {most}"))
        })
        .collect()
    }
}

impl Access {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All lists.
    pub fn lists(&self) -> impl Iterator<Item = &Origins> {
        [&self.exempt, &self.deny].into_iter().chain(self.allow_only.as_ref().map(At::value))
    }

    /// The files that its lists name, as written.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.lists().flat_map(Origins::files)
    }

    /// Whether tenants' rules are asked too.
    pub fn inherits(&self) -> bool {
        self.inherit.as_ref().is_none_or(|inherit| *inherit.value())
    }

    /// What is wrong between its values; `at` is where to report what has no place of its own.
    pub(crate) fn problems(&self, at: Position) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.lists().flat_map(|list| list.problems(at)).collect();
        if let Some(allow_only) = self.allow_only.as_ref().filter(|list| list.is_empty()) {
            problems.push(
                Problem::new(allow_only.position(), "`allow_only` names nobody, so nobody would pass")
                    .hint("say who may pass, or remove it"),
            );
        }
        problems
    }
}
