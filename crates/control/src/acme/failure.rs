//! Why a certificate was not obtained, and whose fault it is: that decides who is asked next, and when.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use instant_acme::{Error, Problem};

use super::dns::DnsError;
use super::http::Http;
use super::ledger::Refused;
use super::store::Unreadable;

/// Why a certificate was not obtained.
#[derive(Debug)]
pub(super) enum Failure {
    /// The authority does not work, for anybody; another one may.
    Authority {
        why: String,
        /// It asked for patience until then, in seconds since 1970.
        until_unix_s: Option<u64>,
    },
    /// The authority works but has given enough to this account or domain; another one may still.
    RateLimited {
        why: String,
        /// As above.
        until_unix_s: Option<u64>,
    },
    /// The authority does not know the account any more.
    AccountGone(String),
    /// The domain was not proved, or no authority may certify it.
    Domain(String),
    /// The order goes on at the authority; it is looked at again later.
    Unfinished(String),
    /// The configured number of orders is reached.
    Limit {
        own: bool,
        /// From then on there is room, in seconds since 1970.
        until_unix_s: u64,
    },
    /// This side's own: its disk, its settings, its name servers. An order that was placed is gone on with.
    Local(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority { why, .. } => write!(f, "the authority does not work: {why}"),
            Self::RateLimited { why, .. } => write!(f, "the authority's limit is reached: {why}"),
            Self::AccountGone(why) => write!(f, "the authority does not know the account: {why}"),
            Self::Domain(why) => write!(f, "the domain was not certified: {why}"),
            Self::Unfinished(why) => write!(f, "the order is not finished: {why}"),
            Self::Limit { own: true, .. } => f.write_str("`orders_per_domain_and_hour` is reached"),
            Self::Limit { own: false, .. } => f.write_str("`orders_per_hour` is reached"),
            Self::Local(why) => f.write_str(why),
        }
    }
}

impl Failure {
    /// What an error of a call to an authority means.
    pub(super) fn of_call(error: Error, http: &Http) -> Self {
        let until_unix_s = http.asked_to_wait().map(unix_s);
        match error {
            Error::Api(problem) => Self::of_problem(&problem, until_unix_s),
            Error::Timeout(_) => Self::Unfinished("the authority has not decided in time".to_owned()),
            Error::Other(error) => Self::Authority { why: with_causes(&*error), until_unix_s },
            error => Self::Authority { why: error.to_string(), until_unix_s },
        }
    }

    fn of_problem(problem: &Problem, until_unix_s: Option<u64>) -> Self {
        let why = shown(&problem.to_string());
        let kind =
            problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:"));
        let broken = problem.status.is_some_and(|status| status >= 500);
        match kind.unwrap_or_default() {
            "rateLimited" => Self::RateLimited { why, until_unix_s },
            "accountDoesNotExist" => Self::AccountGone(why),
            // Of its own making or not: such a call has done nothing, and the next may do.
            "badNonce" => Self::Unfinished(why),
            "serverInternal" | "externalAccountRequired" | "userActionRequired" => {
                Self::Authority { why, until_unix_s }
            }
            _ if broken => Self::Authority { why, until_unix_s },
            _ => Self::Domain(why),
        }
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        Self::Local(unreadable.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit { own, until_unix_s } => Self::Limit { own, until_unix_s },
            Refused::File(error) => Self::Local(format!("the order cannot be written down: {error}")),
        }
    }
}

impl From<DnsError> for Failure {
    fn from(error: DnsError) -> Self {
        Self::Local(format!("the DNS record was not written: {error}"))
    }
}

/// Longest text of an authority that is repeated, in characters.
const SHOWN_CHARS: usize = 500;

/// An authority's text, cut, without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS).collect()
}

/// An error with what caused it.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    shown(&text)
}

/// Whole seconds since 1970.
pub(super) fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, status: u16) -> Failure {
        let problem = Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some("why\n".to_owned()),
            status: Some(status),
            subproblems: Vec::new(),
        };
        Failure::of_problem(&problem, Some(7))
    }

    #[test]
    fn what_an_authority_says_tells_whose_fault_it_is() {
        assert!(matches!(of("rateLimited", 429), Failure::RateLimited { until_unix_s: Some(7), .. }));
        assert!(matches!(of("serverInternal", 500), Failure::Authority { .. }));
        assert!(matches!(of("other", 503), Failure::Authority { .. }));
        assert!(matches!(of("accountDoesNotExist", 400), Failure::AccountGone(_)));
        assert!(matches!(of("rejectedIdentifier", 400), Failure::Domain(why) if !why.contains('\n')));
    }
}
