//! What the filter says of all values of a view together.
//!
//! A link whose check is in none of its views' sets matches nothing: most rules end there, without a look at single
//! values. Targets that are taken away from single rules count as if they were there: the sets are for all rules, and
//! may say *maybe* too often, never *no*.

use super::Failure;
use super::data::Data;
use super::state::State;
use crate::filter::Filter;
use crate::program::Link;

/// The sets of one phase, found when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Views {
    is_known: Vec<bool>,
    checks: Vec<u64>,
}

impl Views {
    /// Forgets what was known: request and response are known better when a phase begins.
    pub(super) fn begin(&mut self, views: usize, words: usize) {
        self.is_known.clear();
        self.is_known.resize(views, false);
        self.checks.resize(views * words, 0);
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
        let words = filter.words();
        for &view in views {
            let view = view as usize;
            if !self.views.is_known[view] {
                self.look(data, filter, view)?;
            }
            if sieve.check.is_in(&self.views.checks[view * words..][..words]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds the checks that the values of `view` may match.
    fn look(&mut self, data: &Data, filter: &Filter, view: usize) -> Result<(), Failure> {
        let program = &self.ruleset.program;
        let shown = &program.views[view];
        let words = filter.words();
        let checks = &mut self.views.checks[view * words..][..words];
        checks.fill(0);
        let forms = &mut self.forms;
        data.each(shown.variable, &shown.select, |value| {
            let form = forms.form(&program.chains, data, value, shown.chain)?;
            let more = forms.checks(data, filter, form);
            checks.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
            Ok(())
        })?;
        self.views.is_known[view] = true;
        Ok(())
    }
}
