//! Output of a transformation that stays a borrow of its input until the two differ.

use std::borrow::Cow;

/// Collects output bytes; allocates at the first byte that is not the input's.
///
/// While the output is a prefix of the input only its length is kept, so a transformation that changes nothing
/// costs a comparison per byte and ends as [`Cow::Borrowed`].
pub(super) struct Output<'a> {
    input: &'a [u8],
    kept: usize,
    changed: Option<Vec<u8>>,
}

impl<'a> Output<'a> {
    /// An output whose first `kept` bytes are already known to be the input's.
    pub(super) fn starting_at(input: &'a [u8], kept: usize) -> Self {
        Self { input, kept: kept.min(input.len()), changed: None }
    }

    /// Appends one byte.
    pub(super) fn push(&mut self, byte: u8) {
        match &mut self.changed {
            Some(bytes) => bytes.push(byte),
            None if self.input.get(self.kept) == Some(&byte) => self.kept += 1,
            None => self.own().push(byte),
        }
    }

    /// Appends a run of bytes.
    pub(super) fn extend(&mut self, run: &[u8]) {
        match &mut self.changed {
            Some(bytes) => bytes.extend_from_slice(run),
            None if self.input[self.kept..].starts_with(run) => self.kept += run.len(),
            None => self.own().extend_from_slice(run),
        }
    }

    /// Takes back the last byte, if there is one.
    pub(super) fn pop(&mut self) {
        match &mut self.changed {
            Some(bytes) => {
                bytes.pop();
            }
            None => self.kept = self.kept.saturating_sub(1),
        }
    }

    /// The output: borrowed exactly when it equals the input.
    pub(super) fn finish(self) -> Cow<'a, [u8]> {
        match self.changed {
            Some(bytes) if bytes == self.input => Cow::Borrowed(self.input),
            Some(bytes) => Cow::Owned(bytes),
            None if self.kept == self.input.len() => Cow::Borrowed(self.input),
            None => Cow::Owned(self.input[..self.kept].to_vec()),
        }
    }

    fn own(&mut self) -> &mut Vec<u8> {
        let (input, kept) = (self.input, self.kept);
        self.changed.get_or_insert_with(|| {
            let mut bytes = Vec::with_capacity(input.len());
            bytes.extend_from_slice(&input[..kept]);
            bytes
        })
    }
}

/// Keeps the bytes that `keep` accepts; borrowed when that is all of them.
pub(super) fn retain(input: &[u8], keep: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|&byte| !keep(byte)) else {
        return Cow::Borrowed(input);
    };
    let mut bytes = Vec::with_capacity(input.len() - 1);
    bytes.extend_from_slice(&input[..first]);
    bytes.extend(input[first..].iter().copied().filter(|&byte| keep(byte)));
    Cow::Owned(bytes)
}

/// Replaces each byte by `map` of it; borrowed when none differs.
pub(super) fn map_bytes(input: &[u8], map: impl Fn(u8) -> u8) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|&byte| map(byte) != byte) else {
        return Cow::Borrowed(input);
    };
    let mut bytes = input.to_vec();
    for byte in &mut bytes[first..] {
        *byte = map(*byte);
    }
    Cow::Owned(bytes)
}

/// `input` cut to a part of itself; borrowed when the part is the whole.
pub(super) fn cut<'a>(input: &'a [u8], part: &[u8]) -> Cow<'a, [u8]> {
    if part.len() == input.len() { Cow::Borrowed(input) } else { Cow::Owned(part.to_vec()) }
}

/// A freshly computed output, given up for the borrow when it equals the input.
pub(super) fn computed(input: &[u8], output: Vec<u8>) -> Cow<'_, [u8]> {
    if output == input { Cow::Borrowed(input) } else { Cow::Owned(output) }
}
