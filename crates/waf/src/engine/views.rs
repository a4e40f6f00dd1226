//! What the filter says of all values of a view together.
//!
//! A link whose check is in none of its views' sets matches nothing: most rules end there, without a look at single
//! values. Targets that are taken away from single rules count as if they were there: the sets are for all rules, and
//! may say *maybe* too often, never *no*.
//!
//! Views of the same values are one where the same steps of their chains may change one of them: the bytes of all
//! values together tell.

use super::Failure;
use super::data::Data;
use super::state::State;
use crate::alphabet::Alphabet;
use crate::filter::Filter;
use crate::program::{Link, Program};
use crate::transform::Transformation;

/// The sets of one phase, found when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Per view, where its set is.
    sets: Vec<Option<u32>>,
    shown: Vec<Seen>,
    checks: Vec<u64>,
    /// Room for the steps of the view that is looked at.
    steps: Vec<Transformation>,
}

/// What is known of the values that some views show.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The bytes of all of them.
    alphabet: Option<Alphabet>,
    /// Where the set is of the views whose chains come down to these steps.
    sets: Vec<(Vec<Transformation>, u32)>,
}

impl Views {
    /// Forgets what was known: request and response are known better when a phase begins.
    pub(super) fn begin(&mut self, program: &Program) {
        self.sets.clear();
        self.sets.resize(program.views.len(), None);
        self.shown.clear();
        self.shown.resize(program.shown.len(), Seen::default());
        self.checks.clear();
    }
}

impl State<'_> {
    /// Whether `link` cannot match, whatever rules did.
    pub(super) fn is_ruled_out(
        &mut self,
        data: &Data,
        filter: &Filter,
        link: &Link,
    ) -> Result<bool, Failure> {
        let Some(sieve) = &link.sieve else { return Ok(false) };
        let Some(views) = &sieve.views else { return Ok(false) };
        for &view in views {
            let view = view as usize;
            let set = match self.views.sets[view] {
                Some(set) => set,
                None => self.look(data, filter, view)?,
            };
            if sieve.check.is_in(&self.views.checks[set as usize..][..filter.words()]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds the checks that the values of `view` may match; gives where they are.
    fn look(&mut self, data: &Data, filter: &Filter, view: usize) -> Result<u32, Failure> {
        let Program { chains, views, shown, .. } = &self.ruleset.program;
        let view_of = &views[view];
        let values = &shown[view_of.shown as usize];
        let forms = &mut self.forms;
        let Views { sets, shown: seen, checks: found, steps } = &mut self.views;
        let seen = &mut seen[view_of.shown as usize];
        let alphabet = *seen.alphabet.get_or_insert_with(|| {
            data.each(values).fold(Alphabet::EMPTY, |all, value| all.with(forms.alphabet(data, value)))
        });
        steps.clear();
        steps.extend(chains.steps_that_touch(view_of.chain, alphabet));
        if let Some((_, known)) = seen.sets.iter().find(|(known, _)| known == steps) {
            sets[view] = Some(*known);
            return Ok(*known);
        }
        let start = found.len();
        found.resize(start + filter.words(), 0);
        let checks = &mut found[start..];
        for value in data.each(values) {
            let form = forms.form(chains, data, value, view_of.chain)?;
            let more = forms.checks(data, filter, form);
            checks.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
        }
        seen.sets.push((steps.clone(), start as u32));
        sets[view] = Some(start as u32);
        Ok(start as u32)
    }
}
