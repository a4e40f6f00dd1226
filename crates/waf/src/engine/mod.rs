//! The engine behind a transaction.

use crate::overlay::Overlay;
use crate::record::{Record, Refusal};
use crate::ruleset::Ruleset;
use crate::transaction::{Connection, RequestHead, ResponseHead};

/// Everything one transaction holds.
#[derive(Debug)]
pub(crate) struct Core<'p> {
    _ruleset: &'p Ruleset,
    _overlay: &'p Overlay,
    record: Record,
}

impl<'p> Core<'p> {
    pub(crate) fn new(ruleset: &'p Ruleset, overlay: &'p Overlay, _conn: &Connection<'_>) -> Self {
        Self { _ruleset: ruleset, _overlay: overlay, record: Record::default() }
    }

    pub(crate) fn request_head(&mut self, _head: &RequestHead<'_>) {}

    pub(crate) fn request_body_wanted(&self) -> bool {
        true
    }

    pub(crate) fn request_body(&mut self, _body: &[u8], _complete: bool) {}

    pub(crate) fn response_head(&mut self, _head: &ResponseHead<'_>) {}

    pub(crate) fn response_body_wanted(&self) -> bool {
        true
    }

    pub(crate) fn response_body(&mut self, _body: &[u8], _complete: bool) {}

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.record.refused.as_ref()
    }

    pub(crate) fn finish(self) -> Record {
        self.record
    }
}
