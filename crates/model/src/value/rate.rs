//! Rates as text: how many in how long, `1000/s`, `60/m`, `500/h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, shown, text_value};

/// So many per second, minute or hour; 1 to 1,000,000 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// Highest count in a rate: one every microsecond, which a clock of nanoseconds still spaces exactly enough.
const MAX_COUNT: u32 = 1_000_000;

impl Rate {
    /// So many a second, known when this is compiled; out of bounds it does not compile.
    pub const fn per_second<const N: u32>() -> Self {
        const { assert!(N >= 1 && N <= MAX_COUNT, "out of bounds") };
        Self { count: N, per: Per::Second }
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// In how long.
    pub fn period(self) -> Duration {
        Duration::from_secs(match self.per {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3_600,
        })
    }
}

impl FromStr for Rate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts = text.split_once('/').and_then(|(count, unit)| {
            let per = match unit {
                "s" => Per::Second,
                "m" => Per::Minute,
                "h" => Per::Hour,
                _ => return None,
            };
            let is_number = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
            // What does not fit is out of range, not malformed.
            is_number.then(|| (count.parse().unwrap_or(u32::MAX), per))
        });
        let hint = format!("write a whole number and `/s`, `/m` or `/h`, such as `100/s`; 1 to {MAX_COUNT}");
        match parts {
            Some((count, per)) if (1..=MAX_COUNT).contains(&count) => Ok(Self { count, per }),
            Some(_) => Err(Invalid::new(format!("`{}` is out of range", shown(text)), hint)),
            None => Err(Invalid::new(format!("`{}` is not a rate", shown(text)), hint)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

text_value!(Rate, "a rate such as `100/s`", {
    "type": "string",
    "pattern": "^[0-9]+/[smh]$",
    "description": "How many per second (s), minute (m) or hour (h).",
    "examples": ["1000/s", "60/m"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_count_and_a_unit() {
        for (text, count, seconds) in [("1/s", 1, 1), ("60/m", 60, 60), ("1000000/h", 1_000_000, 3_600)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.count(), rate.period()), (count, Duration::from_secs(seconds)));
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_rate_or_out_of_bounds() {
        for bad in ["", "5", "/s", "5/", "5/d", "5 /s", "+5/s", "-5/s", "1.5/s", "5/s/s", "5/S"] {
            assert!(bad.parse::<Rate>().unwrap_err().message.ends_with("is not a rate"), "{bad}");
        }
        for bad in ["0/s", "1000001/s", "99999999999999999999/h"] {
            assert!(bad.parse::<Rate>().unwrap_err().message.ends_with("is out of range"), "{bad}");
        }
    }
}
