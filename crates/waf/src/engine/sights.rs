//! Which values a link has to be asked about.
//!
//! What the filter says of a value, in all forms that links look at, is one set of links that may match it: its
//! [`Walk`](crate::walk::Walk). A link looks at the values in whose set it is, and at none if it is in no set: most end
//! there. Targets that are taken away from single rules count as if they were there: the sets are for all rules, and may
//! say *maybe* too often, never *no*.

use std::ops::Range;

use super::Failure;
use super::data::{Data, ValueId};
use super::known::{self, Known};
use super::state::State;
use super::text::{Named, Text};
use crate::filter::{CheckId, Filter};
use crate::program::{Gate, Link, Program, Sieve};

/// What is known of the values that links look at.
#[derive(Debug, Default)]
pub(super) struct Sights {
    /// Per selection of values.
    shown: Vec<Sight>,
    /// Per audience, where the union of what it sees is in `sets`, once it is known for this phase.
    audiences: Vec<Option<usize>>,
    seen: Vec<Seen>,
    sets: Vec<u64>,
    /// Places in `seen` of the values that the current link is asked about.
    asked: Vec<usize>,
}

/// A selection of values.
#[derive(Debug, Clone, Default)]
struct Sight {
    /// Tells whether there are other values by now; 0 if it was never looked at.
    stamp: u64,
    seen: Range<usize>,
    /// Where the union of their sets is.
    union: usize,
}

/// A value and the links that may match it.
#[derive(Debug, Clone)]
struct Seen {
    key: Option<ValueId>,
    value: ValueId,
    /// Where its set is.
    set: usize,
    known: Option<Known>,
}

impl Sights {
    /// Makes room for a transaction over `program`.
    pub(super) fn start(&mut self, program: &Program) {
        self.shown.clear();
        self.shown.resize(program.shown.len(), Sight::default());
        self.seen.clear();
        self.sets.clear();
        self.begin(program);
    }

    /// Begins a phase: request and response may be known better.
    pub(super) fn begin(&mut self, program: &Program) {
        self.audiences.clear();
        self.audiences.resize(program.audiences.len(), None);
    }
}

impl<'p> State<'p> {
    /// Whether the first link of a rule cannot match, told without a look at the rule.
    pub(super) fn is_shut(&mut self, data: &Data, gate: &Gate) -> Result<bool, Failure> {
        match gate {
            Gate::Open => Ok(false),
            Gate::Variable { slot, compare } => Ok(self.cannot_hold(*slot, *compare)),
            Gate::Values { check, audience } => match &self.ruleset.program.filter {
                Some(filter) => Ok(!self.is_in_sight(data, filter, *audience, *check)?),
                None => Ok(false),
            },
        }
    }

    /// Adds the values of `link` that it may match to `candidates`.
    pub(super) fn sift(
        &mut self,
        data: &Data,
        filter: &Filter,
        (link, sieve, audience): (&'p Link, &Sieve, u32),
        candidates: &mut Vec<Named<'p>>,
    ) -> Result<(), Failure> {
        self.sights.asked.clear();
        if !self.is_in_sight(data, filter, audience, sieve.check)? {
            return Ok(());
        }
        let program: &'p Program = &self.ruleset.program;
        for (target, shown) in link.targets.iter().zip(&program.audiences[audience as usize]) {
            let Sight { seen, union, .. } = &self.sights.shown[*shown as usize];
            let is_in = |set: usize| sieve.check.is_in(&self.sights.sets[set..][..filter.words()]);
            if !is_in(*union) || self.is_excepted(target, None) {
                continue;
            }
            for place in seen.clone() {
                let Seen { key, value, set, .. } = self.sights.seen[place];
                let is_excepted = || key.is_some_and(|key| self.is_excepted(target, Some(data.get(key))));
                if sieve.check.is_in(&self.sights.sets[set..][..filter.words()]) && !is_excepted() {
                    candidates.push(Named {
                        variable: target.variable,
                        key: key.map(Text::Kept),
                        count: false,
                        value: Text::Kept(value),
                    });
                    self.sights.asked.push(place);
                }
            }
        }
        Ok(())
    }

    /// Remembers that the link of `check` matched none of the values that [`State::sift`] gave last.
    pub(super) fn none_matched(&mut self, words: usize, check: CheckId) {
        let Sights { seen, sets, asked, .. } = &mut self.sights;
        for place in asked.drain(..) {
            let Seen { set, known, .. } = seen[place];
            check.take_out_of(&mut sets[set..][..words]);
            if let Some(known) = known {
                known::revise(known, |set| check.take_out_of(set));
            }
        }
    }

    /// Whether some value that `audience` looks at may match the link of `check`.
    fn is_in_sight(
        &mut self,
        data: &Data,
        filter: &Filter,
        audience: u32,
        check: CheckId,
    ) -> Result<bool, Failure> {
        let union = match self.sights.audiences[audience as usize] {
            Some(union) => union,
            None => self.look(data, filter, audience as usize)?,
        };
        Ok(check.is_in(&self.sights.sets[union..][..filter.words()]))
    }

    /// Finds what `audience` sees; gives where the union of its sets is.
    fn look(&mut self, data: &Data, filter: &Filter, audience: usize) -> Result<usize, Failure> {
        let words = filter.words();
        let looked_at = &self.ruleset.program.audiences[audience];
        for shown in looked_at {
            self.look_at(data, filter, *shown)?;
        }
        let Sights { shown, audiences, sets, .. } = &mut self.sights;
        let union = if let [only] = **looked_at {
            shown[only as usize].union
        } else {
            let start = sets.len();
            sets.resize(start + words, 0);
            let (known, union) = sets.split_at_mut(start);
            for index in looked_at {
                add(union, &known[shown[*index as usize].union..]);
            }
            start
        };
        audiences[audience] = Some(union);
        self.work.share(self.forms.take_units())?;
        Ok(union)
    }

    /// Finds what may match each value of a selection, unless that is known.
    fn look_at(&mut self, data: &Data, filter: &Filter, shown: u32) -> Result<(), Failure> {
        let ruleset = self.ruleset;
        let (chains, of) = (&ruleset.program.chains, &ruleset.program.shown[shown as usize]);
        let stamp = data.stamp(of.variable);
        if self.sights.shown[shown as usize].stamp == stamp {
            return Ok(());
        }
        let words = filter.words();
        let forms = &mut self.forms;
        let Sights { shown: sights, seen, sets, .. } = &mut self.sights;
        let union = sets.len();
        sets.resize(union + words, 0);
        let first = seen.len();
        let repeats = known::repeats(of.variable);
        for (key, value) in data.each(of) {
            let set = sets.len();
            sets.resize(set + words, 0);
            let (before, own) = sets.split_at_mut(set);
            let mut find = |own: &mut [u64]| forms.walk(chains, data, filter, (shown, of), value, own);
            let known = if repeats {
                known::recall((ruleset.identity, shown, data.get(value)), own, find)?
            } else {
                find(own)?;
                None
            };
            add(&mut before[union..union + words], own);
            seen.push(Seen { key, value, set, known });
        }
        sights[shown as usize] = Sight { stamp, seen: first..seen.len(), union };
        Ok(())
    }
}

fn add(set: &mut [u64], more: &[u64]) {
    set.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
}
