//! Which links look at which values, gathered while links are built.

use std::collections::HashMap;

use crate::filter::CheckId;
use crate::program::{ChainId, Chains, Shown, Target};
use crate::walk::Walk;

/// The values that links look at, each selection once.
#[derive(Default)]
pub(super) struct Gathering {
    shown: Vec<(Shown, Vec<(ChainId, CheckId)>)>,
    /// By what they are, written out: patterns have no equality of their own.
    known: HashMap<String, usize>,
}

impl Gathering {
    /// Takes in a link that looks at `targets`, each after all of `stages`.
    pub(super) fn add(&mut self, targets: &[Target], stages: &[ChainId], check: CheckId) {
        for target in targets {
            let index = self.intern(target);
            self.shown[index].1.extend(stages.iter().map(|stage| (*stage, check)));
        }
    }

    /// Everything shown.
    pub(super) fn finish(self, chains: &Chains, words: usize) -> Box<[Shown]> {
        let shown = self.shown.into_iter();
        shown.map(|(shown, uses)| Shown { walk: Walk::new(chains, &uses, words), ..shown }).collect()
    }

    fn intern(&mut self, target: &Target) -> usize {
        let Target { variable, select, .. } = target;
        *self.known.entry(format!("{variable:?} {select:?}")).or_insert_with(|| {
            let shown = Shown { variable: *variable, select: select.clone(), walk: Walk::default() };
            self.shown.push((shown, Vec::new()));
            self.shown.len() - 1
        })
    }
}
