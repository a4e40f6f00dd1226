//! Runs the rules of a phase.

use std::borrow::Cow;

use super::bag::{Value, number};
use super::collect::Candidate;
use super::data::Data;
use super::forms::transform;
use super::state::{LOGGING, MatchedVariable, Place, State};
use super::{Failure, explain};
use crate::check::Check;
use crate::filter::Filter;
use crate::limits;
use crate::operator::{Captures, Operator, OperatorFailure, RuntimeOperator};
use crate::program::{Allow, Change, ChangeKind, Control, EngineMode, Gate, Link, MemberName, Outcome, Rule};
use crate::record::{Cause, Match, Refusal};
use crate::step::{Skip, Step};
use crate::template::{Part, Template};

/// Where a phase goes on.
enum Next {
    Step(usize),
    End,
}

impl<'p> State<'p> {
    /// Runs the rules of `phase`, 1-5, until its end or a refusal.
    pub(super) fn run_phase(&mut self, data: &Data, phase: u8) -> Result<(), Failure> {
        let program: &'p [u32] = &self.ruleset.program.phases[usize::from(phase) - 1];
        if phase != LOGGING && self.is_allowed(phase) {
            self.explain_skips(program, Skip::Allowed);
            return Ok(());
        }
        let filter = self.ruleset.program.filter.as_ref();
        self.views.begin(self.ruleset.program.views.len(), filter.map_or(0, Filter::words));
        let mut step = 0;
        while let Some(&index) = program.get(step) {
            if self.engine == EngineMode::Off {
                self.explain(|_, _| Step::EngineOff { phase });
                return Ok(());
            }
            step += 1;
            let index = index as usize;
            if self.is_removed(index) {
                self.explain_skips(&program[step - 1..step], Skip::Removed);
                continue;
            }
            let rule = &self.ruleset.program.rules[index];
            self.rule = index;
            match self.run_rule(data, rule) {
                Ok(true) => match self.conclude(data, rule, step) {
                    Next::Step(next) => {
                        self.explain_skips(program.get(step..next).unwrap_or_default(), Skip::Jumped);
                        step = next;
                    }
                    Next::End => {
                        if self.record.refused.is_none() {
                            self.explain_skips(&program[step..], Skip::Allowed);
                        }
                        return Ok(());
                    }
                },
                Ok(false) => {}
                // In detection mode one rule's failure must not hide what the others would have found.
                Err(failure) if self.engine == EngineMode::DetectionOnly => self.fail(phase, &failure),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn is_allowed(&self, phase: u8) -> bool {
        match self.allowed {
            Some(Allow::Transaction) => true,
            Some(Allow::Request) => phase <= 2,
            Some(Allow::Phase) | None => false,
        }
    }

    /// Runs the links of a rule as long as they match; a full match is `true`, and is in the record.
    fn run_rule(&mut self, data: &Data, rule: &'p Rule) -> Result<bool, Failure> {
        self.matched.clear();
        let mut matched = None;
        for (index, link) in rule.links.iter().enumerate() {
            let returned = self.run_link(data, link, index)?;
            self.explain(|_, rule_id| Step::Returned { rule_id, link: index, matched: returned });
            if !returned {
                return Ok(false);
            }
            if index == 0 && !link.action {
                matched.clone_from(&self.last_match);
            }
        }
        for control in rule.links.iter().rev().flat_map(|link| &link.controls) {
            self.control(data, control);
        }
        if let Some(severity) = rule.severity {
            self.highest_severity =
                Some(self.highest_severity.map_or(severity, |highest| highest.min(severity)));
        }
        self.write(data, rule, matched);
        Ok(true)
    }

    /// Asks link `place` of the current rule about all its values.
    fn run_link(&mut self, data: &Data, link: &'p Link, place: usize) -> Result<bool, Failure> {
        if link.action {
            self.act(data, link)?;
            return Ok(true);
        }
        if !self.explained && link.gate.as_ref().is_some_and(|gate| self.is_shut(gate)) {
            return Ok(false);
        }
        // What is left out because it cannot match is to be seen in an explanation.
        let filter = self.ruleset.program.filter.as_ref().filter(|_| !self.explained);
        if let Some(filter) = filter
            && self.is_ruled_out(data, filter, link)?
        {
            return Ok(false);
        }
        let mut candidates = Vec::new();
        for target in &link.targets {
            self.collect(data, target, &mut candidates);
        }
        if candidates.is_empty() {
            return Ok(false);
        }
        self.evaluations += candidates.len() as u64;
        if self.evaluations > limits::EVALUATIONS {
            return Err(Failure::Limit("evaluations"));
        }
        let asked = self.ask(data, &link.check);
        let chains = &self.ruleset.program.chains;
        let mut any = false;
        for candidate in &candidates {
            let mut previous: Option<Vec<u8>> = None;
            for &stage in &link.stages {
                let form = match candidate.id {
                    Some(id) => {
                        let form = self.forms.form(chains, data, id, stage)?;
                        if let (Some(filter), Some(sieve)) = (filter, &link.sieve)
                            && !sieve.check.is_in(self.forms.checks(data, filter, form))
                        {
                            previous = None;
                            continue;
                        }
                        Cow::Borrowed(self.forms.bytes(data, form))
                    }
                    None => transform(chains, &candidate.value, stage),
                };
                if previous.as_ref().is_some_and(|previous| **previous == *form) {
                    continue;
                }
                let matches = asked.matches(&form, &mut self.captures)? != link.negated;
                if matches || link.stages.len() > 1 {
                    previous = Some(form.into_owned());
                }
                self.explain_value(place, asked.argument(), candidate, stage, matches);
                if let Some(form) = previous.as_ref().filter(|_| matches) {
                    self.remember(candidate, link, form)?;
                    self.act(data, link)?;
                    any = true;
                }
            }
        }
        Ok(any)
    }

    /// Whether a link with this gate cannot match. A variable that holds text is left to the operator.
    fn is_shut(&self, gate: &Gate) -> bool {
        match self.slot(gate.slot) {
            None => true,
            Some(Value::Number(number)) => !gate.opens(*number),
            Some(Value::Text(_)) => false,
        }
    }

    /// Makes a link's check ready for the values of this evaluation.
    fn ask(&self, data: &Data, check: &'p Check) -> Asked<'p> {
        match check {
            Check::Always => Asked::Always,
            Check::Compiled(operator) => Asked::Compiled(operator),
            Check::Expanded(operator, argument) => Asked::Expanded(*operator, self.expand(data, argument)),
        }
    }

    /// Notes a value that matched, for `MATCHED_VAR` and its kin, and what was captured.
    fn remember(&mut self, candidate: &Candidate<'_>, link: &Link, form: &[u8]) -> Result<(), Failure> {
        if link.capture && !self.captures.is_empty() {
            self.store_captures(form)?;
        }
        let matched = MatchedVariable { name: candidate.name(), value: form.to_vec() };
        if self.matched.len() >= limits::MATCHED_VALUES {
            return Err(Failure::Limit("values matched by a chain"));
        }
        self.matched.push(matched.clone());
        self.last_match = Some(matched);
        Ok(())
    }

    /// Does what a link does on each match.
    fn act(&mut self, data: &Data, link: &'p Link) -> Result<(), Failure> {
        link.changes.iter().try_for_each(|change| self.change(data, change))
    }

    fn change(&mut self, data: &Data, change: &'p Change) -> Result<(), Failure> {
        let place = match &change.name {
            MemberName::Slot(slot) => Place::Slot(*slot),
            MemberName::Dynamic(name) => self.place(change.collection, self.expand(data, name)),
        };
        let sum = |amount: &Template, sign: i64| {
            let present = self.variable(&place).map_or(0, Value::number);
            let amount = number(&self.expand(data, amount)).saturating_mul(sign);
            Some(Value::Number(present.saturating_add(amount)))
        };
        let value = match &change.kind {
            ChangeKind::Set(value) => Some(Value::new(self.expand(data, value))),
            ChangeKind::Add(amount) => sum(amount, 1),
            ChangeKind::Subtract(amount) => sum(amount, -1),
            ChangeKind::Delete => None,
        };
        self.set_variable(&place, value)?;
        self.explain_set(&place);
        Ok(())
    }

    fn control(&mut self, data: &Data, control: &'p Control) {
        self.explain(|_, rule_id| Step::Controlled { rule_id, control: explain::control(control) });
        match control {
            Control::RemoveRules(rules) => self.remove(rules),
            Control::RemoveTarget(exception) => self.exceptions.push(exception),
            Control::Engine(mode) => self.set_engine(*mode),
            Control::BodyProcessor(processor) => self.processor = Some(*processor),
            Control::RequestBodyAccess(on) => self.request_body_access = *on,
            Control::ResponseBodyAccess(on) => self.response_body_access = *on,
            Control::SetSession(value) => self.session = self.expand(data, value),
            Control::SetUser(value) => self.user = self.expand(data, value),
        }
    }

    /// `template` with its macros replaced.
    pub(super) fn expand(&self, data: &Data, template: &Template) -> Vec<u8> {
        let mut text = Vec::new();
        for part in template.parts() {
            match part {
                Part::Text(literal) => text.extend_from_slice(literal),
                Part::Value(target) => text.extend_from_slice(&self.first(data, target).unwrap_or_default()),
            }
        }
        text
    }

    /// Writes a full match into the record. Texts are expanded now, when the whole chain has matched: CRS writes its
    /// log data for that moment.
    fn write(&mut self, data: &Data, rule: &Rule, matched: Option<MatchedVariable>) {
        let full = self.record.matches.len() >= limits::MATCHES;
        let kept = is_reported(rule) && !full;
        self.record.dropped_matches += u64::from(is_reported(rule) && full);
        if !kept && !self.explained {
            return;
        }
        let text = |of: fn(&Link) -> Option<&Template>| {
            let template = rule.links.iter().rev().find_map(of);
            readable(&template.map(|template| self.expand(data, template)).unwrap_or_default())
        };
        let (message, log_data) = (text(|link| link.message.as_ref()), text(|link| link.log_data.as_ref()));
        self.explain(|_, rule_id| Step::Matched {
            rule_id,
            message: message.clone(),
            data: log_data.clone(),
            outcome: explain::outcome(&rule.outcome),
        });
        if !kept {
            return;
        }
        let MatchedVariable { name, mut value } = matched.unwrap_or_default();
        value.truncate(limits::RECORDED_BYTES);
        self.record.matches.push(Match {
            rule_id: rule.info.id,
            phase: rule.info.phase,
            message,
            data: log_data,
            severity: rule.severity,
            tags: rule.info.tags.clone(),
            variable: readable(&name),
            value,
            file: rule.info.file.clone(),
            line: rule.info.line,
            logged: rule.log,
        });
    }

    /// Does what a full match asks for; `step` is the next of the phase's program.
    fn conclude(&mut self, data: &Data, rule: &'p Rule, step: usize) -> Next {
        match &rule.outcome {
            Outcome::Pass => {}
            Outcome::Allow(allow) => {
                self.allowed = Some(*allow);
                return Next::End;
            }
            // There is nothing left to refuse once the answer is out.
            Outcome::Refuse { .. } if rule.info.phase == LOGGING => {}
            Outcome::Refuse { status, drop, redirect } => {
                let redirect = redirect.as_ref().map(|target| self.expand(data, target));
                let cause = Cause::Rule(rule.info.id);
                self.refuse(Refusal {
                    cause,
                    status: *status,
                    phase: rule.info.phase,
                    drop: *drop,
                    redirect,
                });
                if self.record.refused.is_some() {
                    return Next::End;
                }
            }
        }
        Next::Step(match rule.jump {
            Some(jump) => jump as usize,
            None => step + rule.skip as usize,
        })
    }
}

/// An operator with its argument at hand.
enum Asked<'p> {
    Always,
    Compiled(&'p Operator),
    Expanded(RuntimeOperator, Vec<u8>),
}

impl Asked<'_> {
    /// The argument that macros made.
    fn argument(&self) -> Option<&[u8]> {
        match self {
            Self::Expanded(_, argument) => Some(argument),
            Self::Always | Self::Compiled(_) => None,
        }
    }

    fn matches(&self, input: &[u8], captures: &mut Captures) -> Result<bool, Failure> {
        let answer = match self {
            Self::Always => {
                captures.clear();
                Ok(true)
            }
            Self::Compiled(operator) => operator.matches(input, captures),
            Self::Expanded(operator, argument) => operator.matches(argument, input, captures),
        };
        answer.map_err(|failure| match failure {
            OperatorFailure::Panicked { .. } => Failure::Panic,
            other => Failure::Operator(other.to_string()),
        })
    }
}

fn is_reported(rule: &Rule) -> bool {
    rule.log || matches!(rule.outcome, Outcome::Refuse { .. })
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limits::RECORDED_BYTES)]).into_owned()
}
