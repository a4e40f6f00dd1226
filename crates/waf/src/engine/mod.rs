//! The engine behind a transaction.
//!
//! [`Data`] holds what is known of request and response and only grows between phases; [`State`] holds what rules
//! change. A phase that fails, or panics, refuses: see [`State::fail`].

mod asked;
mod bag;
mod body_limit;
mod clock;
mod collect;
mod collections;
mod course;
mod data;
mod expand;
mod explain;
mod forms;
mod known;
mod locate;
mod made;
mod moded;
mod own;
mod place;
mod request;
mod request_body;
mod response;
mod room;
mod run;
mod sights;
mod state;
mod text;
mod work;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::collections::Collections;
use crate::overlay::Overlay;
use crate::program::EngineMode;
use crate::record::{Record, Refusal, WorkDone};
use crate::ruleset::Ruleset;
use crate::transaction::{Connection, RequestHead, ResponseHead};
use crate::variable::Variable;

pub(crate) use course::{Course, Courses};
pub(crate) use known::forget as forget_values;

use data::Data;
use room::Room;
pub(crate) use sights::View;
use state::{LOGGING, State, StateRoom};
pub use work::WorkBudget;

/// Why judging cannot go on. It never means "no match".
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// One of [`limits`](crate::limits): what there is too much of.
    Limit(&'static str),
    /// The transaction's budget is spent.
    Budget,
    /// An operator has no answer.
    Operator(String),
    /// Something panicked.
    Panic,
    /// The overlay was made by another rule set.
    Overlay,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(what) => write!(f, "too much: {what}"),
            Self::Budget => f.write_str("the work budget is spent"),
            Self::Operator(why) => f.write_str(why),
            Self::Panic => f.write_str("a panic while judging"),
            Self::Overlay => f.write_str("the overlay belongs to another rule set"),
        }
    }
}

/// Everything one transaction holds.
pub(crate) struct Core<'p> {
    data: Data,
    state: State<'p>,
    /// What the tenant's own rules change, where it has some: nothing of `state`.
    own: Option<State<'p>>,
}

impl<'p> Core<'p> {
    pub(crate) fn new(ruleset: &'p Ruleset, overlay: &'p Overlay, conn: &Connection<'_>) -> Self {
        let room = Room::take();
        let now = conn.now_unix_us;
        let own = overlay.own.as_deref();
        let own = own.map(|(rules, plain)| State::new(rules, plain, now, StateRoom::default()));
        let state = State::new(ruleset, overlay, now, room.state);
        let mut core = Self { data: room.data, state, own };
        core.step(1, |core| {
            if !overlay.belongs_to(ruleset) {
                return Err(Failure::Overlay);
            }
            request::connection(&mut core.data, ruleset, conn)
        });
        core
    }

    /// Has entries of persistent collections read from `store`, and changes written to it.
    pub(crate) fn set_collections(&mut self, store: &'p dyn Collections) {
        self.state.bound.store = Some(store);
    }

    /// Has every step taken down.
    pub(crate) fn explain(&mut self) {
        self.state.explained = true;
        self.state.drop_course();
        // Links are asked that nobody asks otherwise.
        self.state.work.lift();
    }

    /// Phase 1.
    pub(crate) fn request_head(&mut self, head: &RequestHead<'_>) {
        let line = head.method.len() + head.target.len() + head.protocol.len();
        self.state.work.carry(line + fields_len(head.headers));
        self.phase(1, |data, state| {
            state.apply_conditions(head);
            request::head(data, state, head)
        });
    }

    pub(crate) fn request_body_wanted(&self) -> bool {
        self.state.engine != EngineMode::Off && self.state.request_body_access
    }

    /// Phase 2.
    pub(crate) fn request_body(&mut self, body: &[u8], complete: bool) {
        let (wanted, given) = (self.request_body_wanted(), body.len());
        self.state.work.carry(if wanted { given } else { 0 });
        self.phase(2, |data, state| {
            let limit = state.ruleset.settings.request_body_limit;
            let (body, is_over) = if wanted { state.within(limit, 2, body) } else { (body, false) };
            let complete = complete && (body.len() == given);
            data.set_flag(Variable::InboundDataError, is_over || !complete)?;
            if wanted { request_body::read(data, state, body, complete) } else { Ok(()) }
        });
    }

    /// Phase 3.
    pub(crate) fn response_head(&mut self, head: &ResponseHead<'_>) {
        self.state.work.carry(head.protocol.len() + fields_len(head.headers));
        self.phase(3, |data, _| response::head(data, head));
    }

    pub(crate) fn response_body_wanted(&self) -> bool {
        self.state.engine != EngineMode::Off
            && self.state.response_body_access
            && response::is_inspected(&self.data, &self.state.ruleset.settings)
    }

    /// Phase 4.
    pub(crate) fn response_body(&mut self, body: &[u8], complete: bool) {
        let wanted = self.response_body_wanted();
        let bounded = self.state.engine != EngineMode::Off
            && response::is_inspected(&self.data, &self.state.ruleset.settings);
        self.state.work.carry(if wanted { body.len() } else { 0 });
        self.phase(4, |data, state| {
            let limit = state.ruleset.settings.response_body_limit;
            let (body, is_over) = if bounded { state.within(limit, 4, body) } else { (body, false) };
            data.set_flag(Variable::OutboundDataError, is_over || !complete)?;
            if wanted {
                data.set(Variable::ResponseBody, body)?;
                data.set_number(Variable::ResponseContentLength, body.len() as u64)?;
            }
            Ok(())
        });
    }

    /// The refusal, if there is one by now.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.state.record.refused.as_ref()
    }

    /// Phase 5, then the record.
    pub(crate) fn finish(mut self) -> Record {
        let over_budget = self.state.work.is_over();
        self.state.work.allow_logging();
        self.phase(LOGGING, |_, _| Ok(()));
        let (units, rules) = self.state.work.close();
        self.state.record.work = WorkDone { units, over_budget, rules };
        self.state.record.inbound_score = self.score(&self.state.ruleset.scores.inbound);
        self.state.record.outbound_score = self.score(&self.state.ruleset.scores.outbound);
        let (record, state) = self.state.close();
        Room { data: self.data, state }.give_back();
        record
    }

    /// Takes in what has come to be known, then runs the rules of `phase`: those too when not all could be taken in
    /// and detection lets the transaction go on.
    fn phase(&mut self, phase: u8, take_in: impl FnOnce(&mut Data, &mut State<'p>) -> Result<(), Failure>) {
        self.step(phase, |core| {
            take_in(&mut core.data, &mut core.state)?;
            core.state.work.keep(core.data.len(), core.data.bytes_len())
        });
        if self.goes_on(phase) {
            self.own_phase(phase);
        }
        if self.goes_on(phase) {
            self.step(phase, |core| core.state.run_phase(&core.data, phase));
        }
    }

    /// Whether there are rules of `phase` to ask.
    fn goes_on(&self, phase: u8) -> bool {
        phase == LOGGING || (self.refusal().is_none() && !self.state.work.is_over())
    }

    /// Does one step; a failure or a panic in it refuses.
    fn step(&mut self, phase: u8, step: impl FnOnce(&mut Self) -> Result<(), Failure>) {
        // A panic may leave values half made: every one of them is valid bytes, and the transaction is refused.
        let done = catch_unwind(AssertUnwindSafe(|| step(self))).unwrap_or(Err(Failure::Panic));
        if let Err(failure) = done {
            self.state.fail(phase, &failure);
        }
    }

    fn score(&self, slots: &[u32]) -> i64 {
        let value = slots.iter().find_map(|slot| self.state.slot(*slot));
        value.map_or(0, |value| value.number(&self.state.forms.made))
    }
}

/// Bytes of header names and values.
fn fields_len(fields: &[(&[u8], &[u8])]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}
