//! What firewall exclusions name: rule ids, tags and targets.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, checked_text, shown, text_value};

/// Longest tag or target, in bytes.
const MAX_TEXT: usize = 256;

/// An inclusive range of rule ids: `942100-942999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRange {
    first: u32,
    last: u32,
}

impl RuleRange {
    /// First and last id, both included.
    pub fn bounds(self) -> (u32, u32) {
        (self.first, self.last)
    }
}

impl FromStr for RuleRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = |text: &str| {
            text.parse::<u32>().ok().filter(|id| *id > 0 && text.bytes().all(|b| b.is_ascii_digit()))
        };
        match text.split_once('-').map(|(first, last)| (id(first), id(last))) {
            Some((Some(first), Some(last))) if first <= last => Ok(Self { first, last }),
            _ => Err(Invalid::new(
                format!("`{}` is not a range of rule ids", shown(text)),
                "write first and last id: `942100-942999`",
            )),
        }
    }
}

impl fmt::Display for RuleRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

checked_text! {
    /// A rule's tag, such as `attack-sqli`.
    RuleTag
}

checked_text! {
    /// What a rule looks at, such as `ARGS:q` or `REQUEST_COOKIES`.
    RuleTarget
}

impl FromStr for RuleTag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(format!("`{}` is not a tag", shown(text)), "write a tag such as `attack-sqli`"))
    }
}

impl FromStr for RuleTarget {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let collection = text.split(':').next().unwrap_or_default();
        let named = !collection.is_empty()
            && collection.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if named && text.len() <= MAX_TEXT && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            format!("`{}` is not a rule's target", shown(text)),
            "write a variable such as `ARGS:q` or `REQUEST_COOKIES`",
        ))
    }
}

text_value!(RuleRange, "a range of rule ids", {
    "type": "string",
    "pattern": "^[0-9]+-[0-9]+$",
    "description": "Inclusive range of rule ids.",
    "examples": ["942100-942999"]
});

text_value!(RuleTag, "a rule's tag", {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "description": "Tag of the rules that are meant.",
    "examples": ["attack-sqli"]
});

text_value!(RuleTarget, "a rule's target", {
    "type": "string",
    "maxLength": 256,
    "pattern": "^[A-Z0-9_]+(:.*)?$",
    "description": "The variable that is left out: a collection, or one element of it.",
    "examples": ["ARGS:q", "REQUEST_COOKIES"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_in_order() {
        assert_eq!("942100-942999".parse::<RuleRange>().unwrap().bounds(), (942_100, 942_999));
        for bad in ["", "1", "2-1", "0-1", "a-b", "1-2-3", "+1-2"] {
            assert!(bad.parse::<RuleRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_begin_with_a_variable() {
        assert!("ARGS:a b".parse::<RuleTarget>().is_ok());
        for bad in ["", ":a", "args:q", "ARGS:\n"] {
            assert!(bad.parse::<RuleTarget>().is_err(), "{bad}");
        }
    }
}
