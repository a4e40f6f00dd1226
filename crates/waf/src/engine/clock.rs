//! Date and time of a transaction, UTC.

const SECONDS_OF_DAY: u64 = 86_400;

/// A moment in the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: u64,
    /// 1-12.
    pub(super) month: u64,
    /// 1-31.
    pub(super) day: u64,
    pub(super) hour: u64,
    pub(super) minute: u64,
    pub(super) second: u64,
    /// 0 is Sunday.
    pub(super) weekday: u64,
}

impl Moment {
    /// The moment `unix_us` microseconds after the start of 1970.
    ///
    /// Counts in years that begin in March and eras of 400 years (H. Hinnant, "chrono-Compatible Low-Level Date
    /// Algorithms", `civil_from_days`).
    pub(super) fn at(unix_us: u64) -> Self {
        let seconds = unix_us / 1_000_000;
        let (days, second_of_day) = (seconds / SECONDS_OF_DAY, seconds % SECONDS_OF_DAY);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            weekday: (days + 4) % 7,
        }
    }

    /// `HH:MM:SS`.
    pub(super) fn time_of_day(self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let show = |seconds: u64| {
            let moment = Moment::at(seconds * 1_000_000);
            (moment.year, moment.month, moment.day, moment.time_of_day(), moment.weekday)
        };
        assert_eq!(show(0), (1970, 1, 1, "00:00:00".to_owned(), 4));
        assert_eq!(show(951_827_696), (2000, 2, 29, "12:34:56".to_owned(), 2));
        assert_eq!(show(1_767_225_599), (2025, 12, 31, "23:59:59".to_owned(), 3));
    }
}
