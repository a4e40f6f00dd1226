//! Rules that do not act as the overlay's mode says, and exclusions that apply to some requests only.

use super::Failure;
use super::data::Data;
use super::state::{LOGGING, Place, State};
use crate::overlay::RuleMode;
use crate::program::{EngineMode, Outcome, Rule};
use crate::record::{Cause, Refusal};
use crate::transaction::RequestHead;

/// Status of a refusal by a rule that has none of its own.
const STATUS: u16 = 403;

impl<'p> State<'p> {
    /// Finds out which exclusions apply to this request.
    pub(super) fn apply_conditions(&mut self, head: &RequestHead<'_>) {
        let overlay = self.overlay;
        for conditional in overlay.conditional.iter().filter(|conditional| conditional.when.holds(head)) {
            if let Some(removed) = &conditional.removed {
                self.remove(removed);
            }
            self.exceptions.extend(&conditional.exceptions);
        }
    }

    /// Runs a rule with a mode of its own; `true` where the phase is to go on as after a match.
    pub(super) fn run_moded(&mut self, data: &Data, rule: &'p Rule, mode: RuleMode) -> Result<bool, Failure> {
        match mode {
            RuleMode::Off => Ok(false),
            RuleMode::Detect => {
                let severity = self.highest_severity;
                self.undo = Some(Vec::new());
                let ran = self.run_rule(data, rule);
                for (place, before) in self.undo.take().into_iter().flatten().rev() {
                    self.set_variable(&place, before)?;
                }
                self.highest_severity = severity;
                ran.map(|_| false)
            }
            RuleMode::Block => {
                let matched = self.run_rule(data, rule)?;
                if matched && rule.info.phase != LOGGING && self.engine != EngineMode::Off {
                    let (status, drop) = match rule.outcome {
                        Outcome::Refuse { status, drop, redirect: None } => (status, drop),
                        _ => (STATUS, false),
                    };
                    let cause = Cause::Rule(rule.info.id);
                    let refusal = Refusal { cause, status, phase: rule.info.phase, drop, redirect: None };
                    // Although the overlay may only detect.
                    self.record.refused = self.record.refused.take().or(Some(refusal));
                }
                Ok(matched)
            }
        }
    }

    /// Whether a rule runs that only detects.
    pub(super) fn is_watched(&self) -> bool {
        self.undo.is_some()
    }

    /// Keeps the variable at `place` as it is now, if what changes it is to be taken back.
    pub(super) fn note_for_undo(&mut self, place: &Place) {
        if self.undo.is_none() {
            return;
        }
        let before = self.variable(place);
        if let Some(undo) = &mut self.undo {
            undo.push((place.clone(), before));
        }
    }
}
