//! Runs the rules of a phase.

use std::borrow::Cow;

use super::asked::Asked;
use super::bag::Value;
use super::data::Data;
use super::forms::transform;
use super::state::{LOGGING, Place, State};
use super::text::{Named, Text};
use super::{Failure, explain};
use crate::check::Check;
use crate::filter::CheckId;
use crate::limits;
use crate::program::{
    Allow, ChainId, Change, ChangeKind, Compare, Control, EngineMode, Link, MemberName, Outcome, Rule,
};
use crate::record::{Cause, Match, Refusal};
use crate::step::{Skip, Step};
use crate::template::Template;

/// Where a phase goes on.
enum Next {
    Rule,
    /// At the first rule with this index or a later one.
    Jump(u32),
    End,
}

impl<'p> State<'p> {
    /// Runs the rules of `phase`, 1-5, until its end or a refusal.
    pub(super) fn run_phase(&mut self, data: &Data, phase: u8) -> Result<(), Failure> {
        if phase == 1 {
            self.opened = true;
        } else if !self.opened {
            // Refused before the first rule: nothing has set a variable.
            self.drop_course();
        }
        let course: &'p [u32] = match self.course {
            Some(course) => &course.phases[usize::from(phase) - 1],
            None => &self.ruleset.program.phases[usize::from(phase) - 1],
        };
        if phase != LOGGING && self.is_allowed(phase) {
            self.explain_skips(course, Skip::Allowed);
            return Ok(());
        }
        self.rule = self.ruleset.program.rules.len();
        if let Err(failure) = self.look(data) {
            if self.engine != EngineMode::DetectionOnly || self.work.is_over() {
                return Err(failure);
            }
            self.fail(phase, &failure);
            self.sights.give_up();
        }
        let checks = self.course.map_or(&[][..], |course| &course.checks[usize::from(phase) - 1]);
        let mut step = 0;
        loop {
            // Most rules look at nothing that they may match.
            let left = checks.get(step..).unwrap_or_default();
            let waits = |check: &Option<CheckId>| check.is_none_or(|check| self.sights.may_match(check));
            step += left.iter().position(waits).unwrap_or(left.len());
            let Some(&index) = course.get(step) else { break };
            if self.engine == EngineMode::Off {
                self.explain(|_, _| Step::EngineOff { phase });
                return Ok(());
            }
            step += 1;
            let index = index as usize;
            // What is left out because it cannot match is to be seen in an explanation.
            if self.is_shut(&self.ruleset.program.gates[index]) && !self.explained {
                continue;
            }
            if self.is_removed(index) {
                self.explain_skips(&course[step - 1..step], Skip::Removed);
                continue;
            }
            self.rule = index;
            let rule = &self.ruleset.program.rules[index];
            let ran = match self.overlay.mode_of(index) {
                None => self.run_rule(data, rule),
                Some(mode) => self.run_moded(data, rule, mode),
            };
            self.work.settle(index);
            match ran {
                Ok(_) if phase != LOGGING && self.record.refused.is_some() => return Ok(()),
                Ok(true) => match self.conclude(data, rule) {
                    Next::Rule => {}
                    Next::Jump(target) => {
                        let next = course.partition_point(|index| *index < target);
                        self.explain_skips(course.get(step..next).unwrap_or_default(), Skip::Jumped);
                        step = next;
                    }
                    Next::End => {
                        if self.record.refused.is_none() {
                            self.explain_skips(&course[step..], Skip::Allowed);
                        }
                        return Ok(());
                    }
                },
                Ok(false) => {}
                // In detection mode one rule's failure must not hide what the others would have found.
                Err(failure) if self.engine == EngineMode::DetectionOnly && !self.work.is_over() => {
                    self.fail(phase, &failure);
                }
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
    pub(super) fn run_rule(&mut self, data: &Data, rule: &'p Rule) -> Result<bool, Failure> {
        self.matched.clear();
        let mut matched = None;
        let is_reported = is_reported(rule);
        for (index, link) in rule.links.iter().enumerate() {
            let returned = self.run_link(data, link, index)?;
            self.work.share(self.forms.take_units())?;
            self.explain(|_, rule_id| Step::Returned { rule_id, link: index, matched: returned });
            if !returned {
                return Ok(false);
            }
            if index == 0 && is_reported && !link.action {
                matched.clone_from(&self.last_match);
            }
        }
        for control in rule.links.iter().rev().flat_map(|link| &link.controls) {
            self.control(control);
        }
        if let Some(severity) = rule.severity {
            self.highest_severity =
                Some(self.highest_severity.map_or(severity, |highest| highest.min(severity)));
        }
        if is_reported || self.explained {
            self.write(data, rule, matched);
        }
        Ok(true)
    }

    /// Whether `link` would match, leaving no trace in variables; `None` if that cannot be told.
    pub(super) fn would_match(&mut self, data: &Data, link: &'p Link) -> Option<bool> {
        self.undo = Some(Vec::new());
        let answer = self.run_link(data, link, 0);
        for (place, before) in self.undo.take().into_iter().flatten().rev() {
            self.set_variable(&place, before).ok()?;
        }
        answer.ok()
    }

    /// Asks link `place` of the current rule about all its values.
    fn run_link(&mut self, data: &Data, link: &'p Link, place: usize) -> Result<bool, Failure> {
        if link.action {
            self.act(data, link)?;
            return Ok(true);
        }
        self.work.spend(self.visits(data, link))?;
        let mut candidates = std::mem::take(&mut self.candidates);
        let judged = self.judge_targets(data, link, place, &mut candidates);
        candidates.clear();
        self.candidates = candidates;
        judged
    }

    fn judge_targets(
        &mut self,
        data: &Data,
        link: &'p Link,
        place: usize,
        candidates: &mut Vec<Named<'p>>,
    ) -> Result<bool, Failure> {
        if let (Some(filter), Some(sieve)) = (&self.ruleset.program.filter, &link.sieve)
            && self.is_sifted(sieve)
        {
            self.sift(data, filter, (link, sieve.check), candidates);
            let any = self.judge(data, link, place, (candidates, true))?;
            if !any {
                self.none_matched(filter.words(), link, sieve.check);
            }
            return Ok(any);
        }
        for target in &link.targets {
            self.collect(data, target, candidates);
        }
        self.judge(data, link, place, (candidates, false))
    }

    /// Asks about each of `candidates`, which the filter may have sifted, and acts on those that match; whether any did.
    fn judge(
        &mut self,
        data: &Data,
        link: &'p Link,
        place: usize,
        (candidates, sifted): (&[Named<'p>], bool),
    ) -> Result<bool, Failure> {
        if candidates.is_empty() {
            return Ok(false);
        }
        let asked = self.ask(data, &link.check);
        let mut any = false;
        for candidate in candidates {
            if let (Some(compare), Text::Number(number)) = (&link.compare, &candidate.value) {
                self.work.ask(0)?;
                let matches = compare.matches(*number);
                self.explain_value(data, (place, None), candidate, ChainId::RAW, matches);
                if matches {
                    self.captures.clear();
                    self.accept(data, link, candidate, candidate.value.clone())?;
                    any = true;
                }
                continue;
            }
            let mut previous: Option<Text<'p>> = None;
            for &stage in &link.stages {
                // One form that was let through needs no second look.
                let known = sifted && link.stages.len() == 1;
                let Some(form) = self.form(data, link, (&candidate.value, known), stage)? else {
                    previous = None;
                    continue;
                };
                let bytes = form.bytes(data, &self.forms);
                if previous.is_some_and(|previous| previous.bytes(data, &self.forms) == bytes) {
                    previous = Some(form);
                    continue;
                }
                self.work.ask(asked.units(bytes.len()))?;
                let matches = asked.matches(&bytes, &mut self.captures)? != link.negated;
                drop(bytes);
                self.explain_value(data, (place, Some(&asked)), candidate, stage, matches);
                if matches {
                    self.accept(data, link, candidate, form.clone())?;
                    any = true;
                }
                previous = Some(form);
            }
        }
        Ok(any)
    }

    /// `value` after the chain `stage`; `None` if the filter tells that it does not match. Of a `known` one it has told.
    fn form(
        &mut self,
        data: &Data,
        link: &Link,
        (value, known): (&Text<'p>, bool),
        stage: ChainId,
    ) -> Result<Option<Text<'p>>, Failure> {
        let program = &self.ruleset.program;
        let Text::Kept(value) = value else {
            self.forms.charge_steps(&program.chains, value.len(data, &self.forms), stage);
            return Ok(Some(match transform(&program.chains, &value.bytes(data, &self.forms), stage) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(changed) => Text::Own(changed),
            }));
        };
        let form = self.forms.form(&program.chains, data, *value, stage)?;
        let is_ruled_out = match (&program.filter, &link.sieve) {
            (Some(filter), Some(sieve)) if !known && !self.explained => {
                !sieve.check.is_in(self.forms.checks(data, filter, form))
            }
            _ => false,
        };
        Ok((!is_ruled_out).then_some(Text::Form(form)))
    }

    /// Whether the TX variable at `slot` is none for which `compare` holds. Text is left to the operator.
    pub(super) fn cannot_hold(&self, slot: u32, compare: Compare) -> bool {
        match self.slot(slot) {
            None => true,
            Some(Value::Number(number)) => !compare.matches(number),
            Some(Value::Made(_) | Value::Fixed(_)) => false,
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

    /// Takes in a value that matched in this form, for `MATCHED_VAR` and its kin, and what was captured, and acts.
    fn accept(
        &mut self,
        data: &Data,
        link: &'p Link,
        candidate: &Named<'p>,
        form: Text<'p>,
    ) -> Result<(), Failure> {
        if link.capture && !self.captures.is_empty() {
            self.store_captures(data, &form)?;
        }
        if let Check::Compiled(operator) = &link.check
            && operator.locates()
        {
            self.locate(data, operator, &form)?;
        }
        if self.matched.len() >= limits::MATCHED_VALUES {
            return Err(Failure::Limit("values matched by a chain"));
        }
        self.work.matched(form.len(data, &self.forms))?;
        let matched = Named { value: form, ..candidate.clone() };
        self.matched.push(matched.clone());
        self.last_match = Some(matched);
        self.act(data, link)
    }

    /// Does what a link does on each match.
    fn act(&mut self, data: &Data, link: &'p Link) -> Result<(), Failure> {
        link.changes.iter().try_for_each(|change| self.change(data, change))
    }

    fn change(&mut self, data: &Data, change: &'p Change) -> Result<(), Failure> {
        if self.is_watched() && change.outlives() {
            return Ok(());
        }
        let (collection, name, kind) = match change {
            Change::Variable { collection, name, kind } => (*collection, name, kind),
            Change::Bind { collection, key } => return self.bind(data, *collection, key),
        };
        let place = match name {
            MemberName::Slot(slot) => Place::Slot(*slot),
            MemberName::Dynamic(name) => {
                let mut text = std::mem::take(&mut self.scratch);
                self.expand_into(data, name, &mut text);
                self.place(collection, text)
            }
        };
        let sum = |amount: &'p Template, sign: i64| {
            let present = self.variable(&place).map_or(0, |value| value.number(&self.forms.made));
            let amount = self.number(data, amount).saturating_mul(sign);
            Some(Value::Number(present.saturating_add(amount)))
        };
        let value = match kind {
            ChangeKind::Set(value) => Some(self.evaluate(data, value)?),
            ChangeKind::Add(amount) => sum(amount, 1),
            ChangeKind::Subtract(amount) => sum(amount, -1),
            ChangeKind::Delete => None,
            ChangeKind::Expire(_) | ChangeKind::Decay { .. } => self.variable(&place),
        };
        let value = self.remember(data, &place, kind, value)?;
        self.set_variable(&place, value)?;
        self.explain_set(&place);
        if let Place::Member(_, mut name) = place {
            name.clear();
            self.scratch = name;
        }
        Ok(())
    }

    fn control(&mut self, control: &'p Control) {
        if self.is_watched() {
            return;
        }
        self.explain(|_, rule_id| Step::Controlled { rule_id, control: explain::control(control) });
        match control {
            Control::RemoveRules(rules) => self.remove(rules),
            Control::RemoveTarget(exception) => self.exceptions.push(exception),
            Control::Engine(mode) => self.set_engine(*mode),
            Control::BodyProcessor(processor) => self.processor = Some(*processor),
            Control::RequestBodyAccess(on) => self.request_body_access = *on,
            Control::ResponseBodyAccess(on) => self.response_body_access = *on,
            Control::Exclude(exclude) => self.excluded.push(exclude),
        }
    }

    /// Writes a full match into the record. Texts are expanded now, when the whole chain has matched: CRS writes its
    /// log data for that moment.
    fn write(&mut self, data: &Data, rule: &'p Rule, matched: Option<Named<'p>>) {
        let full = self.record.matches.len() >= limits::MATCHES;
        let kept = is_reported(rule) && !full;
        self.record.dropped_matches += u64::from(is_reported(rule) && full);
        if !kept && !self.explained {
            return;
        }
        let text = |of: fn(&'p Link) -> Option<&'p Template>| {
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
        let (name, value) = matched.map_or_else(Default::default, |matched| {
            let value = matched.value.bytes(data, &self.forms);
            let recorded = value[..value.len().min(limits::RECORDED_BYTES)].to_vec();
            (matched.name(data, &self.forms), recorded)
        });
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

    /// Does what a full match asks for.
    fn conclude(&mut self, data: &Data, rule: &'p Rule) -> Next {
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
        rule.jump.map_or(Next::Rule, Next::Jump)
    }
}

fn is_reported(rule: &Rule) -> bool {
    rule.log || matches!(rule.outcome, Outcome::Refuse { .. })
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limits::RECORDED_BYTES)]).into_owned()
}
