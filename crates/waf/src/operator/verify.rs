//! `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`: numbers of cards and people.
//!
//! The argument is a regular expression for candidates; a candidate counts when its digits (all else in it is
//! ignored) pass the number's own check. The candidate is captured.

use super::rx::{Pattern, PatternLimits};
use super::{Captures, OperatorError, OperatorFailure, verify_cc, verify_cpf, verify_ssn, verify_svnr};
use crate::filter::Need;

/// Candidates examined in one value; further ones are a failure, so that a value cannot take quadratic time unseen.
const MAX_CANDIDATES: usize = 1_000;

/// Which kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// A payment card's.
    Card,
    /// A Brazilian taxpayer's (CPF).
    Cpf,
    /// A US social security number.
    Ssn,
    /// An Austrian social insurance number (SVNR).
    Svnr,
}

/// A kind of number and how to find candidates.
#[derive(Debug)]
pub(super) struct Verifier {
    number: Number,
    pattern: Pattern,
}

impl Verifier {
    pub(super) fn compile(
        number: Number,
        argument: &str,
        limits: PatternLimits,
    ) -> Result<Self, OperatorError> {
        let pattern = Pattern::compile_within(argument.as_bytes(), limits)
            .map_err(|message| OperatorError::Argument { operator: number.operator(), message })?;
        Ok(Self { number, pattern })
    }

    /// What an input must hold: a candidate.
    pub(super) fn need(&self) -> Need {
        self.pattern.need()
    }

    pub(super) fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, OperatorFailure> {
        let mut from = 0;
        for _ in 0..MAX_CANDIDATES {
            let mut found = Captures::new();
            let Some(candidate) = self.pattern.find_at(input, from, 0, &mut found)? else { return Ok(false) };
            if self.number.is_valid(&input[candidate.clone()]) {
                captures.set(0, candidate);
                return Ok(true);
            }
            from = candidate.start + 1;
            if from >= input.len() {
                return Ok(false);
            }
        }
        Err(OperatorFailure::StepLimit)
    }
}

impl Number {
    fn operator(self) -> &'static str {
        match self {
            Self::Card => "verifyCC",
            Self::Cpf => "verifyCPF",
            Self::Ssn => "verifySSN",
            Self::Svnr => "verifySVNR",
        }
    }

    fn is_valid(self, candidate: &[u8]) -> bool {
        let digits = candidate.iter().filter(|byte| byte.is_ascii_digit());
        let digits: Vec<u32> = digits.map(|byte| u32::from(byte - b'0')).collect();
        match self {
            Self::Card => verify_cc::is_valid(&digits),
            Self::Cpf => digits.first_chunk().is_some_and(verify_cpf::is_valid),
            Self::Ssn => digits[..].try_into().is_ok_and(verify_ssn::is_valid),
            Self::Svnr => digits.first_chunk().is_some_and(verify_svnr::is_valid),
        }
    }
}

/// `1111...`, `0123...` and `1234...90`: well-formed by their checks, given to nobody.
pub(super) fn is_one_digit_or_a_run(digits: &[u32]) -> bool {
    let step = |by: u32| digits.windows(2).all(|pair| (pair[0] + by) % 10 == pair[1]);
    step(0) || (step(1) && digits[0] < 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(number: Number, pattern: &str, input: &str) -> Option<String> {
        let mut captures = Captures::new();
        let matched = Verifier::compile(number, pattern, PatternLimits::default())
            .unwrap()
            .matches(input.as_bytes(), &mut captures)
            .unwrap();
        matched.then(|| String::from_utf8(captures.get(0, input.as_bytes()).unwrap().to_vec()).unwrap())
    }

    #[test]
    fn cards_pass_luhn() {
        let pattern = r"\d{4}-?\d{4}-?\d{4}-?\d{4}";
        assert_eq!(
            captured(Number::Card, pattern, "no 4111-1111-1111-1111").as_deref(),
            Some("4111-1111-1111-1111")
        );
        assert_eq!(captured(Number::Card, pattern, "4111111111111112"), None);
        assert_eq!(
            captured(Number::Card, r"\d{16}", "94111111111111111").as_deref(),
            Some("4111111111111111")
        );
        assert_eq!(captured(Number::Card, "x*", "x"), None);
    }

    #[test]
    fn each_kind_of_number_has_its_check() {
        let any = "[0-9 .-]+";
        for (number, right, wrong) in [
            (Number::Cpf, "010.817.514-60", "010.817.514-61"),
            (Number::Ssn, "574-57-8065", "574-57-806"),
            (Number::Svnr, "1237 010180", "1238 010180"),
        ] {
            assert_eq!(
                captured(number, any, &format!("no: {right}.")).as_deref(),
                Some(&*format!(" {right}."))
            );
            assert_eq!(captured(number, any, wrong), None);
        }
    }

    #[test]
    fn too_many_candidates_is_a_failure() {
        let verifier = Verifier::compile(Number::Cpf, r"\d{2}", PatternLimits::default()).unwrap();
        let input = b"1".repeat(MAX_CANDIDATES + 10);
        assert_eq!(verifier.matches(&input, &mut Captures::new()), Err(OperatorFailure::StepLimit));
    }

    #[test]
    fn a_pattern_that_is_none_does_not_compile() {
        let error = Verifier::compile(Number::Svnr, "(", PatternLimits::default()).unwrap_err();
        assert!(error.to_string().starts_with("@verifySVNR: "), "{error}");
    }
}
