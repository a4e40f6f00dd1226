//! Value types: each is parsed once, where it enters, and cannot be wrong afterwards.
//!
//! Every type reads from and prints as one YAML scalar, and carries its JSON Schema.

mod address;
mod cidr;
mod contact;
mod cors_origin;
mod country;
mod header;
mod hostname;
mod name;
mod number;
mod path;
mod period;
mod rate;
mod rule;
mod size;
mod status;
mod subject_name;
mod tls_version;
mod unit;
mod url;

pub use address::{BackendAddress, ListenAddress};
pub use cidr::Cidr;
pub use contact::Contact;
pub use cors_origin::CorsOrigin;
pub use country::{Country, ListedCountry};
pub use header::{HeaderName, HeaderTemplate, HeaderText, Method, ParameterName};
pub use hostname::Hostname;
pub use name::{Name, TenantId, Version};
pub use number::Count;
pub use path::{FilePath, Location, PathText};
pub use period::Period;
pub use rate::Rate;
pub use rule::{RuleRange, RuleTag, RuleTarget};
pub use size::ByteSize;
pub use status::{StatusRange, StatusSet};
pub use subject_name::{NameKind, SubjectName};
pub use tls_version::TlsVersion;
pub use url::ServiceUrl;

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// Why a text is not a value: what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, in one line.
    pub hint: String,
}

impl Invalid {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Display for Invalid {
    /// Message and hint on a line each: the document reader splits them again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.message, self.hint)
    }
}

impl std::error::Error for Invalid {}

/// Longest part of a bad value that a message repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// `text` for a message: control characters escaped, cut to [`SHOWN_CHARS`].
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Reads a scalar by its text, whatever YAML type it looks like.
fn deserialize_text<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err = Invalid>,
    D: Deserializer<'de>,
{
    struct Text<T>(&'static str, PhantomData<T>);
    impl<T: FromStr<Err = Invalid>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(expected, PhantomData))
}

/// Gives a type with `FromStr<Err = Invalid>` and `Display` its serde and schema sides.
macro_rules! text_value {
    ($ty:ident $(<$($bound:ident),+>)?, $expected:literal, { $($schema:tt)+ }) => {
        impl $(<$(const $bound: u64),+>)? serde::Serialize for $ty $(<$($bound),+>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de, $($(const $bound: u64),+)?> serde::Deserialize<'de> for $ty $(<$($bound),+>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::value::deserialize_text(deserializer, $expected)
            }
        }

        impl $(<$(const $bound: u64),+>)? schemars::JsonSchema for $ty $(<$($bound),+>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ $($schema)+ })
            }
        }
    };
}
use text_value;

/// Lets this crate write values of a checked text itself, for defaults.
macro_rules! default_text {
    ($($ty:ident),+) => {$(
        impl $ty {
            pub(crate) fn known(text: &'static str) -> Self {
                debug_assert!(text.parse::<Self>().is_ok(), "{text}");
                Self(text.into())
            }
        }
    )+};
}
use default_text;

/// A text newtype whose content was checked: `Display`, `AsRef<str>` and the comparison traits.
macro_rules! checked_text {
    ($(#[$meta:meta])* $ty:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $ty(Box<str>);

        impl $ty {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $ty {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
use checked_text;
