//! `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`: numbers of cards and people.
//!
//! The argument is a regular expression for candidates; a candidate counts when its digits (all else in it is
//! ignored) pass the number's own check. The candidate is captured.

use super::rx::Pattern;
use super::{Captures, OperatorError, OperatorFailure};

/// Candidates examined in one value; further ones are a failure, so that a value cannot take quadratic time unseen.
const MAX_CANDIDATES: usize = 10_000;

/// Which kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// A payment card: Luhn's check (ISO/IEC 7812-1). Example: `@verifyCC \d{13,16}` matches `4111111111111111`.
    Card,
    /// A Brazilian taxpayer (CPF): eleven digits, two of them checks. Example: `010.817.514-60`.
    Cpf,
    /// A US social security number: nine digits in ranges that are given out. Example: `574-57-8065`.
    Ssn,
    /// An Austrian insurance number (SVNR): ten digits, the fourth a check. Example: `1237 010180`.
    Svnr,
}

/// A kind of number and how to find candidates.
#[derive(Debug)]
pub(super) struct Verifier {
    number: Number,
    pattern: Pattern,
}

impl Verifier {
    pub(super) fn compile(number: Number, argument: &str) -> Result<Self, OperatorError> {
        let pattern = Pattern::compile(argument.as_bytes())
            .map_err(|message| OperatorError::Argument { operator: number.operator(), message })?;
        Ok(Self { number, pattern })
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
        let digits =
            || candidate.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
        let digits: Vec<u32> = digits().collect();
        match self {
            Self::Card => is_card(&digits),
            Self::Cpf => digits.first_chunk().is_some_and(is_cpf),
            Self::Ssn => digits[..].try_into().is_ok_and(is_ssn),
            Self::Svnr => digits.first_chunk().is_some_and(is_svnr),
        }
    }
}

fn is_card(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 1 { doubled(digit) } else { digit })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

fn is_cpf(digits: &[u32; 11]) -> bool {
    let check = |length: usize| {
        let weights = (2..=length as u32 + 1).rev();
        let remainder = weights.zip(digits).map(|(weight, digit)| weight * digit).sum::<u32>() % 11;
        if remainder < 2 { 0 } else { 11 - remainder }
    };
    !is_one_digit_or_a_run(digits) && digits[9] == check(9) && digits[10] == check(10)
}

fn is_ssn(digits: &[u32; 9]) -> bool {
    let value = |part: &[u32]| part.iter().fold(0, |value, digit| value * 10 + digit);
    let (area, group, serial) = (value(&digits[..3]), value(&digits[3..5]), value(&digits[5..]));
    let is_run = digits.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let is_repeated = digits.windows(2).all(|pair| pair[0] == pair[1]);
    !is_run && !is_repeated && area != 0 && group != 0 && serial != 0 && area < 740 && area != 666
}

fn is_svnr(digits: &[u32; 10]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum = WEIGHTS.iter().zip(digits).map(|(weight, digit)| weight * digit).sum::<u32>() % 11;
    !is_one_digit_or_a_run(digits) && digits[3] == sum % 10
}

/// `1111...`, `0123...` and `1234...90`: well-formed by their checks, given to nobody.
fn is_one_digit_or_a_run(digits: &[u32]) -> bool {
    let step = |by: u32| digits.windows(2).all(|pair| (pair[0] + by) % 10 == pair[1]);
    step(0) || (step(1) && digits[0] < 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(number: Number, pattern: &str, input: &str) -> Option<String> {
        let mut captures = Captures::new();
        let matched =
            Verifier::compile(number, pattern).unwrap().matches(input.as_bytes(), &mut captures).unwrap();
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
    fn people_of_three_countries() {
        let cpf = r"(?:[0-9]{3}\.){2}[0-9]{3}-[0-9]{2}";
        assert!(captured(Number::Cpf, cpf, "cpf 010.817.514-60.").is_some());
        assert!(captured(Number::Cpf, cpf, "010.817.514-61").is_none());
        assert!(captured(Number::Cpf, cpf, "111.111.111-11").is_none());
        let ssn = r"\d{3}-?\d{2}-?\d{4}";
        assert!(captured(Number::Ssn, ssn, "574-57-8065").is_some());
        for wrong in ["800-57-8065", "666-57-8065", "574-00-8065", "123456789", "111-11-1111", "574-57-806"] {
            assert!(captured(Number::Ssn, ssn, wrong).is_none(), "{wrong}");
        }
        let svnr = "[0-9]{4} ?[0-9]{6}";
        assert!(captured(Number::Svnr, svnr, "1237 010180").is_some());
        assert!(captured(Number::Svnr, svnr, "1238 010180").is_none());
    }

    #[test]
    fn too_many_candidates_is_a_failure() {
        let verifier = Verifier::compile(Number::Cpf, r"\d{2}").unwrap();
        let input = b"1".repeat(MAX_CANDIDATES + 10);
        assert_eq!(verifier.matches(&input, &mut Captures::new()), Err(OperatorFailure::StepLimit));
    }

    #[test]
    fn a_pattern_that_is_none_does_not_compile() {
        let error = Verifier::compile(Number::Svnr, "(").unwrap_err();
        assert!(error.to_string().starts_with("@verifySVNR: "), "{error}");
    }
}
