//! Whole numbers with bounds in their type.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::Invalid;

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// The number when it is within the bounds.
    pub fn new(number: u64) -> Result<Self, Invalid> {
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(Invalid::new(format!("{number} is out of range"), format!("the number must be {MIN} to {MAX}")))
    }

    /// A number known when this is compiled; out of bounds it does not compile.
    pub const fn of<const N: u64>() -> Self {
        const { assert!(N >= MIN && N <= MAX, "out of bounds") };
        Self(N)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number, for bounds that fit.
    pub fn get_u32(self) -> u32 {
        const { assert!(MAX <= u32::MAX as u64, "does not fit") };
        self.0 as u32
    }

    /// The number, for bounds that fit.
    pub fn get_u16(self) -> u16 {
        const { assert!(MAX <= u16::MAX as u64, "does not fit") };
        self.0 as u16
    }

    /// The number, for bounds that fit any platform's `usize`.
    pub fn get_usize(self) -> usize {
        const { assert!(MAX <= u32::MAX as u64, "does not fit") };
        self.0 as usize
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
