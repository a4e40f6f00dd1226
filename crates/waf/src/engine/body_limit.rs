//! `SecRequestBodyLimit`, `SecRequestBodyNoFilesLimit` and `SecResponseBodyLimit`: the rule set's bounds on bodies.
//!
//! They count below whatever bound the caller has. Without an action a body that is too long is looked at whole, and
//! flagged: the reference manual has `Reject` for the default, libmodsecurity v3 none.

use super::state::State;
use crate::compile::{BodyLimit, LimitAction};
use crate::record::{Cause, Refusal};

/// Status of a refusal by `Reject`, as in libmodsecurity v3.
const REJECTED: u16 = 403;

impl State<'_> {
    /// What of `body` is to be looked at, and whether that is not all; refuses where the limit says so.
    pub(super) fn within<'b>(&mut self, limit: BodyLimit, phase: u8, body: &'b [u8]) -> (&'b [u8], bool) {
        let Some(bytes) = limit.bytes.filter(|bytes| body.len() > *bytes) else { return (body, false) };
        match limit.action {
            Some(LimitAction::ProcessPartial) => (&body[..bytes], true),
            Some(LimitAction::Reject) => {
                let cause = Cause::BodyLimit;
                self.refuse(Refusal { cause, status: REJECTED, phase, drop: false, redirect: None });
                (body, true)
            }
            None => (body, true),
        }
    }
}
