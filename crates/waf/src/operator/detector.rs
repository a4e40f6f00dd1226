//! The detectors of injections, behind a trait and guarded: a panic in one is a failure of the operator that asked, not
//! of the process.

use super::OperatorFailure;
use crate::sqli::{self, Fingerprint};
use crate::transform::Transformation;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Looks for injections in one value.
pub(super) trait Detector {
    /// The fingerprint of the SQL injection that the input is.
    fn sql_injection(&self, input: &[u8]) -> Option<Fingerprint>;
    /// Whether the input is cross-site scripting.
    fn cross_site_scripting(&self, input: &[u8]) -> bool;
}

/// As libinjection does: SQL injections by an implementation of our own, cross-site scripting by the Rust port.
pub(super) struct Libinjection;

impl Detector for Libinjection {
    fn sql_injection(&self, input: &[u8]) -> Option<Fingerprint> {
        sqli::detect(input)
    }

    fn cross_site_scripting(&self, input: &[u8]) -> bool {
        let found = |input: &[u8]| libinjectionrs::detect_xss(input).is_injection();
        // The C original takes NUL for white space between attributes, the port does not.
        found(input) || (input.contains(&0) && found(&Transformation::ReplaceNulls.apply(input)))
    }
}

/// Calls a detector; `detector` names it in the failure.
pub(super) fn guarded<T>(detector: &'static str, detect: impl FnOnce() -> T) -> Result<T, OperatorFailure> {
    // The detectors keep no state between calls, so nothing half-changed survives the unwinding.
    catch_unwind(AssertUnwindSafe(detect)).map_err(|_| OperatorFailure::Panicked { detector })
}

/// A detector that panics, for the operators' tests.
#[cfg(test)]
pub(super) struct Panics;

#[cfg(test)]
impl Detector for Panics {
    fn sql_injection(&self, _: &[u8]) -> Option<Fingerprint> {
        panic!("a detector that panics, for the test");
    }

    fn cross_site_scripting(&self, _: &[u8]) -> bool {
        panic!("a detector that panics, for the test");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_white_space_to_html() {
        assert!(
            Libinjection.cross_site_scripting(b"1 onload=x")
                && Libinjection.cross_site_scripting(b"1\0onload=x")
        );
        assert!(!Libinjection.cross_site_scripting(b"1\0harmless=x"));
    }

    #[test]
    fn a_panic_is_a_failure() {
        let panics = || -> bool { panic!("a detector that panics, for the test") };
        assert_eq!(guarded("a", panics), Err(OperatorFailure::Panicked { detector: "a" }));
        assert_eq!(guarded("a", || 1), Ok(1));
    }
}
