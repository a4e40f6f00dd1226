//! What changes while rules run: variables, matches, what rules switched on or off.

use std::time::Instant;

use super::Failure;
use super::bag::{Bag, Value, recycle};
use super::collections::Bound;
use super::course::{Course, Opened};
use super::data::Data;
use super::forms::Forms;
use super::sights::Sights;
use super::text::{Named, Text};
use super::work::{Work, pass};
use crate::bits::RuleBits;
use crate::filter::Filter;
use crate::operator::{Captures, MAX_CAPTURES};
use crate::overlay::{Mode, Overlay};
use crate::program::{Allow, BodyProcessor, EngineMode, Exception, Exclude, Rule};
use crate::record::{Cause, Internal, Record, Refusal};
use crate::ruleset::{Ruleset, Severity};
use crate::variable::Variable;

/// The phase of the logging rules, behind the answer.
pub(super) const LOGGING: u8 = 5;
/// Status of a refusal because the engine failed.
const INTERNAL_STATUS: u16 = 500;
/// Status of a refusal because judging takes too much work: like most rules' own.
const BUDGET_STATUS: u16 = 403;

pub(super) struct State<'p> {
    pub(super) ruleset: &'p Ruleset,
    pub(super) overlay: &'p Overlay,
    pub(super) started: Instant,
    pub(super) now_unix_us: u64,
    /// What runs before any request has run, and what of the rules is left.
    pub(super) course: Option<&'p Course>,
    /// Whether phase 1 has begun.
    pub(super) opened: bool,
    /// TX variables that have a slot.
    slots: Vec<Slot<'p>>,
    /// TX variables that have none, and the other collections.
    bags: Vec<(Variable, Bag<'p>)>,
    /// Bags to come.
    spare_bags: Vec<Bag<'p>>,
    /// Room for a text that is being made.
    pub(super) scratch: Vec<u8>,
    pub(super) forms: Forms,
    pub(super) sights: Sights,
    pub(super) captures: Captures,
    /// How many of `TX:0` to `TX:9` captures may have set.
    captured: usize,
    /// What the current chain matched.
    pub(super) matched: Vec<Named<'p>>,
    pub(super) last_match: Option<Named<'p>>,
    /// Room for the values of a link, kept between links.
    pub(super) candidates: Vec<Named<'p>>,
    /// Index of the current rule.
    pub(super) rule: usize,
    /// Rules that rules removed.
    removed: Option<RuleBits>,
    /// Targets that the tenant or rules removed.
    pub(super) exceptions: Vec<&'p Exception>,
    /// What rules of the tenant's own take away from the shared ones, until these take note.
    pub(super) excluded: Vec<&'p Exclude>,
    /// While a rule runs that only detects: what it changed, as it was before.
    pub(super) undo: Option<Vec<(Place, Option<Value<'p>>)>>,
    pub(super) engine: EngineMode,
    pub(super) processor: Option<BodyProcessor>,
    pub(super) request_body_access: bool,
    pub(super) response_body_access: bool,
    pub(super) bound: Bound<'p>,
    pub(super) allowed: Option<Allow>,
    pub(super) highest_severity: Option<Severity>,
    pub(super) work: Work,
    /// Whether steps are taken down.
    pub(super) explained: bool,
    pub(super) record: Record,
}

/// Memory of a state that another can use. Nothing of a transaction is in it.
#[derive(Debug, Default)]
pub(super) struct StateRoom {
    slots: Vec<Slot<'static>>,
    bags: Vec<Bag<'static>>,
    scratch: Vec<u8>,
    forms: Forms,
    sights: Sights,
    matched: Vec<Named<'static>>,
    candidates: Vec<Named<'static>>,
}

impl StateRoom {
    /// Bytes of the parts that grow with the request.
    pub(super) fn bytes(&self) -> usize {
        self.forms.room()
            + self.sights.room()
            + self.bags.iter().map(Bag::room).sum::<usize>()
            + self.scratch.capacity()
            + (self.matched.capacity() + self.candidates.capacity()) * size_of::<Named<'_>>()
    }
}

/// A TX variable.
#[derive(Debug, Clone, Copy)]
enum Slot<'p> {
    /// As the course's opening left it.
    Opening,
    Unset,
    Set(Value<'p>),
    /// The tenant's to choose, and no rule's to change.
    Pinned(i64),
}

/// Bags that are kept for the next transaction.
const SPARE_BAGS: usize = 4;

/// Where a variable that rules set is kept.
#[derive(Clone)]
pub(super) enum Place {
    /// A TX variable that has a slot.
    Slot(u32),
    /// One that has none, or one of another collection: its name in lower case.
    Member(Variable, Vec<u8>),
}

impl<'p> State<'p> {
    pub(super) fn new(ruleset: &'p Ruleset, overlay: &'p Overlay, now_unix_us: u64, room: StateRoom) -> Self {
        let StateRoom { slots, bags, scratch, forms, mut sights, matched, candidates } = room;
        let mut slots = recycle(slots);
        slots.resize(ruleset.program.names.len(), Slot::Opening);
        for (slot, value) in overlay.seeds.iter().filter(|_| overlay.belongs_to(ruleset)) {
            slots[*slot as usize] = Slot::Pinned(*value);
        }
        let course = overlay.course.as_deref();
        sights.start(ruleset.program.filter.as_ref().map_or(0, Filter::words));
        Self {
            ruleset,
            overlay,
            started: Instant::now(),
            now_unix_us,
            course: course.filter(|_| overlay.belongs_to(ruleset) && ruleset.program.filter.is_some()),
            opened: false,
            slots,
            bags: Vec::new(),
            spare_bags: bags.into_iter().map(Bag::recycle).collect(),
            scratch,
            forms,
            sights,
            captures: Captures::new(),
            captured: MAX_CAPTURES,
            matched: recycle(matched),
            last_match: None,
            candidates: recycle(candidates),
            rule: 0,
            removed: None,
            exceptions: overlay.exceptions.iter().collect(),
            excluded: Vec::new(),
            undo: None,
            engine: for_tenant(ruleset.settings.engine, overlay),
            processor: None,
            request_body_access: ruleset.settings.request_body_access,
            response_body_access: ruleset.settings.response_body_access,
            bound: Bound::default(),
            allowed: None,
            highest_severity: None,
            work: Work::new(ruleset.program.filter.is_some().then_some(overlay.work_budget())),
            explained: false,
            record: Record::default(),
        }
    }

    /// Goes through all rules instead; none has run yet.
    pub(super) fn drop_course(&mut self) {
        self.course = None;
        self.forms.clear();
        self.sights.start(self.ruleset.program.filter.as_ref().map_or(0, Filter::words));
    }

    /// Ends: gives the record, and the room for the next transaction.
    pub(super) fn close(self) -> (Record, StateRoom) {
        let Self {
            record, slots, bags, mut spare_bags, scratch, mut forms, sights, matched, candidates, ..
        } = self;
        forms.clear();
        spare_bags.extend(bags.into_iter().map(|(_, bag)| bag));
        let bags = spare_bags.into_iter().take(SPARE_BAGS).map(Bag::recycle).collect();
        let (slots, matched, candidates) = (recycle(slots), recycle(matched), recycle(candidates));
        (record, StateRoom { slots, bags, scratch, forms, sights, matched, candidates })
    }

    /// The rule that runs, or ran last.
    pub(super) fn current_rule(&self) -> Option<&'p Rule> {
        self.ruleset.program.rules.get(self.rule)
    }

    pub(super) fn is_removed(&self, rule: usize) -> bool {
        self.overlay.removed.contains(rule)
            || self.removed.as_ref().is_some_and(|removed| removed.contains(rule))
    }

    pub(super) fn remove(&mut self, rules: &RuleBits) {
        match &mut self.removed {
            Some(removed) => removed.extend(rules),
            None => self.removed = Some(rules.clone()),
        }
    }

    /// `ctl:ruleEngine`. Where the tenant chose to detect, no rule can block.
    pub(super) fn set_engine(&mut self, mode: EngineMode) {
        self.engine = for_tenant(mode, self.overlay);
    }

    pub(super) fn slot(&self, slot: u32) -> Option<Value<'p>> {
        match self.slots[slot as usize] {
            Slot::Opening => self.course?.opening[slot as usize].as_ref().map(Opened::value),
            Slot::Unset => None,
            Slot::Set(value) => Some(value),
            Slot::Pinned(number) => Some(Value::Number(number)),
        }
    }

    /// TX variables by slot, but for those that are pinned.
    pub(super) fn opening(&self) -> Box<[Option<Opened>]> {
        let of = |slot: &Slot<'_>| match slot {
            Slot::Set(Value::Number(number)) => Some(Opened::Number(*number)),
            Slot::Set(value) => value.text(&self.forms.made).map(|text| Opened::Text(text.into())),
            Slot::Opening | Slot::Unset | Slot::Pinned(_) => None,
        };
        self.slots.iter().map(of).collect()
    }

    /// The variables of `collection` that have no slot.
    pub(super) fn bag(&self, collection: Variable) -> Option<&Bag<'p>> {
        self.bags.iter().find(|(variable, _)| *variable == collection).map(|(_, bag)| bag)
    }

    /// Makes `bag` the variables of `collection`.
    pub(super) fn replace_bag(&mut self, collection: Variable, bag: Bag<'p>) {
        self.bags.retain(|(variable, _)| *variable != collection);
        self.bags.push((collection, bag));
    }

    /// The variable at `place`.
    pub(super) fn variable(&self, place: &Place) -> Option<Value<'p>> {
        match place {
            Place::Slot(slot) => self.slot(*slot),
            Place::Member(collection, name) => self.bag(*collection)?.get(name, &self.forms.made),
        }
    }

    /// Where the member `name` of TX or a named collection is.
    pub(super) fn place(&self, collection: Variable, mut name: Vec<u8>) -> Place {
        name.make_ascii_lowercase();
        match self.ruleset.program.names.find(&name).filter(|_| collection == Variable::Tx) {
            Some(slot) => Place::Slot(slot),
            None => Place::Member(collection, name),
        }
    }

    /// Sets or, with `None`, deletes the variable at `place`, unless the tenant's level or thresholds pin it.
    pub(super) fn set_variable(&mut self, place: &Place, value: Option<Value<'p>>) -> Result<(), Failure> {
        if let Some(text) = value.as_ref().and_then(|value| value.text(&self.forms.made)) {
            self.work.spend(pass(text.len()))?;
        }
        self.note_for_undo(place);
        match place {
            Place::Slot(slot) => {
                let number = *slot as usize;
                if number < MAX_CAPTURES && value.is_some() {
                    self.captured = self.captured.max(number + 1);
                }
                let slot = &mut self.slots[number];
                if !matches!(slot, Slot::Pinned(_)) {
                    *slot = value.map_or(Slot::Unset, Slot::Set);
                }
                Ok(())
            }
            Place::Member(collection, name) => {
                let known = self.bags.iter().position(|(variable, _)| variable == collection);
                let index = known.unwrap_or_else(|| {
                    self.bags.push((*collection, self.spare_bags.pop().unwrap_or_default()));
                    self.bags.len() - 1
                });
                self.bags[index].1.set(name, value, &mut self.forms.made)
            }
        }
    }

    /// Puts what an operator captured in `input` into `TX:0` to `TX:9`; those that captured nothing are unset.
    pub(super) fn store_captures(&mut self, data: &Data, input: &Text<'p>) -> Result<(), Failure> {
        let len = self.captures.len();
        // Those beyond are unset already.
        let upto = len.max(std::mem::replace(&mut self.captured, len));
        (0..upto).try_for_each(|number| {
            let mut text = std::mem::take(&mut self.scratch);
            let input = input.bytes(data, &self.forms);
            let captured = self.captures.get(number, &input).map(|capture| text.extend_from_slice(capture));
            drop(input);
            let value = match captured {
                Some(()) => Some(Value::Made(self.forms.made.keep(&text)?)),
                None => None,
            };
            text.clear();
            self.scratch = text;
            self.explain_capture(number, value);
            self.set_variable(&Place::Slot(number as u32), value)
        })
    }

    /// Refuses, or in detection mode notes that it would.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        match self.engine {
            EngineMode::On => self.record.refused = self.record.refused.take().or(Some(refusal)),
            EngineMode::DetectionOnly => {
                self.record.would_refuse = self.record.would_refuse.take().or(Some(refusal));
            }
            EngineMode::Off => {}
        }
    }

    /// Refuses because judging failed. Behind the answer, in phase 5, there is nothing left to refuse.
    pub(super) fn fail(&mut self, phase: u8, failure: &Failure) {
        let internal = match failure {
            Failure::Limit(_) => Internal::Limit,
            Failure::Operator(_) => Internal::Operator,
            Failure::Panic => Internal::Panic,
            Failure::Overlay => Internal::Overlay,
            // The request's own doing, and no failure of the engine.
            Failure::Budget => return self.refuse_without_rule(phase, Cause::Budget, BUDGET_STATUS),
        };
        self.record.internal_errors.push(match self.current_rule() {
            Some(rule) => format!("{failure} (phase {phase}, rule {})", rule.info.id),
            None => format!("{failure} (phase {phase})"),
        });
        self.refuse_without_rule(phase, Cause::Internal(internal), INTERNAL_STATUS);
    }

    fn refuse_without_rule(&mut self, phase: u8, cause: Cause, status: u16) {
        if phase != LOGGING {
            self.refuse(Refusal { cause, status, phase, drop: false, redirect: None });
        }
    }
}

fn for_tenant(mode: EngineMode, overlay: &Overlay) -> EngineMode {
    match (mode, overlay.mode()) {
        (EngineMode::On, Mode::Detect) => EngineMode::DetectionOnly,
        (mode, _) => mode,
    }
}
