//! `multipart/form-data` bodies (RFC 7578, RFC 2046 section 5.1), with ModSecurity's strictness made visible.
//!
//! The body is read line by line as ModSecurity v3 reads it. What a lenient backend might read otherwise is either an
//! error or one of the [`Flags`]; rules decide on those. A part that the body's end cuts off is kept, next to the
//! error. Example: with `boundary=x` the body `--x CRLF Content-Disposition: form-data; name="a" CRLF CRLF 1 CRLF
//! --x--` gives the argument `a` = `1`.

mod boundary;
mod disposition;
mod headers;

use super::{Argument, BodyError, Limits};
use boundary::Boundary;
use disposition::Disposition;
use headers::{Headers, Outcome};
use std::borrow::Cow;
use std::ops::Range;

/// What was in a multipart body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multipart<'a> {
    /// Parts that are no files.
    pub arguments: Vec<Argument<'a>>,
    /// Parts that are files.
    pub files: Vec<File<'a>>,
    /// The header lines of all parts (`MULTIPART_PART_HEADERS`).
    pub part_headers: Vec<PartHeader<'a>>,
    /// What was unusual.
    pub flags: Flags,
    /// Why reading stopped before the end, or what is missing at the end.
    pub error: Option<BodyError>,
}

/// A file of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File<'a> {
    /// The form field's name.
    pub name: Cow<'a, [u8]>,
    /// The file's name, as `filename` gives it.
    pub filename: Cow<'a, [u8]>,
    /// Where in the body its content lies; as long as the file.
    pub content: Range<usize>,
}

/// A header line of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHeader<'a> {
    /// The part's name; empty where an error in the headers left the part without one.
    pub part: Cow<'a, [u8]>,
    /// The line without its end, such as `Content-Type: text/plain`; folded lines are joined by spaces.
    pub line: Cow<'a, [u8]>,
}

/// What ModSecurity's `MULTIPART_*` variables tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// The body or its content type is in error.
    pub error: bool,
    /// The boundary is in quotes in the content type.
    pub boundary_quoted: bool,
    /// There is white space around the `=` of the boundary parameter.
    pub boundary_whitespace: bool,
    /// The content type has no semicolon before its boundary.
    pub missing_semicolon: bool,
    /// There is data before the first boundary.
    pub data_before: bool,
    /// There is data after the last boundary.
    pub data_after: bool,
    /// A part header is folded over lines.
    pub header_folding: bool,
    /// A fold begins with something else than spaces and tabs.
    pub invalid_header_folding: bool,
    /// A line of the structure ends in LF alone.
    pub lf_line: bool,
    /// A line of the structure ends in CRLF.
    pub crlf_line: bool,
    /// A boundary stands where a part's data should begin.
    pub invalid_part: bool,
    /// Single quotes, or quotes out of place, in a content disposition.
    pub invalid_quoting: bool,
    /// There are more files than may be.
    pub file_limit_exceeded: bool,
    /// Lines that look like a boundary and are none.
    pub unmatched_boundary: Unmatched,
}

/// `MULTIPART_UNMATCHED_BOUNDARY`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmatched {
    /// `0`: at most one line with a boundary, and no other line that looks like one.
    #[default]
    None = 0,
    /// `1`: a line looks like a boundary and is none, after the last that was one.
    Foreign = 1,
    /// `2`: the last whole line that looks like a boundary is one, and not the first.
    Matched = 2,
}

impl Flags {
    /// `MULTIPART_CRLF_LF_LINES`: both kinds of line end are used.
    pub fn crlf_lf_lines(&self) -> bool {
        self.crlf_line && self.lf_line
    }

    /// `MULTIPART_STRICT_ERROR`: anything that a strict reader would refuse.
    pub fn strict_error(&self) -> bool {
        self.error
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.missing_semicolon
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.invalid_header_folding
            || self.lf_line
            || self.invalid_part
            || self.invalid_quoting
            || self.file_limit_exceeded
    }
}

/// Reads a body whose `Content-Type` header is `content_type`. An empty body has no parts and no error.
pub fn parse<'a>(content_type: &[u8], body: &'a [u8], limits: &Limits) -> Multipart<'a> {
    let mut found = Multipart::default();
    let result = match boundary::parse(content_type, &mut found.flags) {
        Ok(boundary) => {
            Parser { body, boundary, limits, found: &mut found, boundaries: 0, part: None }.read()
        }
        Err(message) => Err(BodyError::malformed(0, message)),
    };
    found.flags.error |= result.is_err();
    found.error = result.err();
    found
}

struct Parser<'a, 'f> {
    body: &'a [u8],
    boundary: Boundary,
    limits: &'f Limits,
    found: &'f mut Multipart<'a>,
    /// Boundary lines seen.
    boundaries: usize,
    part: Option<Part<'a>>,
}

/// The part that is being read.
enum Part<'a> {
    Headers(Headers<'a>),
    Data(Data<'a>),
}

/// A part whose headers are complete.
struct Data<'a> {
    name: Cow<'a, [u8]>,
    filename: Option<Cow<'a, [u8]>>,
    /// Where its content begins.
    start: usize,
    /// Whether a line of it has been read.
    any_line: bool,
}

impl Parser<'_, '_> {
    fn read(mut self) -> Result<(), BodyError> {
        let mut at = 0;
        while at < self.body.len() {
            let end =
                memchr::memchr(b'\n', &self.body[at..]).map_or(self.body.len(), |length| at + length + 1);
            if self.line(at..end)? {
                self.found.flags.data_after |= end < self.body.len();
                return Ok(());
            }
            at = end;
        }
        self.finish_part(self.body.len())?;
        match (self.body.is_empty(), self.boundaries) {
            (true, _) => Ok(()),
            (_, 0) => Err(BodyError::malformed(0, "no boundary in the body")),
            _ => Err(BodyError::malformed(self.body.len(), "the final boundary is missing")),
        }
    }

    /// Reads one line; whether it is the final boundary.
    fn line(&mut self, range: Range<usize>) -> Result<bool, BodyError> {
        let line = &self.body[range.clone()];
        let ending = Ending::of(line);
        match self.boundary.find(line, self.found.flags.boundary_quoted) {
            boundary::Found::Boundary { after } => {
                self.found.flags.lf_line |= Ending::of(&self.body[..range.start]) == Ending::Lf;
                let expects_data = match &self.part {
                    Some(Part::Headers(_)) => true,
                    Some(Part::Data(data)) => !data.any_line,
                    None => false,
                };
                let is_final = after.starts_with(b"--");
                let rest = if is_final { &after[2..] } else { after };
                let ends_body = ending == Ending::None;
                if expects_data {
                    self.found.flags.invalid_part = true;
                    if ends_body && is_final && rest.is_empty() {
                        self.finish_part(range.start)?;
                        return Ok(true);
                    }
                } else {
                    return self.at_boundary(&range, ending, is_final, rest);
                }
            }
            boundary::Found::Error(message) => return Err(BodyError::malformed(range.start, message)),
            boundary::Found::Foreign => self.found.flags.unmatched_boundary = Unmatched::Foreign,
            boundary::Found::Nothing => {}
        }
        self.content(range, ending)?;
        Ok(false)
    }

    /// A boundary line in its place.
    fn at_boundary(
        &mut self,
        range: &Range<usize>,
        ending: Ending,
        is_final: bool,
        rest: &[u8],
    ) -> Result<bool, BodyError> {
        // As ModSecurity: not a final boundary that the body's end cuts off.
        if self.boundaries > 0 && ending != Ending::None {
            self.found.flags.unmatched_boundary = Unmatched::Matched;
        }
        if rest.len() != ending.len() || (ending == Ending::None && !is_final) {
            return Err(BodyError::malformed(range.start, "a boundary with something after it"));
        }
        self.found.flags.lf_line |= ending == Ending::Lf;
        self.found.flags.crlf_line |= ending == Ending::CrLf;
        self.finish_part(range.start)?;
        self.boundaries += 1;
        if self.boundaries > self.limits.max_parts {
            return Err(BodyError::limit(range.start, "too many parts"));
        }
        if !is_final {
            self.part = Some(Part::Headers(Headers::default()));
        }
        Ok(is_final)
    }

    /// A line that is no boundary.
    fn content(&mut self, range: Range<usize>, ending: Ending) -> Result<(), BodyError> {
        match &mut self.part {
            None => self.found.flags.data_before = true,
            Some(Part::Data(data)) => data.any_line = true,
            Some(Part::Headers(_)) if ending == Ending::None => {
                return Err(BodyError::malformed(range.end, "a part header is cut off"));
            }
            Some(Part::Headers(_)) => {
                self.found.flags.lf_line |= ending == Ending::Lf;
                self.found.flags.crlf_line |= ending == Ending::CrLf;
                return self.header_line(range, ending);
            }
        }
        Ok(())
    }

    /// A line of a part's headers; the empty one begins its data.
    fn header_line(&mut self, range: Range<usize>, ending: Ending) -> Result<(), BodyError> {
        let Some(Part::Headers(headers)) = &mut self.part else { return Ok(()) };
        let text = &self.body[range.start..range.end - ending.len()];
        let outcome = headers.line(text, range.start, self.limits, &mut self.found.flags);
        let (name, faulty_line) = match &outcome {
            Ok(Outcome::Continues) => return Ok(()),
            Ok(Outcome::Complete(disposition)) => (disposition.name.clone(), None),
            // The part has no name then; what its headers hold is still for the rules to see.
            Err(_) => (Cow::default(), Some(Cow::Borrowed(text)).filter(|text| !text.is_empty())),
        };
        let lines = headers.take_lines().chain(faulty_line);
        self.found.part_headers.extend(lines.map(|line| PartHeader { part: name.clone(), line }));
        if let Outcome::Complete(Disposition { name, filename }) = outcome? {
            self.part = Some(Part::Data(Data { name, filename, start: range.end, any_line: false }));
        }
        Ok(())
    }

    /// Keeps the part that ends where the line at `end` begins; the line end before that is the boundary's.
    fn finish_part(&mut self, end: usize) -> Result<(), BodyError> {
        let Some(Part::Data(data)) = self.part.take() else { return Ok(()) };
        let before_boundary = end - if data.any_line { Ending::of(&self.body[..end]).len() } else { 0 };
        let content = data.start..before_boundary.max(data.start);
        match data.filename {
            Some(_) if self.found.files.len() >= self.limits.max_files => {
                self.found.flags.file_limit_exceeded = true;
                Err(BodyError::limit(data.start, "too many files"))
            }
            Some(filename) => {
                self.found.files.push(File { name: data.name, filename, content });
                Ok(())
            }
            None if self.found.arguments.len() >= self.limits.max_arguments => {
                Err(BodyError::limit(data.start, "too many arguments"))
            }
            None => {
                let value = Cow::Borrowed(&self.body[content]);
                self.found.arguments.push(Argument { name: data.name, value });
                Ok(())
            }
        }
    }
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    CrLf,
    Lf,
    None,
}

impl Ending {
    fn of(line: &[u8]) -> Self {
        match line {
            [.., b'\r', b'\n'] => Self::CrLf,
            [.., b'\n'] => Self::Lf,
            _ => Self::None,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::CrLf => 2,
            Self::Lf => 1,
            Self::None => 0,
        }
    }
}

#[cfg(test)]
mod tests;
