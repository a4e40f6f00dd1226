//! `@detectXSS`: libinjection takes the input for cross-site scripting; the whole input is captured.
//!
//! Example: it matches `<script>`.

use super::detector::{Detector, guarded};
use super::{Captures, OperatorFailure};

pub(super) fn matches(
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

#[cfg(test)]
mod tests {
    use super::super::detector::{Libinjection, Panics};
    use super::*;

    #[test]
    fn the_input_is_captured() {
        let mut captures = Captures::new();
        let input = b"<a href=\"javascript:alert(1)\">";
        assert_eq!(matches(&Libinjection, input, &mut captures), Ok(true));
        assert_eq!(captures.get(0, input), Some(&input[..]));
        assert_eq!(matches(&Libinjection, b"harmless", &mut Captures::new()), Ok(false));
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert!(matches!(
            matches(&Panics, b"x", &mut Captures::new()),
            Err(OperatorFailure::Panicked { .. })
        ));
    }
}
