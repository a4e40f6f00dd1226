//! Parsers that turn bodies, query strings and cookies into the named values that rules look at.
//!
//! Each is bounded by [`Limits`], runs in time linear in its input and never recurses. What was read before an error
//! is kept next to the error, so that a request which is refused, or only watched, still shows what it carried; a
//! caller that ignores `error` would let a body pass that nothing has understood. Values borrow from the input where
//! they can.

pub mod cookies;
pub mod json;
pub mod multipart;
pub mod urlencoded;
pub mod xml;
mod xml_path;

pub use xml_path::XmlPath;

use std::borrow::Cow;
use std::fmt;

/// How much a parser accepts before it gives up with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one query string, cookie header or body; XML attributes too.
    pub max_arguments: usize,
    /// Objects and arrays open at once in JSON.
    pub max_json_depth: usize,
    /// Bytes of one JSON argument's name, which holds the names of all that encloses it.
    pub max_json_name_bytes: usize,
    /// Elements open at once in XML.
    pub max_xml_depth: usize,
    /// Attributes of one XML element, namespace declarations included: looking for repeated ones is quadratic.
    pub max_element_attributes: usize,
    /// Bytes of all that paths select in one XML document: nested elements hold their text more than once.
    pub max_xml_selected_bytes: usize,
    /// Parts of a multipart body.
    pub max_parts: usize,
    /// Files of a multipart body.
    pub max_files: usize,
    /// Header lines of one part.
    pub max_part_headers: usize,
    /// Bytes of one part header, folded lines included.
    pub max_part_header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_arguments: 4_096,
            max_json_depth: 512,
            max_json_name_bytes: 2 * 1024,
            max_xml_depth: 256,
            max_element_attributes: 256,
            max_xml_selected_bytes: 8 << 20,
            max_parts: 1_024,
            max_files: 128,
            max_part_headers: 32,
            max_part_header_bytes: 4 * 1024,
        }
    }
}

/// A name and a value of a request. Names need not differ from one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument<'a> {
    /// The name, decoded.
    pub name: Cow<'a, [u8]>,
    /// The value, decoded.
    pub value: Cow<'a, [u8]>,
}

/// Arguments in their order, and what stopped the parser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// What was read.
    pub list: Vec<Argument<'a>>,
    /// Why reading stopped before the end, if it did.
    pub error: Option<BodyError>,
}

impl<'a> Arguments<'a> {
    /// Adds an argument, unless there are as many as may be.
    fn push(&mut self, argument: Argument<'a>, offset: usize, limits: &Limits) -> Result<(), BodyError> {
        if self.list.len() >= limits.max_arguments {
            return Err(BodyError::limit(offset, "too many arguments"));
        }
        self.list.push(argument);
        Ok(())
    }
}

/// Why a parser stopped: the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyError {
    /// Whether the input is malformed or goes beyond a limit.
    pub kind: BodyErrorKind,
    /// Where in the input, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub message: &'static str,
}

/// The two kinds of [`BodyError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyErrorKind {
    /// Not what its type says.
    Malformed,
    /// Perhaps well-formed, but beyond one of the [`Limits`].
    Limit,
}

impl BodyError {
    fn malformed(offset: usize, message: &'static str) -> Self {
        Self { kind: BodyErrorKind::Malformed, offset, message }
    }

    fn limit(offset: usize, message: &'static str) -> Self {
        Self { kind: BodyErrorKind::Limit, offset, message }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for BodyError {}
