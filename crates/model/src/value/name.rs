//! Names that people give to things: short, printable, safe in ids, file names, labels and log lines.

use std::str::FromStr;

use super::{Invalid, checked_text, default_text, shown, text_value};

/// Longest name, in bytes.
const MAX_NAME: usize = 63;

checked_text! {
    /// The name of a pool, a route or a certificate: unique within its tenant.
    Name
}

checked_text! {
    /// The name of a tenant: unique and stable, part of ids, metrics and log entries.
    TenantId
}

checked_text! {
    /// The version of an installed rule set, such as `4.28.0`: also the name of its folder.
    Version
}

fn check(text: &str) -> Result<Box<str>, Invalid> {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.bytes();
    let inner = bytes.clone().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if text.len() <= MAX_NAME && inner && edge(bytes.clone().next()) && edge(bytes.clone().next_back()) {
        return Ok(text.into());
    }
    let hint = "names are 1-63 of a-z, 0-9, `-`, `_` and `.`, with a letter or digit first and last";
    Err(Invalid::new(format!("`{}` is not a name", shown(text)), hint))
}

macro_rules! name {
    ($ty:ident, $description:literal, $example:literal) => {
        impl FromStr for $ty {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                check(text).map(Self)
            }
        }

        text_value!($ty, "a name", {
            "type": "string",
            "maxLength": 63,
            "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
            "description": $description,
            "examples": [$example]
        });
    };
}

name!(Name, "Name, unique within its tenant.", "web");
name!(TenantId, "The tenant's name: unique and stable.", "acme");
name!(Version, "Version of an installed rule set.", "4.28.0");

default_text!(Name);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_a_folder_or_an_id() {
        for good in ["a", "web-1", "4.28.0", "a_b"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "../a", "a/b", "A", "a b", "-a", "a-", "é"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!("a".repeat(64).parse::<TenantId>().is_err());
    }
}
