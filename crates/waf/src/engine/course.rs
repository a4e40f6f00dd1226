//! What of a rule set is decided before there is any request, for one overlay.
//!
//! A rule set spends much of itself on its own settings: it gives variables their defaults, and asks at every turn
//! whether the paranoia level is high enough to go on. Under one overlay the answers are always the same. So they are
//! given once. All rules are gone through in the order in which they run, with what is known of TX variables by then:
//!
//! - a rule whose first link looks at known variables and does not match is left out;
//! - one that matches and then does nothing but jump is left out, with all that it jumps over;
//! - one that matches and then sets known variables has done so: the variables are in the *opening*, which a transaction
//!   begins with. As that moves it before rules that are kept, they must not notice: none may read or set what it sets, or
//!   end or redirect the phase;
//! - any other is kept, and what it may set is not known from there on.
//!
//! A transaction along its course has the record and the variables of one through all rules (but for what logging rules
//! see of variables after an engine failure in phase 1). Rules that something may take away during the transaction, or that have
//! a mode of their own, are kept. An explained transaction runs every rule, and one without a filter too: tests hold
//! the records of both ways to each other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::bag::Value;
use super::data::Data;
use super::sights::View;
use super::state::{State, StateRoom};
use crate::bits::RuleBits;
use crate::filter::{CheckId, Filter};
use crate::overlay::Overlay;
use crate::program::{
    Change, Control, EngineMode, Exception, Exclude, Gate, Link, MemberName, Outcome, Program, Rule, Select,
    Target,
};
use crate::ruleset::{Ruleset, new_identity};
use crate::template::{Part, Template};
use crate::variable::Variable;

/// TX variables of captures, by slot: any rule may set them.
const CAPTURES: usize = 10;

/// The rules that are left to run under an overlay, and what those before them have set.
#[derive(Debug)]
pub(crate) struct Course {
    /// Tells courses and rule sets of this process apart.
    pub(super) identity: u64,
    /// TX variables by slot, behind the opening.
    pub(super) opening: Box<[Option<Opened>]>,
    /// Per phase, the rules to run in order.
    pub(super) phases: [Box<[u32]>; 5],
    /// The filter's check of each one's first link, where that tells whether the rule has to be asked.
    pub(super) checks: [Box<[Option<CheckId>]>; 5],
    /// Of the links whose argument holds macros: those for which it is always the same.
    pub(super) steady: Box<[u64]>,
    /// What these rules look at.
    pub(super) view: View,
}

impl Course {
    /// The course through `ruleset` under `overlay`; `None` where nothing can be told.
    pub(crate) fn new(ruleset: &Ruleset, overlay: &Overlay) -> Option<Self> {
        let program = &ruleset.program;
        let words = program.filter.as_ref().map(Filter::words)?;
        let removals = removals(overlay)?;
        if ruleset.settings.engine == EngineMode::Off || program.rules.iter().any(reads_an_earlier_match) {
            return None;
        }
        let mut probe = State::new(ruleset, overlay, 0, StateRoom::default());
        probe.work.lift();
        let names = program.names.len();
        let mut planner = Planner {
            program,
            overlay,
            probe,
            data: Data::new(),
            known: vec![true; names],
            read: vec![false; names],
            removals,
            folds: true,
            is_blind: false,
            steady: vec![0; words],
        };
        let phases = [1, 2, 3, 4, 5].map(|phase| planner.plan(phase));
        let mut links = vec![0; words];
        for rule in phases.iter().flatten().map(|index| &program.rules[*index as usize]) {
            let sieves = rule.links.iter().filter_map(|link| link.sieve.as_ref());
            sieves.for_each(|sieve| sieve.check.put_into(&mut links));
        }
        let check = |index: &u32| match program.gates[*index as usize] {
            Gate::Values(check) => Some(check),
            Gate::Open | Gate::Variable { .. } => None,
        };
        Some(Self {
            identity: new_identity(),
            opening: planner.probe.opening(),
            checks: phases.each_ref().map(|phase| phase.iter().map(check).collect()),
            view: View::new(&program.shown, links.into()),
            steady: planner.steady.into(),
            phases,
        })
    }

    /// What makes it this course and no other.
    fn content(&self) -> (&[Option<Opened>], &[Box<[u32]>; 5]) {
        (&self.opening, &self.phases)
    }
}

/// The value of a variable behind the opening.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Opened {
    Number(i64),
    Text(Box<[u8]>),
}

impl Opened {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Fixed(text),
        }
    }
}

/// The courses of the overlays that there are: most overlays have one of a few.
#[derive(Debug, Default)]
pub(crate) struct Courses(Mutex<HashMap<u64, Weak<Course>>>);

impl Courses {
    /// The same as `course`, or it.
    pub(crate) fn share(&self, course: Course) -> Arc<Course> {
        let mut hasher = DefaultHasher::new();
        course.content().hash(&mut hasher);
        // Whoever panicked left a whole table.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = known
            .get(&hasher.finish())
            .and_then(Weak::upgrade)
            .filter(|known| known.content() == course.content());
        shared.unwrap_or_else(|| {
            let course = Arc::new(course);
            known.insert(hasher.finish(), Arc::downgrade(&course));
            // Now and then, so that the table does not outgrow what is there.
            if known.len().is_power_of_two() {
                known.retain(|_, course| course.strong_count() > 0);
            }
            course
        })
    }
}

/// What is known of a rule.
enum Verdict {
    /// It never matches.
    Never,
    /// It has matched and done all that it does, but for its jump.
    Done,
    /// That is to be seen.
    Open,
}

struct Planner<'p> {
    program: &'p Program,
    overlay: &'p Overlay,
    /// Holds the variables as far as they are known.
    probe: State<'p>,
    data: Data,
    /// Per slot, whether no rule that was kept may have changed it.
    known: Vec<bool>,
    /// Per slot, whether a rule that was kept reads it.
    read: Vec<bool>,
    /// Rules that may have been taken away by now, each set as a whole.
    removals: Vec<&'p RuleBits>,
    /// Whether rules that were kept let a later one run before them.
    folds: bool,
    /// Whether rules may have lost targets in TX by now.
    is_blind: bool,
    /// Links whose argument is known, as a set of checks.
    steady: Vec<u64>,
}

impl<'p> Planner<'p> {
    /// The rules of `phase` that are kept.
    fn plan(&mut self, phase: u8) -> Box<[u32]> {
        let program = self.program;
        let order = &program.phases[usize::from(phase) - 1];
        let mut reached = vec![false; order.len() + 1];
        reached[0] = true;
        let mut course = Vec::new();
        for (place, &index) in order.iter().enumerate() {
            if !reached[place] {
                continue;
            }
            let rule = &program.rules[index as usize];
            let target = rule.jump.map(|target| order.partition_point(|index| *index < target));
            // Where another jump lands on the way of this one, whoever comes along there has to be told to jump.
            let is_obstructed = target.is_some_and(|target| reached[place + 1..target].contains(&true));
            let skipped = target.map_or(&[][..], |target| &order[place + 1..target]);
            match self.verdict(index as usize, rule, (!is_obstructed).then_some(skipped)) {
                Verdict::Never => reached[place + 1] = true,
                Verdict::Done => reached[target.unwrap_or(place + 1)] = true,
                Verdict::Open => {
                    course.push(index);
                    self.keep(index as usize, rule);
                    reached[place + 1] = true;
                    if let Some(target) = target {
                        reached[target] = true;
                    }
                }
            }
        }
        // What runs in a later phase need not come to run.
        self.folds = false;
        course.into()
    }

    /// What is known of `rule`, which skips `skipped` if it matches; `None` if it has to be there to jump.
    fn verdict(&mut self, index: usize, rule: &'p Rule, skipped: Option<&[u32]>) -> Verdict {
        let Some(link) = rule.links.first().filter(|link| self.is_known_to(link)) else {
            return Verdict::Open;
        };
        match self.probe.would_match(&self.data, link) {
            Some(false) => Verdict::Never,
            Some(true)
                if skipped.is_some_and(|skipped| !self.is_taken(index, skipped))
                    && self.is_folded(rule, link) =>
            {
                Verdict::Done
            }
            Some(true) | None => Verdict::Open,
        }
    }

    /// Whether something other than the rule itself may decide what it does. Where it may be taken away, it is as well
    /// gone if all that it skips is taken away with it, and it does nothing else.
    fn is_taken(&self, index: usize, skipped: &[u32]) -> bool {
        let sets = self.program.rules[index].links.iter().any(|link| !link.changes.is_empty());
        let spares =
            |removal: &RuleBits| sets || skipped.iter().any(|rule| !removal.contains(*rule as usize));
        self.overlay.removed.contains(index)
            || self.overlay.mode_of(index).is_some()
            || self.removals.iter().any(|removal| removal.contains(index) && spares(removal))
    }

    /// Runs `rule`, whose first link matches, if it does nothing that would be noticed but jump.
    fn is_folded(&mut self, rule: &'p Rule, link: &Link) -> bool {
        let is_quiet = !rule.log
            && matches!(rule.outcome, Outcome::Pass)
            && rule.severity.is_none()
            && link.controls.is_empty();
        let sets = link.capture || !link.changes.is_empty();
        // A chain could match half, and have set something by then.
        is_quiet
            && rule.links.len() == 1
            && (!sets
                || self.folds && !link.capture && link.changes.iter().all(|change| self.is_free(change)))
            && self.probe.run_rule(&self.data, rule) == Ok(true)
    }

    /// Whether `change` may as well be made before any rule that was kept.
    fn is_free(&self, change: &Change) -> bool {
        let Change::Variable { collection: Variable::Tx, name: MemberName::Slot(slot), .. } = change else {
            return false;
        };
        let slot = *slot as usize;
        self.known[slot]
            && !self.read[slot]
            && change.templates().flat_map(Template::parts).all(|part| self.is_fixed(part))
    }

    /// Takes note of what a rule that is kept may do.
    fn keep(&mut self, index: usize, rule: &'p Rule) {
        self.folds &= matches!(rule.outcome, Outcome::Pass)
            && rule.jump.is_none()
            && self.overlay.mode_of(index).is_none();
        for link in &rule.links {
            let texts = link.message.iter().chain(&link.log_data).chain(link.check.template());
            let texts = texts.chain(link.changes.iter().flat_map(Change::templates));
            let in_texts = texts.flat_map(Template::parts).filter_map(|part| match part {
                Part::Text(_) => None,
                Part::Value(target) => Some(target),
            });
            for target in link.targets.iter().chain(in_texts) {
                match target.select {
                    Select::Slot(slot) => self.read[slot as usize] = true,
                    _ => self.folds &= target.variable != Variable::Tx,
                }
            }
            if link.capture {
                self.known[..CAPTURES].fill(false);
            }
            for change in &link.changes {
                self.forget(change);
            }
            for control in &link.controls {
                match control {
                    Control::RemoveRules(rules) => self.removals.push(rules),
                    Control::RemoveTarget(exception) => self.is_blind |= exception.variable == Variable::Tx,
                    Control::Engine(_) => self.folds = false,
                    Control::BodyProcessor(_)
                    | Control::RequestBodyAccess(_)
                    | Control::ResponseBodyAccess(_)
                    | Control::Exclude(_) => {}
                }
            }
        }
        for link in &rule.links {
            if let (Some(template), Some(sieve)) = (link.check.template(), &link.sieve)
                && template.parts().iter().all(|part| self.is_fixed(part) && !self.is_pinned(part))
            {
                sieve.check.put_into(&mut self.steady);
            }
        }
    }

    /// What `change` sets is not known any more.
    fn forget(&mut self, change: &Change) {
        match change {
            Change::Variable { collection: Variable::Tx, name: MemberName::Slot(slot), .. } => {
                self.known[*slot as usize] = false;
            }
            Change::Variable { collection: Variable::Tx, name: MemberName::Dynamic(name), .. } => {
                let begins = beginning(name);
                for (slot, known) in self.known.iter_mut().enumerate() {
                    *known &= !self.program.names.name(slot as u32).starts_with(&begins);
                }
            }
            Change::Variable { .. } | Change::Bind { .. } => {}
        }
        for (slot, _) in &self.overlay.seeds {
            self.known[*slot as usize] = true;
        }
    }

    /// Whether `part` is what the tenant chose: another tenant's course may be the same.
    fn is_pinned(&self, part: &Part) -> bool {
        let Part::Value(Target { select: Select::Slot(slot), .. }) = part else { return false };
        self.overlay.seeds.iter().any(|(pinned, _)| pinned == slot)
    }

    /// Whether all that `link` looks at is known.
    fn is_known_to(&self, link: &Link) -> bool {
        let mut argument = link.check.template().into_iter().flat_map(Template::parts);
        !self.is_blind
            && link.targets.iter().all(|target| self.is_known(target))
            && argument.all(|part| self.is_fixed(part))
    }

    fn is_known(&self, target: &Target) -> bool {
        matches!(target.select, Select::Slot(slot) if self.known[slot as usize])
    }

    fn is_fixed(&self, part: &Part) -> bool {
        match part {
            Part::Text(_) => true,
            Part::Value(target) => self.is_known(target),
        }
    }
}

/// Sets of rules that may be taken away from a transaction before any rule runs; `None` if targets in TX may be.
fn removals(overlay: &Overlay) -> Option<Vec<&RuleBits>> {
    let mut rules: Vec<&RuleBits> = Vec::new();
    let mut exceptions: Vec<&Exception> = overlay.exceptions.iter().collect();
    for conditional in &overlay.conditional {
        rules.extend(&conditional.removed);
        exceptions.extend(&conditional.exceptions);
    }
    // What else own rules take away is of their own rule set.
    let own = overlay.own.as_deref().into_iter().flat_map(|(own, _)| &own.program.rules);
    for control in own.flat_map(|rule| &rule.links).flat_map(|link| &link.controls) {
        match control {
            Control::Exclude(Exclude::Rules(removed)) => rules.push(removed),
            Control::Exclude(Exclude::Target(exception)) => exceptions.push(exception),
            _ => {}
        }
    }
    exceptions.iter().all(|exception| exception.variable != Variable::Tx).then_some(rules)
}

/// Whether what `rule` does depends on what a rule before it matched.
fn reads_an_earlier_match(rule: &Rule) -> bool {
    let is_match = |variable: Variable| {
        matches!(
            variable,
            Variable::MatchedVar
                | Variable::MatchedVarName
                | Variable::MatchedVars
                | Variable::MatchedVarsNames
        )
    };
    let reads = |template: &Template| template.variables().any(is_match);
    let first = rule.links.iter().position(|link| !link.action).unwrap_or(rule.links.len());
    let at_once = rule.links[..first].iter().any(|link| {
        let texts = link.message.iter().chain(&link.log_data);
        link.changes.iter().flat_map(Change::templates).chain(texts).any(reads)
    });
    let looks = rule.links.get(first).is_some_and(|link| {
        link.targets.iter().any(|target| is_match(target.variable))
            || link.check.template().is_some_and(reads)
    });
    at_once || looks
}

/// What every name begins with that `name` can become, in lower case.
fn beginning(name: &Template) -> Vec<u8> {
    match name.parts() {
        [Part::Text(text), ..] => text.to_ascii_lowercase(),
        _ => Vec::new(),
    }
}
