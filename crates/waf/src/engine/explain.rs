//! Takes down what the engine does, for transactions that are to be explained.

use super::asked::Asked;
use super::bag::Value;
use super::data::Data;
use super::forms::transform;
use super::state::{Place, State};
use super::text::Named;
use crate::limits;
use crate::program::{ChainId, Chains, Control, EngineMode, Exclude, Outcome};
use crate::step::{Skip, Step};
use crate::transform::Transformation;
use crate::variable::Variable;

impl State<'_> {
    /// Notes a step, which is made only if somebody wants it.
    pub(super) fn explain(&mut self, step: impl FnOnce(&Self, u32) -> Step) {
        if !self.explained {
            return;
        }
        if self.record.steps.len() >= limits::STEPS {
            self.record.dropped_steps += 1;
            return;
        }
        let rule_id = self.current_rule().map_or(0, |rule| rule.info.id);
        let step = step(self, rule_id);
        self.record.steps.push(step);
    }

    /// Notes that rules, given by index, do not run.
    pub(super) fn explain_skips(&mut self, rules: &[u32], why: Skip) {
        if !self.explained {
            return;
        }
        for &index in rules {
            let rule_id = self.ruleset.program.rules[index as usize].info.id;
            self.explain(|_, _| Step::Skipped { rule_id, why });
        }
    }

    /// Notes that a link's operator was asked about a value, in each form on the way to `stage`.
    pub(super) fn explain_value(
        &mut self,
        data: &Data,
        (link, asked): (usize, Option<&Asked<'_>>),
        candidate: &Named<'_>,
        stage: ChainId,
        matched: bool,
    ) {
        self.explain(|state, rule_id| {
            let value = candidate.value.bytes(data, &state.forms);
            let chains = &state.ruleset.program.chains;
            let judged = transform(chains, &value, stage);
            let spans = asked.filter(|_| matched).map(|asked| asked.spans(&judged, &state.captures));
            Step::Judged {
                rule_id,
                link,
                argument: asked.and_then(Asked::argument).map(cut),
                variable: String::from_utf8_lossy(&candidate.name(data, &state.forms)).into_owned(),
                before: cut(&value),
                forms: forms(chains, &value, stage),
                matched,
                spans: spans.unwrap_or_default(),
                places: if matched { state.places(data, candidate) } else { Vec::new() },
            }
        });
    }

    /// Notes that capture `number` is `value`.
    pub(super) fn explain_capture(&mut self, number: usize, value: Option<Value<'_>>) {
        let Some(value) = value else { return };
        self.explain(|state, rule_id| {
            let value = cut(value.text(&state.forms.made).unwrap_or_default());
            Step::Captured { rule_id, number, value }
        });
    }

    /// Notes what was set at `place`.
    pub(super) fn explain_set(&mut self, place: &Place) {
        self.explain(|state, rule_id| {
            let (collection, name) = match place {
                Place::Slot(slot) => (Variable::Tx, state.ruleset.program.names.name(*slot)),
                Place::Member(collection, name) => (*collection, &name[..]),
            };
            let variable = format!("{}:{}", collection.name(), String::from_utf8_lossy(name));
            let value = state.variable(place).map(|value| match value.text(&state.forms.made) {
                Some(text) => cut(text),
                None => value.number(&state.forms.made).to_string().into_bytes(),
            });
            Step::Set { rule_id, variable, value }
        });
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(limits::RECORDED_BYTES)].to_vec()
}

fn forms(chains: &Chains, value: &[u8], stage: ChainId) -> Vec<(&'static str, Vec<u8>)> {
    let mut form = value.to_vec();
    let transform = |step: &Transformation| {
        form = chains.apply(*step, &form).into_owned();
        (step.name(), cut(&form))
    };
    chains.steps(stage).iter().map(transform).collect()
}

/// What an outcome is called in rules.
pub(super) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Allow(_) => "allow",
        Outcome::Refuse { redirect: Some(_), .. } => "redirect",
        Outcome::Refuse { drop: true, .. } => "drop",
        Outcome::Refuse { .. } => "deny",
    }
}

/// A control as rules write it.
pub(super) fn control(control: &Control) -> String {
    let on = |on: bool| if on { "On" } else { "Off" };
    match control {
        Control::RemoveRules(_) | Control::Exclude(Exclude::Rules(_)) => "ruleRemove".to_owned(),
        Control::RemoveTarget(exception) | Control::Exclude(Exclude::Target(exception)) => {
            format!("ruleRemoveTarget={}", exception.variable.name())
        }
        Control::Engine(mode) => format!("ruleEngine={}", mode_name(*mode)),
        Control::BodyProcessor(processor) => format!("requestBodyProcessor={}", processor.name()),
        Control::RequestBodyAccess(access) => format!("requestBodyAccess={}", on(*access)),
        Control::ResponseBodyAccess(access) => format!("responseBodyAccess={}", on(*access)),
    }
}

fn mode_name(mode: EngineMode) -> &'static str {
    match mode {
        EngineMode::On => "On",
        EngineMode::DetectionOnly => "DetectionOnly",
        EngineMode::Off => "Off",
    }
}

/// That a collection was bound, as rules write it.
pub(super) fn binding(collection: Variable) -> String {
    format!("initcol={}", collection.name())
}
