//! Lengths of time as text with a unit: `250ms`, `5s`, `10m`, `1h`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::unit::Units;
use super::{Invalid, shown, text_value};

/// A length of time from `MIN_MS` to `MAX_MS` milliseconds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period<const MIN_MS: u64, const MAX_MS: u64>(u64);

/// Units from the largest, so that printing picks the shortest form.
const UNITS: Units = Units(&[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]);

impl<const MIN_MS: u64, const MAX_MS: u64> Period<MIN_MS, MAX_MS> {
    /// A length known when this is compiled; out of bounds it does not compile.
    pub const fn of<const MS: u64>() -> Self {
        const { assert!(MS >= MIN_MS && MS <= MAX_MS, "out of bounds") };
        Self(MS)
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> FromStr for Period<MIN_MS, MAX_MS> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ms = UNITS.parse(text);
        let hint = format!(
            "write a whole number with its unit (ms, s, m, h or d), {} to {}",
            Self(MIN_MS),
            Self(MAX_MS)
        );
        match ms {
            Some(ms) if (MIN_MS..=MAX_MS).contains(&ms) => Ok(Self(ms)),
            Some(_) => Err(Invalid::new(format!("`{}` is out of range", shown(text)), hint)),
            None => Err(Invalid::new(format!("`{}` is not a length of time", shown(text)), hint)),
        }
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> fmt::Display for Period<MIN_MS, MAX_MS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UNITS.print(self.0, f)
    }
}

text_value!(Period<MIN_MS, MAX_MS>, "a length of time such as `5s`", {
    "type": "string",
    "pattern": "^[0-9]+(ms|s|m|h|d)$",
    // A field's own description takes the place of this one; the title stays.
    "title": format!("{} to {}", Self(MIN_MS), Self(MAX_MS)),
    "description": "Length of time with its unit (ms, s, m, h, d).",
    "examples": ["250ms", "5s"]
});

#[cfg(test)]
mod tests {
    use super::*;

    type UpToADay = Period<10, 86_400_000>;

    #[test]
    fn reads_units_and_prints_the_shortest_form() {
        for (text, ms, printed) in [
            ("250ms", 250, "250ms"),
            ("5s", 5000, "5s"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("24h", 86_400_000, "1d"),
        ] {
            let period: UpToADay = text.parse().unwrap();
            assert_eq!(period.duration(), Duration::from_millis(ms));
            assert_eq!(period.to_string(), printed);
            assert_eq!(printed.parse::<UpToADay>().unwrap(), period);
        }
    }

    #[test]
    fn refuses_bare_numbers_and_what_is_out_of_bounds() {
        for bad in [
            "5",
            "s",
            "",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "2d",
            "9ms",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            let error = bad.parse::<UpToADay>().unwrap_err();
            assert!(error.hint.ends_with("10ms to 1d"), "{bad}: {error}");
        }
    }
}
