//! Which values a link has to be asked about.
//!
//! What the filter says of a value, in all forms that links look at, is one set of links that may match it, found by
//! its [`Walk`](crate::walk::Walk)s. Each value of request and response is looked at once, before the rules of the first
//! phase that knows it. Together the sets are one: a rule whose first link is not in it is passed by. A link that is
//! asked looks at the values in whose set it is. Targets that are taken away from single rules count as if they were
//! there: the sets are for all rules, and may say *maybe* too often, never *no*.

use std::collections::BTreeMap;

use super::Failure;
use super::collect::{Shows, groups};
use super::data::{Data, Group, ValueId};
use super::known::{self, Known, Repeats};
use super::state::State;
use super::text::{Named, Text};
use crate::check::Check;
use crate::filter::{CheckId, Filter, unite};
use crate::program::{Gate, Link, Shown, Sieve};
use crate::variable::Variable;

/// What the links that are left to run look at.
#[derive(Debug)]
pub(crate) struct View {
    /// The links, as a set of checks.
    links: Box<[u64]>,
    /// What is shown of members of groups.
    members: Box<[Part]>,
    /// What is shown of variables that are one value.
    scalars: Box<[(Variable, Box<[u32]>)]>,
}

/// What is shown of the values, or the names, of a group's members.
#[derive(Debug)]
struct Part {
    group: Group,
    shows: Shows,
    shown: Box<[u32]>,
}

impl View {
    /// Of all links that look at something of `shown`; sets have `words` words.
    pub(crate) fn whole(shown: &[Shown], words: usize) -> Self {
        Self::new(shown, vec![u64::MAX; words].into())
    }

    /// Of `links`.
    pub(crate) fn new(shown: &[Shown], links: Box<[u64]>) -> Self {
        let mut members: BTreeMap<(Group, Shows), Vec<u32>> = BTreeMap::new();
        let mut scalars: BTreeMap<Variable, Vec<u32>> = BTreeMap::new();
        for (shown, index) in shown.iter().zip(0..).filter(|(shown, _)| shown.walk.meets(&links)) {
            match groups(shown.variable) {
                Some((groups, shows)) => {
                    for group in groups {
                        members.entry((*group, shows)).or_default().push(index);
                    }
                }
                None => scalars.entry(shown.variable).or_default().push(index),
            }
        }
        Self {
            links,
            members: members
                .into_iter()
                .map(|((group, shows), shown)| Part { group, shows, shown: shown.into() })
                .collect(),
            scalars: scalars.into_iter().map(|(variable, list)| (variable, list.into())).collect(),
        }
    }
}

/// What is known of the values that links look at.
#[derive(Debug, Default)]
pub(super) struct Sights {
    /// Sets of links, one behind the other; the first is what all others hold together.
    sets: Vec<u64>,
    /// Per group, what was seen of its members, in order.
    members: [[Vec<Seen>; Shows::COUNT]; Group::COUNT],
    /// In the order of [`View::scalars`].
    scalars: Vec<Seen>,
    /// The values that the current link is asked about.
    asked: Vec<(usize, Option<Known>)>,
    /// Whether not everything could be looked at: then everything may match.
    is_blind: bool,
}

/// A value and the links that may match it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    key: Option<ValueId>,
    value: ValueId,
    /// Where its set is.
    set: usize,
    known: Option<Known>,
}

impl Sights {
    /// Forgets everything, and makes room for sets of `words` words.
    pub(super) fn start(&mut self, words: usize) {
        let Self { sets, members, scalars, asked, is_blind } = self;
        sets.clear();
        sets.resize(words, 0);
        members.iter_mut().flatten().for_each(Vec::clear);
        scalars.clear();
        asked.clear();
        *is_blind = false;
    }

    /// Whether some value may match the link of `check`.
    pub(super) fn may_match(&self, check: CheckId) -> bool {
        check.is_in(&self.sets) || self.is_blind
    }

    /// From now on everything may match.
    pub(super) fn give_up(&mut self) {
        self.is_blind = true;
    }

    /// Bytes of room that is kept.
    pub(super) fn room(&self) -> usize {
        self.sets.capacity() * size_of::<u64>()
            + self.members.iter().flatten().map(Vec::capacity).sum::<usize>() * size_of::<Seen>()
    }
}

impl<'p> State<'p> {
    /// Looks at the values that were not there before.
    pub(super) fn look(&mut self, data: &Data) -> Result<(), Failure> {
        let program = &self.ruleset.program;
        let Some(filter) = program.filter.as_ref().filter(|_| !self.explained) else { return Ok(()) };
        let (view, identity) = match self.course {
            Some(course) => (&course.view, course.identity),
            None => (&program.whole, self.ruleset.identity),
        };
        let mut looking = Looking { state: self, data, filter, view, identity };
        for (index, (variable, shown)) in view.scalars.iter().enumerate() {
            let value = data.scalar(*variable);
            let known = looking.state.sights.scalars.get(index);
            if known.is_some_and(|known| known.value == value) {
                continue;
            }
            let seen = looking.see(
                shown,
                Repeats::of(*variable),
                index + Group::COUNT * Shows::COUNT,
                None,
                value,
            )?;
            let scalars = &mut looking.state.sights.scalars;
            match scalars.get_mut(index) {
                Some(known) => *known = seen,
                None => scalars.push(seen),
            }
        }
        for Part { group, shows, shown } in &view.members {
            let (group, shows) = (*group, *shows);
            let part = group as usize * Shows::COUNT + shows as usize;
            let seen = looking.state.sights.members[group as usize][shows as usize].len();
            for member in &data.members(group)[seen..] {
                let repeats = Repeats::of_members(group, shows);
                let seen = looking.see(shown, repeats, part, Some(member.key), shows.of(*member))?;
                looking.state.sights.members[group as usize][shows as usize].push(seen);
            }
        }
        self.work.share(self.forms.take_units())
    }

    /// Whether the first link of a rule cannot match, told without a look at the rule.
    pub(super) fn is_shut(&self, gate: &Gate) -> bool {
        match gate {
            Gate::Open => false,
            Gate::Variable { slot, compare } => self.cannot_hold(*slot, *compare),
            Gate::Values(check) => self.ruleset.program.filter.is_some() && !self.sights.may_match(*check),
        }
    }

    /// Whether [`State::sift`] finds the values of a link.
    pub(super) fn is_sifted(&self, sieve: &Sieve) -> bool {
        sieve.is_settled && !self.explained && !self.sights.is_blind
    }

    /// Adds the values of `link` that it may match to `candidates`.
    pub(super) fn sift(
        &mut self,
        data: &Data,
        filter: &Filter,
        (link, check): (&'p Link, CheckId),
        candidates: &mut Vec<Named<'p>>,
    ) {
        let mut asked = std::mem::take(&mut self.sights.asked);
        asked.clear();
        let sights = &self.sights;
        if !check.is_in(&sights.sets) {
            self.sights.asked = asked;
            return;
        }
        let words = filter.words();
        let view = self.course.map_or(&self.ruleset.program.whole, |course| &course.view);
        for target in &link.targets {
            if self.is_excepted(target, None) {
                continue;
            }
            let variable = target.variable;
            let mut ask = |seen: &Seen| {
                if check.is_in(&sights.sets[seen.set..][..words])
                    && seen.key.is_none_or(|key| {
                        let key = data.get(key);
                        target.select.covers(key) && !self.is_excepted(target, Some(key))
                    })
                {
                    let (key, value) = (seen.key.map(Text::Kept), Text::Kept(seen.value));
                    candidates.push(Named { variable, key, count: false, value });
                    asked.push((seen.set, seen.known));
                }
            };
            if let Some((groups, shows)) = groups(variable) {
                let seen = groups.iter().flat_map(|group| &sights.members[*group as usize][shows as usize]);
                seen.for_each(ask);
            } else {
                let place = view.scalars.iter().position(|(known, _)| *known == variable);
                place.and_then(|place| sights.scalars.get(place)).into_iter().for_each(&mut ask);
            }
        }
        self.sights.asked = asked;
    }

    /// Remembers that `link` of `check` matched none of the values that [`State::sift`] gave last, if that holds for
    /// any transaction: its argument may be another the next time.
    pub(super) fn none_matched(&mut self, words: usize, link: &Link, check: CheckId) {
        let is_steady = match link.check {
            Check::Always | Check::Compiled(_) => true,
            Check::Expanded(..) => self.course.is_some_and(|course| check.is_in(&course.steady)),
        };
        if !is_steady {
            return;
        }
        let Sights { sets, asked, .. } = &mut self.sights;
        for (set, known) in asked.drain(..) {
            check.take_out_of(&mut sets[set..][..words]);
            if let Some(known) = known {
                known::revise(known, |set| check.take_out_of(set));
            }
        }
    }
}

/// What it takes to look at a value.
struct Looking<'a, 'p> {
    state: &'a mut State<'p>,
    data: &'a Data,
    filter: &'a Filter,
    view: &'a View,
    /// Whose links' sets they are.
    identity: u64,
}

impl Looking<'_, '_> {
    /// Finds the links that may match `value`, which is the member `key` of a collection or the whole of a variable,
    /// and known by `part`; `shown` is what is shown of such.
    fn see(
        &mut self,
        shown: &[u32],
        repeats: Repeats,
        part: usize,
        key: Option<ValueId>,
        value: ValueId,
    ) -> Result<Seen, Failure> {
        let Self { state, data, filter, view, identity } = self;
        let State { ruleset, forms, sights: Sights { sets, .. }, .. } = &mut **state;
        let program = &ruleset.program;
        let words = filter.words();
        let set = sets.len();
        sets.resize(set + words, 0);
        let (before, own) = sets.split_at_mut(set);
        let name = key.map(|key| data.get(key));
        let find = |own: &mut [u64]| {
            shown.iter().try_for_each(|index| {
                let of = &program.shown[*index as usize];
                if name.is_none_or(|name| of.select.covers(name)) {
                    forms.walk(&program.chains, data, filter, (*index, of, &view.links), value, own)
                } else {
                    Ok(())
                }
            })
        };
        let known = known::recall((*identity, part, name, data.get(value)), repeats, own, find)?;
        unite(&mut before[..words], own);
        Ok(Seen { key, value, set, known })
    }
}
