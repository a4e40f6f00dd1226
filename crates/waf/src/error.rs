//! What can be wrong with rules or with a tenant's settings, told to whoever wrote them.

use std::fmt;
use std::sync::Arc;

/// One mistake in a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The file, as named by its [`Source`](crate::Source) or `Include`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// The offending text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// All mistakes of a rule set, in reading order: it is not usable, not even in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileErrors(pub Vec<CompileError>);

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileErrors {}

/// Why a tenant's settings do not fit a rule set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayError {
    /// The paranoia level is outside 1-4.
    Paranoia(u8),
    /// A threshold of zero would refuse every request.
    ZeroThreshold,
    /// No rule has an id in this range.
    UnknownRule {
        /// First id of the range.
        first: u32,
        /// Last id of the range.
        last: u32,
    },
    /// No rule carries this tag.
    UnknownTag(String),
    /// A target that cannot be read: the text and what is wrong.
    Target(String, String),
    /// More exclusions than [`limits::EXCLUSIONS`](crate::limits::EXCLUSIONS).
    TooManyExclusions(usize),
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paranoia(level) => write!(f, "paranoia level {level} is not one of 1, 2, 3, 4"),
            Self::ZeroThreshold => f.write_str("a threshold of 0 would refuse every request; the least is 1"),
            Self::UnknownRule { first, last } if first == last => write!(f, "no rule has the id {first}"),
            Self::UnknownRule { first, last } => write!(f, "no rule has an id in {first}-{last}"),
            Self::UnknownTag(tag) => write!(f, "no rule carries the tag {tag:?}"),
            Self::Target(target, why) => write!(f, "target {target:?}: {why}"),
            Self::TooManyExclusions(count) => {
                write!(f, "{count} exclusions; the most is {}", crate::limits::EXCLUSIONS)
            }
        }
    }
}

impl std::error::Error for OverlayError {}
