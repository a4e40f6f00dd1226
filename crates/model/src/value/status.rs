//! Sets of HTTP status codes: `[200, 204, 300-399]`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Invalid, shown, text_value};

/// One status code or an inclusive range of them, within 100-599 (RFC 9110 section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// First and last code, both included.
    pub fn bounds(self) -> (u16, u16) {
        (self.first, self.last)
    }
}

impl FromStr for StatusRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(Invalid::new(
                format!("`{}` is not a status code or range", shown(text)),
                "write a code from 100 to 599 such as `204`, or a range such as `200-299`",
            )),
        }
    }
}

fn code(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|code| digits && (100..=599).contains(code))
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

text_value!(StatusRange, "a status code such as 204, or a range such as `300-399`", {
    "type": ["string", "integer"],
    "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$",
    "minimum": 100,
    "maximum": 599,
    "description": "A status code or an inclusive range of them.",
    "examples": [204, "300-399"]
});

/// A set of status codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StatusSet(#[schemars(length(min = 1))] Vec<StatusRange>);

impl StatusSet {
    /// The ranges of the set, as written.
    pub fn ranges(&self) -> &[StatusRange] {
        &self.0
    }
}

impl Default for StatusSet {
    /// 200-299.
    fn default() -> Self {
        Self(vec![StatusRange { first: 200, last: 299 }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_codes_and_ranges() {
        for good in ["200", "300-399", "100-599"] {
            assert_eq!(good.parse::<StatusRange>().unwrap().to_string(), good);
        }
        for bad in ["", "99", "600", "300-200", "2xx", "200-", "-200", "200-299-300", "+20", "0200"] {
            assert!(bad.parse::<StatusRange>().is_err(), "{bad}");
        }
    }
}
