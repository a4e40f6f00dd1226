//! Memory that requests of one core take turns with, so that forwarding allocates nothing in steady state.

use std::cell::RefCell;

use crate::head::{Fields, ResponseHead};

/// Scratches kept for reuse per core; about 4 KiB each.
const MAX_SPARE: usize = 256;

/// An arena that has grown beyond this is given back to the system, in bytes.
const MAX_KEPT_ARENA: usize = 16 * 1024;

/// What forwarding one request fills.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Fields added to the request.
    pub(crate) request_fields: Fields,
    /// The backend's response head.
    pub(crate) response: ResponseHead,
    /// Fields added to the response.
    pub(crate) response_fields: Fields,
}

/// One core's spare scratches.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a scratch changes hands twice per request: as a box it moves as a pointer"
)]
pub(crate) struct Scratches(RefCell<Vec<Box<Scratch>>>);

impl Scratches {
    /// An empty scratch.
    pub(crate) fn take(&self) -> Box<Scratch> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a scratch back. One that is not given back, because its request failed, is only memory freed.
    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        let Scratch { request_fields, response, response_fields } = &mut *scratch;
        request_fields.clear();
        response.clear();
        response_fields.clear();
        let large = response.fields.arena.capacity() > MAX_KEPT_ARENA;
        let mut spare = self.0.borrow_mut();
        if spare.len() < MAX_SPARE && !large {
            spare.push(scratch);
        }
    }
}
