//! Sizes in bytes as text with a binary unit: `512B`, `128KiB`, `10MiB`, `1GiB`; a bare number counts bytes.

use std::fmt;
use std::str::FromStr;

use super::unit::Units;
use super::{Invalid, shown, text_value};

/// A size from `MIN` to `MAX` bytes, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize<const MIN: u64, const MAX: u64>(u64);

/// Units from the largest, so that printing picks the shortest form. Decimal units are left out on purpose: a
/// `K` that may be 1000 or 1024 is a limit nobody knows.
const UNITS: Units =
    Units(&[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]);

impl<const MIN: u64, const MAX: u64> ByteSize<MIN, MAX> {
    /// A size known when this is compiled; out of bounds it does not compile.
    pub const fn of<const BYTES: u64>() -> Self {
        const { assert!(BYTES >= MIN && BYTES <= MAX, "out of bounds") };
        Self(BYTES)
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The size in bytes, for bounds that fit.
    pub fn bytes_u32(self) -> u32 {
        const { assert!(MAX <= u32::MAX as u64, "does not fit") };
        self.0 as u32
    }

    /// The size in bytes, for bounds that fit any platform's `usize`.
    pub fn bytes_usize(self) -> usize {
        const { assert!(MAX <= u32::MAX as u64, "does not fit") };
        self.0 as usize
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for ByteSize<MIN, MAX> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes =
            if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { UNITS.parse(text) };
        let hint = format!(
            "write a whole number with its unit (B, KiB, MiB, GiB, TiB), {} to {}",
            Self(MIN),
            Self(MAX)
        );
        match bytes {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
            Some(_) => Err(Invalid::new(format!("`{}` is out of range", shown(text)), hint)),
            None => Err(Invalid::new(format!("`{}` is not a size", shown(text)), hint)),
        }
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for ByteSize<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UNITS.print(self.0, f)
    }
}

text_value!(ByteSize<MIN, MAX>, "a size such as `128KiB`", {
    "type": ["string", "integer"],
    "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$",
    // A field's own description takes the place of this one; the title stays.
    "title": format!("{} to {}", Self(MIN), Self(MAX)),
    "description": "Size with its unit (B, KiB, MiB, GiB, TiB).",
    "examples": ["128KiB", "10MiB"]
});

#[cfg(test)]
mod tests {
    use super::*;

    type Size = ByteSize<1, { 1 << 40 }>;

    #[test]
    fn reads_units_and_prints_the_shortest_form() {
        for (text, bytes, printed) in [
            ("128KiB", 131_072, "128KiB"),
            ("1024", 1024, "1KiB"),
            ("1025B", 1025, "1025B"),
            ("1TiB", 1 << 40, "1TiB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, printed));
            assert_eq!(printed.parse::<Size>().unwrap(), size);
        }
    }

    #[test]
    fn refuses_other_units_and_what_is_out_of_bounds() {
        for bad in ["", "KiB", "1KB", "1kib", "1.5MiB", "-1", "0", "2TiB", "99999999999999999999"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
