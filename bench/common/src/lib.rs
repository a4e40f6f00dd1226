//! What every measurement shares: what machine it ran on, medians, and ratios of rounds that alternated.

mod machine;

pub use machine::{facts, version};

/// The median; NaN where there is no value.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

/// `above` over `below`, one value of each per round: the median of the rounds' ratios. Rounds alternate, so the two
/// halves of a ratio were measured within seconds of each other, and a machine that grows slower in between moves both.
pub fn ratio(above: &[f64], below: &[f64]) -> f64 {
    let rounds: Vec<f64> = above.iter().zip(below).map(|(above, below)| above / below).collect();
    median(&rounds)
}

/// How much `above` is over `below`, one value of each per round: the median of the rounds' differences.
pub fn more(above: &[f64], below: &[f64]) -> f64 {
    let rounds: Vec<f64> = above.iter().zip(below).map(|(above, below)| above - below).collect();
    median(&rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert!((median(&[3.0, 1.0, 900.0, 2.0, 0.5]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn what_is_more_is_compared_round_by_round() {
        assert!((more(&[2.5, 20.5, 3.5], &[2.0, 20.0, 1.0]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_slower_round_moves_both_halves_of_its_ratio() {
        assert!((ratio(&[2.0, 20.0, 2.0], &[1.0, 10.0, 1.0]) - 2.0).abs() < 1e-9);
    }
}
