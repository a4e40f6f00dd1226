//! `@verifySVNR`: Austrian social insurance numbers, ten digits of which the fourth is a check.
//!
//! Example: `@verifySVNR \d{4} ?\d{6}` matches `1237 010180`.

use super::verify::is_one_digit_or_a_run;

pub(super) fn is_valid(digits: &[u32; 10]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum = WEIGHTS.iter().zip(digits).map(|(weight, digit)| weight * digit).sum::<u32>() % 11;
    !is_one_digit_or_a_run(digits) && digits[3] == sum % 10
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn the_check_must_hold() {
        assert!(is_valid(&[1, 2, 3, 7, 0, 1, 0, 1, 8, 0]));
        assert!(!is_valid(&[1, 2, 3, 8, 0, 1, 0, 1, 8, 0]));
        assert!(!is_valid(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0]));
    }
}
