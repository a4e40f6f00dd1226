//! `@detectSQLi` and `@detectXSS`: libinjection's tokenisers.
//!
//! The detectors are behind a trait and guarded: a panic in one is a failure of the operator, not of the process.
//! An SQL injection's fingerprint is captured, of XSS the whole input. Examples: `@detectSQLi` matches
//! `1' OR 1=1--` with `TX:0` `s&1c`; `@detectXSS` matches `<script>`.

use super::{Captures, OperatorFailure};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Looks for injections in one value.
pub(super) trait Detector {
    /// The fingerprint of the SQL injection that the input is.
    fn sql_injection(&self, input: &[u8]) -> Option<Vec<u8>>;
    /// Whether the input is cross-site scripting.
    fn cross_site_scripting(&self, input: &[u8]) -> bool;
}

/// The Rust port of libinjection.
pub(super) struct Libinjection;

impl Detector for Libinjection {
    fn sql_injection(&self, input: &[u8]) -> Option<Vec<u8>> {
        let result = libinjectionrs::detect_sqli(input);
        let fingerprint =
            || result.fingerprint.as_ref().map_or_else(Vec::new, |print| print.as_bytes().to_vec());
        result.is_injection().then(fingerprint)
    }

    fn cross_site_scripting(&self, input: &[u8]) -> bool {
        libinjectionrs::detect_xss(input).is_injection()
    }
}

pub(super) fn sqli(
    detector: &dyn Detector,
    input: &[u8],
    captures: &mut Captures,
) -> Result<bool, OperatorFailure> {
    let fingerprint = guarded("SQL injection", || detector.sql_injection(input))?;
    if let Some(fingerprint) = &fingerprint {
        let length = fingerprint.iter().position(|&byte| byte == 0).unwrap_or(fingerprint.len());
        captures.set_text(&fingerprint[..length]);
    }
    Ok(fingerprint.is_some())
}

pub(super) fn xss(
    detector: &dyn Detector,
    input: &[u8],
    captures: &mut Captures,
) -> Result<bool, OperatorFailure> {
    let found = guarded("cross-site scripting", || detector.cross_site_scripting(input))?;
    if found {
        captures.set(0, 0..input.len());
    }
    Ok(found)
}

fn guarded<T>(detector: &'static str, detect: impl FnOnce() -> T) -> Result<T, OperatorFailure> {
    // The detectors keep no state between calls, so nothing half-changed survives the unwinding.
    catch_unwind(AssertUnwindSafe(detect)).map_err(|_| OperatorFailure::Panicked { detector })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sql_injection_captures_its_fingerprint() {
        let mut captures = Captures::new();
        assert_eq!(sqli(&Libinjection, b"1' OR 1=1--", &mut captures), Ok(true));
        assert_eq!(captures.get(0, b""), Some(&b"s&1c"[..]));
        for harmless in [&b""[..], b"this is not isqli", b"\0\xff"] {
            assert_eq!(sqli(&Libinjection, harmless, &mut Captures::new()), Ok(false));
        }
    }

    #[test]
    fn scripting_captures_the_input() {
        let mut captures = Captures::new();
        let input = b"<a href=\"javascript:alert(1)\">";
        assert_eq!(xss(&Libinjection, input, &mut captures), Ok(true));
        assert_eq!(captures.get(0, input), Some(&input[..]));
        assert_eq!(xss(&Libinjection, b"harmless", &mut Captures::new()), Ok(false));
    }

    #[test]
    fn a_panic_is_a_failure() {
        struct Panics;
        impl Detector for Panics {
            fn sql_injection(&self, _: &[u8]) -> Option<Vec<u8>> {
                panic!("a detector that panics, for the test");
            }
            fn cross_site_scripting(&self, _: &[u8]) -> bool {
                panic!("a detector that panics, for the test");
            }
        }
        let mut captures = Captures::new();
        assert!(matches!(sqli(&Panics, b"x", &mut captures), Err(OperatorFailure::Panicked { .. })));
        assert!(matches!(xss(&Panics, b"x", &mut captures), Err(OperatorFailure::Panicked { .. })));
    }
}
