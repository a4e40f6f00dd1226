//! Whole numbers with a unit behind them, as text: what lengths of time and sizes have in common.

use std::fmt;

/// Names of units and what each counts, from the largest to the one that counts 1.
pub(super) struct Units(pub(super) &'static [(&'static str, u64)]);

impl Units {
    /// The number that `text` stands for; `None` without a known unit, or out of `u64`.
    pub(super) fn parse(&self, text: &str) -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, scale) = self.0.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*scale)
    }

    /// Writes `number` in the largest unit that divides it: the shortest form.
    pub(super) fn print(&self, number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |scale: u64| number >= scale && number.is_multiple_of(scale);
        let (unit, scale) =
            self.0.iter().find(|(_, scale)| fits(*scale)).or(self.0.last()).unwrap_or(&("", 1));
        write!(f, "{}{unit}", number / scale)
    }
}
