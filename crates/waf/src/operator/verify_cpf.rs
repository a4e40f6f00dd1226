//! `@verifyCPF`: Brazilian taxpayers' numbers, eleven digits of which two are checks.
//!
//! Example: `@verifyCPF (?:\d{3}\.){2}\d{3}-\d{2}` matches `010.817.514-60`.

use super::verify::is_one_digit_or_a_run;

pub(super) fn is_valid(digits: &[u32; 11]) -> bool {
    let check = |length: usize| {
        let weights = (2..=length as u32 + 1).rev();
        let remainder = weights.zip(digits).map(|(weight, digit)| weight * digit).sum::<u32>() % 11;
        if remainder < 2 { 0 } else { 11 - remainder }
    };
    !is_one_digit_or_a_run(digits) && digits[9] == check(9) && digits[10] == check(10)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn both_checks_must_hold() {
        assert!(is_valid(&[0, 1, 0, 8, 1, 7, 5, 1, 4, 6, 0]));
        assert!(!is_valid(&[0, 1, 0, 8, 1, 7, 5, 1, 4, 6, 1]));
        assert!(!is_valid(&[0, 1, 0, 8, 1, 7, 5, 1, 4, 5, 0]));
        assert!(!is_valid(&[1; 11]));
    }
}
