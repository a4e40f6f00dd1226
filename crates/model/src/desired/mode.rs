//! The switch of a tenant: as usual, closed for maintenance, or under attack.
//!
//! The one value `mode` turns it; what each position means stands ready beside it, so that nobody has to write rules
//! while a site is going down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AtOnce, Concurrency, KeyPart, LimitAction, Limits, Origins, PathPattern, RateRule};
use crate::located::At;
use crate::value::{Count, HeaderText, Name, Period, Rate};

/// The positions of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Requests are served.
    #[default]
    Normal,
    /// Requests are answered with 503, but for those of `maintenance.allow`.
    Maintenance,
    /// Requests are served under the limits and the paranoia level of `under_attack`, and browsers may have to show that
    /// they took some trouble.
    UnderAttack,
}

impl Mode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What `mode: maintenance` means.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// When clients may try again, as `Retry-After`. Default: 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Period<1_000, 604_800_000>>,
    /// What clients are shown. Left out: that the site is being worked on, in HTML or as a problem document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Whose requests are served all the same.
    #[serde(skip_serializing_if = "Spared::is_empty")]
    pub allow: Spared,
}

/// A page of the tenant's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Content type of the body. Default: text/html; charset=utf-8.
    #[serde(default = "html", skip_serializing_if = "is_html")]
    pub content_type: HeaderText,
    /// The body, up to 64 KiB.
    pub body: At<String>,
}

fn html() -> HeaderText {
    HeaderText::known("text/html; charset=utf-8")
}

fn is_html(content_type: &HeaderText) -> bool {
    *content_type == html()
}

/// What `mode: under_attack` means. It only ever adds to what holds otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnderAttack {
    /// Limits that hold beside all others. Left out: a client gets 10 requests a second, 50 at once after a quiet time,
    /// and may have 20 in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// By how many levels the paranoia level of every route is raised, up to 4. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raise_paranoia_level: Option<Count<0, 3>>,
    /// Whether routes whose firewall only detects refuse as well. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub block: bool,
    /// What browsers have to do before they are served. Left out: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// Who is served as usual.
    #[serde(skip_serializing_if = "Spared::is_empty")]
    pub allow: Spared,
}

/// A proof of work: a page whose script searches for a number, which the browser then shows with each request.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Challenge {
    /// Who has to. Default: browsers.
    #[serde(skip_serializing_if = "Challenged::is_default")]
    pub who: Challenged,
    /// How hard the search is, in bits: each more doubles it. Default: 18, about 260,000 attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<Count<8, 24>>,
    /// For how long a proof is good. Default: 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Period<60_000, 86_400_000>>,
}

/// Who has to bring a proof of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Challenged {
    /// Whoever asks for a page: GET and HEAD with an `Accept` that prefers HTML. What scripts and programs ask for is
    /// held to the limits alone.
    #[default]
    Browsers,
    /// Everybody. Programs that cannot are refused with 403; `allow` is for them.
    Everybody,
}

impl Challenged {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Requests that a mode is not for: any of what is named.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spared {
    /// Where they come from.
    #[serde(skip_serializing_if = "Origins::is_empty")]
    pub clients: Origins,
    /// What they ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathPattern>,
}

impl Spared {
    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Maintenance {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl UnderAttack {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The limits that hold beside all others.
    pub fn limits(&self) -> Limits {
        self.limits.clone().unwrap_or_else(|| Limits {
            rates: vec![RateRule {
                name: At::nowhere(Name::known("client")),
                key: vec![KeyPart::Client],
                methods: Vec::new(),
                path: None,
                rate: At::nowhere(Rate::per_second::<10>()),
                burst: Some(At::nowhere(Count::of::<50>())),
                cost: Count::of::<1>(),
                action: LimitAction::Reject,
                dry_run: false,
                headers: None,
            }],
            requests: Some(Concurrency { total: None, per_client: Some(AtOnce::of::<20>()) }),
            ..Limits::default()
        })
    }
}

impl Challenge {
    /// How many bits of the digest have to be zero.
    pub fn difficulty_bits(&self) -> u8 {
        self.difficulty.unwrap_or(Count::of::<18>()).get() as u8
    }

    /// For how long a proof is good.
    pub fn valid_for(&self) -> std::time::Duration {
        self.valid_for.unwrap_or(Period::of::<3_600_000>()).duration()
    }
}
