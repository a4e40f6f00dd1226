//! Texts that rules make: captures, what macros became, names of variables. One behind the other in memory that the
//! next transaction uses again.

use super::Failure;
use crate::limits;

/// A text in [`MadeTexts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    start: u32,
    len: u32,
}

impl Made {
    /// How many bytes it has.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

/// All texts of a transaction. None is changed or removed before its end.
#[derive(Debug, Default)]
pub(super) struct MadeTexts(Vec<u8>);

impl MadeTexts {
    /// Keeps `text`.
    pub(super) fn keep(&mut self, text: &[u8]) -> Result<Made, Failure> {
        if self.0.len() + text.len() > limits::COPIED_BYTES {
            return Err(Failure::Limit("bytes copied into variables"));
        }
        let start = self.0.len() as u32;
        self.0.extend_from_slice(text);
        Ok(Made { start, len: text.len() as u32 })
    }

    pub(super) fn get(&self, text: Made) -> &[u8] {
        &self.0[text.start as usize..][..text.len as usize]
    }

    /// Forgets all, and keeps the room that they took.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes of room that is kept.
    pub(super) fn room(&self) -> usize {
        self.0.capacity()
    }
}

// Offsets fit.
const _: () = assert!(limits::COPIED_BYTES <= u32::MAX as usize);
