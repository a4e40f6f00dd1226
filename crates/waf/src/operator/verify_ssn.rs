//! `@verifySSN`: US social security numbers, nine digits in ranges that are given out.
//!
//! Example: `@verifySSN \d{3}-?\d{2}-?\d{4}` matches `574-57-8065`.

pub(super) fn is_valid(digits: &[u32; 9]) -> bool {
    let value = |part: &[u32]| part.iter().fold(0, |value, digit| value * 10 + digit);
    let (area, group, serial) = (value(&digits[..3]), value(&digits[3..5]), value(&digits[5..]));
    let is_run = digits.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let is_repeated = digits.windows(2).all(|pair| pair[0] == pair[1]);
    !is_run && !is_repeated && area != 0 && group != 0 && serial != 0 && area < 740 && area != 666
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn areas_groups_and_serials_that_are_not_given_out() {
        assert!(is_valid(&[5, 7, 4, 5, 7, 8, 0, 6, 5]));
        for wrong in [
            [8, 0, 0, 5, 7, 8, 0, 6, 5],
            [6, 6, 6, 5, 7, 8, 0, 6, 5],
            [0, 0, 0, 5, 7, 8, 0, 6, 5],
            [5, 7, 4, 0, 0, 8, 0, 6, 5],
            [5, 7, 4, 5, 7, 0, 0, 0, 0],
            [1, 2, 3, 4, 5, 6, 7, 8, 9],
            [1; 9],
        ] {
            assert!(!is_valid(&wrong), "{wrong:?}");
        }
    }
}
