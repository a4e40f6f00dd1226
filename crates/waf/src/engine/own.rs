//! The tenant's own rules: run on the same values before the shared rules of each phase, on a state of their own.
//!
//! Whether and how the transaction is judged at all is the shared rules' to say; the own state follows. Back come the
//! record, a refusal, and exclusions that were checked when the rules were compiled, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state::State;
use super::{Core, Failure};
use crate::program::Exclude;
use crate::record::Record;
use crate::variable::Variable;

impl Core<'_> {
    /// Runs the own rules of `phase`. A failure among them refuses, as one among the shared rules does.
    pub(super) fn own_phase(&mut self, phase: u8) {
        let Self { data, state, own: Some(own) } = self else { return };
        own.follow(state);
        // One account for all rules.
        std::mem::swap(&mut own.work, &mut state.work);
        let counted = own.work.rules_counted();
        // As in `Core::step`: what a panic leaves half made is valid, and the transaction is refused.
        let done =
            catch_unwind(AssertUnwindSafe(|| own.run_phase(data, phase))).unwrap_or(Err(Failure::Panic));
        if let Err(failure) = done {
            own.fail(phase, &failure);
        }
        own.work.forget_rules_behind(counted);
        std::mem::swap(&mut own.work, &mut state.work);
        state.take_from(own);
    }
}

impl<'p> State<'p> {
    /// Takes over how the transaction is judged and read.
    fn follow(&mut self, shared: &State<'_>) {
        self.engine = shared.engine;
        self.allowed = shared.allowed;
        self.processor = shared.processor;
        self.explained = shared.explained;
    }

    /// Takes what own rules left behind.
    fn take_from(&mut self, own: &mut State<'p>) {
        let Record {
            matches,
            dropped_matches,
            inbound_score: _,
            outbound_score: _,
            refused,
            would_refuse,
            internal_errors,
            steps,
            dropped_steps,
            work: _,
        } = std::mem::take(&mut own.record);
        let record = &mut self.record;
        record.matches.extend(matches);
        record.dropped_matches += dropped_matches;
        record.refused = record.refused.take().or(refused);
        record.would_refuse = record.would_refuse.take().or(would_refuse);
        record.internal_errors.extend(internal_errors);
        record.steps.extend(steps);
        record.dropped_steps += dropped_steps;
        for exclude in own.excluded.drain(..) {
            match exclude {
                Exclude::Rules(rules) => self.remove(rules),
                Exclude::Target(exception) => self.exceptions.push(exception),
            }
        }
    }

    /// Whether some rule, shared or the tenant's own, looks at `variable`.
    pub(super) fn is_read(&self, variable: Variable) -> bool {
        let own = self.overlay.own.as_deref();
        self.ruleset.program.variables.contains(variable)
            || own.is_some_and(|(rules, _)| rules.program.variables.contains(variable))
    }
}
