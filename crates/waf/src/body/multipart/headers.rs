//! The header lines of one part.

use super::disposition::{self, Disposition};
use super::{BodyError, Flags, Limits};
use crate::transform::bytes::is_space;
use std::borrow::Cow;

/// ModSecurity's sentence, because the Core Rule Set's own tests look for it in the log.
pub(super) const INVALID_NAME: &str = "Multipart: Invalid part header (contains invalid character)";

/// The headers of a part, as far as they have been read.
#[derive(Default)]
pub(super) struct Headers<'a> {
    list: Vec<Header<'a>>,
}

struct Header<'a> {
    /// `Name: value`, as written, with folded lines appended.
    line: Cow<'a, [u8]>,
    /// Length of the name.
    name: usize,
}

/// What one line did.
pub(super) enum Outcome<'a> {
    /// More may follow.
    Continues,
    /// The empty line: the headers are complete and have a content disposition.
    Complete(Disposition<'a>),
}

impl<'a> Headers<'a> {
    /// Takes one line, without its end.
    pub(super) fn line(
        &mut self,
        line: &'a [u8],
        offset: usize,
        limits: &Limits,
        flags: &mut Flags,
    ) -> Result<Outcome<'a>, BodyError> {
        let malformed = |message| BodyError::malformed(offset, message);
        if line.is_empty() {
            return self.disposition(flags).map(Outcome::Complete).map_err(malformed);
        }
        if line.contains(&0) {
            return Err(malformed("a NUL byte in a part header"));
        }
        if is_space(line[0]) {
            self.fold(line, flags).map_err(malformed)?;
        } else {
            self.add(line).map_err(malformed)?;
        }
        if self.list.last().is_some_and(|header| header.line.len() > limits.max_part_header_bytes) {
            return Err(BodyError::limit(offset, "a part header is too long"));
        }
        if self.list.len() > limits.max_part_headers {
            return Err(BodyError::limit(offset, "a part has too many headers"));
        }
        Ok(Outcome::Continues)
    }

    /// The lines, for the rules.
    pub(super) fn take_lines(&mut self) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
        std::mem::take(&mut self.list).into_iter().map(|header| header.line)
    }

    fn add(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        let name = memchr::memchr(b':', line).ok_or("a part header without a colon")?;
        if name == 0 {
            return Err("a part header without a name");
        }
        if !line[..name].iter().all(u8::is_ascii_graphic) {
            return Err(INVALID_NAME);
        }
        if self.find(&line[..name]).is_some() {
            return Err("a part header twice");
        }
        self.list.push(Header { line: Cow::Borrowed(line), name });
        Ok(())
    }

    /// Appends a folded line to the header before it.
    fn fold(&mut self, line: &[u8], flags: &mut Flags) -> Result<(), &'static str> {
        flags.header_folding = true;
        let indent = line.iter().take_while(|&&byte| is_space(byte)).count();
        flags.invalid_header_folding |= line[..indent].iter().any(|byte| !matches!(byte, b' ' | b'\t'));
        let header = self.list.last_mut().ok_or("a folded line before the first part header")?;
        let joined = header.line.to_mut();
        joined.push(b' ');
        joined.extend_from_slice(&line[indent..]);
        Ok(())
    }

    fn disposition(&self, flags: &mut Flags) -> Result<Disposition<'a>, &'static str> {
        let header = self.find(b"Content-Disposition").ok_or("a part without a content disposition")?;
        match &header.line {
            Cow::Borrowed(line) => disposition::parse(value(line, header.name), flags),
            Cow::Owned(line) => {
                disposition::parse(value(line, header.name), flags).map(Disposition::into_owned)
            }
        }
    }

    fn find(&self, name: &[u8]) -> Option<&Header<'a>> {
        self.list.iter().find(|header| header.line[..header.name].eq_ignore_ascii_case(name))
    }
}

/// What follows the name and its colon.
fn value(line: &[u8], name: usize) -> &[u8] {
    let value = &line[name + 1..];
    &value[value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()..]
}
