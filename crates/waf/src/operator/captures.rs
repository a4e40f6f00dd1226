//! What an operator captured, for `TX:0` to `TX:9`.

use std::ops::Range;

/// Captures kept: ModSecurity's `TX:0` to `TX:9`.
pub const MAX_CAPTURES: usize = 10;

/// Bytes of a captured text that is no part of the input: an SQL-injection fingerprint.
pub(super) const MAX_INLINE_BYTES: usize = 8;

/// Up to [`MAX_CAPTURES`] captured values: ranges of the input, or a short text. Reusable; it never allocates.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    slots: [Option<Slot>; MAX_CAPTURES],
    len: usize,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Range { start: usize, end: usize },
    Inline { bytes: [u8; MAX_INLINE_BYTES], len: usize },
}

impl Captures {
    /// No captures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets every capture.
    pub fn clear(&mut self) {
        self.slots[..self.len].fill(None);
        self.len = 0;
    }

    /// One more than the highest number captured; 0 if nothing was.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was captured.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Capture `number` of the match in `input`, which must be the input that was matched. `None`: a group that
    /// took no part in the match.
    pub fn get<'a>(&'a self, number: usize, input: &'a [u8]) -> Option<&'a [u8]> {
        match self.slots.get(number)?.as_ref()? {
            Slot::Range { start, end } => input.get(*start..*end),
            Slot::Inline { bytes, len } => bytes.get(..*len),
        }
    }

    /// Where capture `number` lies in the input; `None` also where it is no part of it.
    pub fn range(&self, number: usize) -> Option<Range<usize>> {
        match self.slots.get(number)?.as_ref()? {
            Slot::Range { start, end } => Some(*start..*end),
            Slot::Inline { .. } => None,
        }
    }

    /// Keeps a range of the input as capture `number`; beyond [`MAX_CAPTURES`] it is dropped.
    pub(super) fn set(&mut self, number: usize, range: Range<usize>) {
        self.put(number, Slot::Range { start: range.start, end: range.end });
    }

    /// Keeps a short text as capture 0, cut to what fits.
    pub(super) fn set_text(&mut self, text: &[u8]) {
        let mut bytes = [0; MAX_INLINE_BYTES];
        let len = text.len().min(MAX_INLINE_BYTES);
        bytes[..len].copy_from_slice(&text[..len]);
        self.put(0, Slot::Inline { bytes, len });
    }

    fn put(&mut self, number: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(number) {
            *place = Some(slot);
            self.len = self.len.max(number + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_texts() {
        let mut captures = Captures::new();
        captures.set(0, 1..3);
        captures.set(2, 0..1);
        captures.set(MAX_CAPTURES, 0..4);
        assert_eq!((captures.len(), captures.get(0, b"abcd")), (3, Some(&b"bc"[..])));
        assert_eq!((captures.get(1, b"abcd"), captures.get(2, b"abcd")), (None, Some(&b"a"[..])));
        assert_eq!(captures.range(0), Some(1..3));
        captures.clear();
        assert!(captures.is_empty());
        captures.set_text(b"s&1cTOOLONG");
        assert_eq!((captures.get(0, b""), captures.range(0)), (Some(&b"s&1cTOOL"[..]), None));
    }
}
