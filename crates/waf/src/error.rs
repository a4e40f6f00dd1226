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
        lines(f, self.0.iter())
    }
}

impl std::error::Error for CompileErrors {}

/// Why a tenant's settings do not fit a rule set, or what its operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayError {
    /// The paranoia level is outside 1-4.
    Paranoia(u8),
    /// A threshold of zero would refuse every request.
    ZeroThreshold,
    /// What the operator allows was worked out for another rule set.
    OtherRuleset,
    /// No rule has an id in this range.
    UnknownRule {
        /// First id of the range.
        first: u32,
        /// Last id of the range.
        last: u32,
    },
    /// No rule carries this tag.
    UnknownTag(String),
    /// No rule has this message.
    UnknownMessage(String),
    /// There is no rule at all.
    NoRules,
    /// The operator does not leave this rule, one of those named, to tenants.
    Pinned(u32),
    /// A target that cannot be read: the text and what is wrong.
    Target(String, String),
    /// More exclusions and rules with modes than [`limits::EXCLUSIONS`](crate::limits::EXCLUSIONS).
    TooManyExclusions(usize),
    /// More targets with a pattern than [`limits::EXCLUSION_PATTERNS`](crate::limits::EXCLUSION_PATTERNS).
    TooManyPatterns,
    /// The tenant's own rules are not right, or ask for more than a tenant may.
    Rules(CompileErrors),
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paranoia(level) => write!(f, "paranoia level {level} is not one of 1, 2, 3, 4"),
            Self::ZeroThreshold => f.write_str("a threshold of 0 would refuse every request; the least is 1"),
            Self::OtherRuleset => f.write_str("what tenants may tune belongs to another rule set"),
            Self::UnknownRule { first, last } if first == last => write!(f, "no rule has the id {first}"),
            Self::UnknownRule { first, last } => write!(f, "no rule has an id in {first}-{last}"),
            Self::UnknownTag(tag) => write!(f, "no rule carries the tag {tag:?}"),
            Self::UnknownMessage(message) => write!(f, "no rule has the message {message:?}"),
            Self::NoRules => f.write_str("the rule set has no rules"),
            Self::Pinned(id) => write!(f, "rule {id} is pinned by the operator"),
            Self::Target(target, why) => write!(f, "target {target:?}: {why}"),
            Self::TooManyExclusions(count) => {
                write!(
                    f,
                    "{count} exclusions and rules with modes; the most is {}",
                    crate::limits::EXCLUSIONS
                )
            }
            Self::TooManyPatterns => {
                write!(f, "more than {} targets with a pattern", crate::limits::EXCLUSION_PATTERNS)
            }
            Self::Rules(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for OverlayError {}

/// The part of a tenant's settings that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Levels, thresholds, numbers of things.
    Settings,
    /// The exclusion at this place of the list.
    Exclusion(usize),
    /// The rule mode at this place of the list.
    RuleMode(usize),
    /// The tenant's own rules.
    Rules,
}

/// All mistakes of a tenant's settings: they are not usable, not even in part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverlayErrors(pub Vec<(Part, OverlayError)>);

impl OverlayErrors {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the error of `result`, which is about `part`.
    pub(crate) fn note(&mut self, part: Part, result: Result<(), OverlayError>) {
        if let Err(error) = result {
            self.0.push((part, error));
        }
    }
}

impl fmt::Display for OverlayErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(f, self.0.iter().map(|(_, error)| error))
    }
}

impl std::error::Error for OverlayErrors {}

fn lines(f: &mut fmt::Formatter<'_>, errors: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    for (index, error) in errors.enumerate() {
        if index > 0 {
            f.write_str("\n")?;
        }
        error.fmt(f)?;
    }
    Ok(())
}
