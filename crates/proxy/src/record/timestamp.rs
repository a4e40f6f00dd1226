//! Points in time as RFC 3339 text in UTC with microseconds: `2026-11-24T03:42:41.123456Z`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::ascii;

/// A point in time, between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    unix_us: u64,
}

const LEN: usize = "2026-11-24T03:42:41.123456Z".len();
const LAST_UNIX_US: u64 = 253_402_300_799_999_999;

impl Timestamp {
    /// The time now, by the wall clock.
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_us(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX))
    }

    /// From microseconds since 1970; times after 9999 become its last microsecond.
    pub fn from_unix_us(unix_us: u64) -> Self {
        Self { unix_us: unix_us.min(LAST_UNIX_US) }
    }

    fn render(self) -> [u8; LEN] {
        let (seconds, micros) = (self.unix_us / 1_000_000, self.unix_us % 1_000_000);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (at, digits, value) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, second_of_day / 3_600),
            (14, 2, second_of_day / 60 % 60),
            (17, 2, second_of_day % 60),
            (20, 6, micros),
        ] {
            let mut rest = value;
            for digit in text[at..at + digits].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Timestamp {
    /// A precision cuts: `{:.10}` is the date.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ascii(&self.render()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(ascii(&self.render()))
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`, for days that are not negative).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_us: u64) -> String {
        ascii(&Timestamp::from_unix_us(unix_us).render()).to_owned()
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_827_696_000_001), "2000-02-29T12:34:56.000001Z");
        assert_eq!(text(1_709_251_199_999_999), "2024-02-29T23:59:59.999999Z");
        assert_eq!(text(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn days_follow_each_other_without_gap() {
        let mut previous = civil_from_days(0);
        for day in 1..80_000 {
            let next = civil_from_days(day);
            let is_next_day = next == (previous.0, previous.1, previous.2 + 1)
                || next == (previous.0, previous.1 + 1, 1)
                || next == (previous.0 + 1, 1, 1);
            assert!(is_next_day, "{previous:?} {next:?}");
            previous = next;
        }
    }
}
