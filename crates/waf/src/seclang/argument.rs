//! One argument of a directive, with the place of every byte of it.

use std::ops::Range;
use std::sync::Arc;

use super::{Mistake, Place};

/// Longest excerpt of offending text in a message, in characters.
const EXCERPT_CHARS: usize = 80;

/// A logical line: physical lines joined at `\`, with the way back to where each piece came from.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) file: Arc<str>,
    pub(super) text: String,
    /// Where each physical line begins: its offset in `text`, its number, its column there.
    pub(super) pieces: Vec<(usize, u32, u32)>,
}

impl Line {
    pub(super) fn place(&self, offset: usize) -> Place {
        let index = self.pieces.partition_point(|(start, ..)| *start <= offset).saturating_sub(1);
        let (start, line, column) = self.pieces.get(index).copied().unwrap_or((0, 1, 1));
        Place { file: Arc::clone(&self.file), line, column: column + offset.saturating_sub(start) as u32 }
    }
}

/// A stretch of a logical line: an argument without its quotes, or a part of one.
///
/// Its text is raw: escapes stay until a leaf is taken out with [`Argument::unescaped`].
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    line: Arc<Line>,
    range: Range<usize>,
}

impl Argument {
    pub(super) fn new(line: &Arc<Line>, range: Range<usize>) -> Self {
        Self { line: Arc::clone(line), range }
    }

    /// A text that stands in no rule file: a setting of a tenant, the value of a `ctl`.
    pub(crate) fn standalone(text: &str) -> Self {
        let line = Line { file: Arc::from(""), text: text.to_owned(), pieces: Vec::new() };
        Self::new(&Arc::new(line), 0..text.len())
    }

    /// The text as written.
    pub(crate) fn raw(&self) -> &str {
        &self.line.text[self.range.clone()]
    }

    /// The text with `\"` read as `"`: the escape that the directive's own quotes make necessary.
    pub(crate) fn unescaped(&self) -> String {
        self.raw().replace("\\\"", "\"")
    }

    /// Where it begins.
    pub(crate) fn place(&self) -> Place {
        self.line.place(self.range.start)
    }

    /// A part of it: byte offsets into [`Argument::raw`].
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self {
            line: Arc::clone(&self.line),
            range: self.range.start + range.start..self.range.start + range.end,
        }
    }

    /// Without white space around it.
    pub(crate) fn trimmed(&self) -> Self {
        let raw = self.raw();
        let start = raw.len() - raw.trim_start().len();
        self.part(start..start + raw.trim().len())
    }

    /// A mistake at this place.
    pub(crate) fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { place: self.place(), text: excerpt(self.raw()), message: message.into() }
    }
}

/// `text`, shortened for a message.
pub(super) fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
