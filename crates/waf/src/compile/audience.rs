//! Which links look at which values, gathered while links are built.

use std::collections::HashMap;

use crate::filter::CheckId;
use crate::program::{ChainId, Chains, Shown, Target};
use crate::walk::Walk;

/// The values that links look at, each selection once, and the links' selections together, each set once.
#[derive(Default)]
pub(super) struct Audiences {
    shown: Vec<(Shown, Vec<(ChainId, CheckId)>)>,
    /// By what they are, written out: patterns have no equality of their own.
    known_shown: HashMap<String, u32>,
    list: Vec<Box<[u32]>>,
    known: HashMap<Box<[u32]>, u32>,
}

impl Audiences {
    /// Takes in a link that looks at `targets`, each after all of `stages`; gives its audience.
    pub(super) fn add(&mut self, targets: &[Target], stages: &[ChainId], check: CheckId) -> u32 {
        let shown: Box<[u32]> = targets.iter().map(|target| self.intern(target)).collect();
        for index in &shown {
            let uses = &mut self.shown[*index as usize].1;
            uses.extend(stages.iter().map(|stage| (*stage, check)));
        }
        *self.known.entry(shown).or_insert_with_key(|shown| {
            self.list.push(shown.clone());
            self.list.len() as u32 - 1
        })
    }

    /// Everything shown.
    pub(super) fn shown(&mut self, chains: &Chains, words: usize) -> Box<[Shown]> {
        let shown = std::mem::take(&mut self.shown).into_iter();
        shown.map(|(shown, uses)| Shown { walk: Walk::new(chains, &uses, words), ..shown }).collect()
    }

    /// Per audience what it looks at, in the order of the links' targets.
    pub(super) fn into_list(self) -> Box<[Box<[u32]>]> {
        self.list.into()
    }

    fn intern(&mut self, target: &Target) -> u32 {
        let Target { variable, select, .. } = target;
        *self.known_shown.entry(format!("{variable:?} {select:?}")).or_insert_with(|| {
            let shown = Shown { variable: *variable, select: select.clone(), walk: Walk::default() };
            self.shown.push((shown, Vec::new()));
            self.shown.len() as u32 - 1
        })
    }
}
