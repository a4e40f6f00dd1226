//! `@detectSQLi`: libinjection takes the input for an SQL injection; its fingerprint is captured.
//!
//! Example: it matches `1' OR 1=1--`, `TX:0` is `s&1c`.

use super::detector::{Detector, guarded};
use super::{Captures, OperatorFailure};

pub(super) fn matches(
    detector: &dyn Detector,
    input: &[u8],
    captures: &mut Captures,
) -> Result<bool, OperatorFailure> {
    let fingerprint = guarded("SQL injection", || detector.sql_injection(input))?;
    if let Some(fingerprint) = &fingerprint {
        captures.set_text(fingerprint.as_bytes());
    }
    Ok(fingerprint.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::detector::{Libinjection, Panics};
    use super::*;

    #[test]
    fn the_fingerprint_is_captured() {
        let mut captures = Captures::new();
        assert_eq!(matches(&Libinjection, b"1' OR 1=1--", &mut captures), Ok(true));
        assert_eq!(captures.get(0, b""), Some(&b"s&1c"[..]));
        for harmless in [&b""[..], b"this is not isqli", b"\0\xff"] {
            assert_eq!(matches(&Libinjection, harmless, &mut Captures::new()), Ok(false));
        }
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert!(matches!(
            matches(&Panics, b"'", &mut Captures::new()),
            Err(OperatorFailure::Panicked { .. })
        ));
    }
}
