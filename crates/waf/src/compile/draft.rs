//! Rules as gathered from their text, before indices and slots are known.

use std::sync::Arc;

use super::actions::{Actions, Disruptive};
use crate::limits;
use crate::seclang::{Mistake, OperatorText, Place, TargetText};
use crate::transform::Transformation;

/// A rule: its links, and what it inherits.
#[derive(Debug)]
pub(super) struct RuleDraft {
    pub(super) id: u32,
    pub(super) phase: u8,
    pub(super) links: Vec<LinkDraft>,
    pub(super) defaults: Option<Arc<Defaults>>,
}

/// One link of a chain.
#[derive(Debug)]
pub(super) struct LinkDraft {
    /// Targets and operator; `None` for `SecAction`.
    pub(super) looks: Option<(Vec<TargetText>, OperatorText)>,
    pub(super) actions: Actions,
    pub(super) place: Place,
}

/// A place among the rules that `skipAfter` names.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) name: String,
    /// Index of the first rule behind it.
    pub(super) rule: usize,
}

/// What `SecDefaultAction` gives to the rules of a phase.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) transformations: Vec<Transformation>,
    pub(super) disruptive: Disruptive,
    pub(super) status: Option<u16>,
    pub(super) log: bool,
    pub(super) tags: Vec<String>,
}

/// The phase of a rule that names none.
const DEFAULT_PHASE: u8 = 2;

impl RuleDraft {
    /// Begins a rule with its first link.
    pub(super) fn new(link: LinkDraft, defaults: &[Option<Arc<Defaults>>; 5]) -> Result<Self, Mistake> {
        let Some(id) = link.actions.id else { return Err(link.mistake("a rule needs an id")) };
        let phase = link.actions.phase.unwrap_or(DEFAULT_PHASE);
        let defaults = defaults[usize::from(phase) - 1].clone();
        Ok(Self { id, phase, links: vec![link], defaults })
    }

    /// Adds a further link, which may not do what only a whole chain can.
    pub(super) fn add_link(&mut self, link: LinkDraft) -> Result<(), Mistake> {
        let actions = &link.actions;
        let whole_chain = actions.disruptive.is_some()
            || actions.skip > 0
            || actions.skip_after.is_some()
            || actions.phase.is_some_and(|phase| phase != self.phase);
        if whole_chain {
            return Err(link.mistake(
                "only the first rule of a chain may have a phase of its own, a disruptive action or a skip",
            ));
        }
        if self.links.len() >= limits::CHAIN_LINKS {
            return Err(link.mistake(&format!("a chain of more than {} rules", limits::CHAIN_LINKS)));
        }
        self.links.push(link);
        Ok(())
    }

    /// The first link, which carries what belongs to the whole rule.
    pub(super) fn head(&self) -> &LinkDraft {
        &self.links[0]
    }

    /// Its message, macros as written.
    pub(super) fn message(&self) -> &str {
        self.head().actions.message.as_ref().map_or("", |message| message.text.as_str())
    }

    /// All tags of the rule, inherited ones first.
    pub(super) fn tags(&self) -> impl Iterator<Item = &String> {
        let inherited = self.defaults.iter().flat_map(|defaults| &defaults.tags);
        inherited.chain(self.links.iter().flat_map(|link| &link.actions.tags))
    }
}

impl LinkDraft {
    pub(super) fn mistake(&self, message: &str) -> Mistake {
        Mistake { place: self.place.clone(), text: String::new(), message: message.to_owned() }
    }
}

impl Defaults {
    /// Reads the actions of `SecDefaultAction`: the phase, and what its rules inherit.
    pub(super) fn new(actions: Actions) -> Result<(u8, Self), String> {
        let phase = actions.phase.ok_or("SecDefaultAction needs a phase")?;
        let disruptive = match actions.disruptive {
            Some(Disruptive::Block) | None => {
                return Err("SecDefaultAction needs a disruptive action, such as pass or deny".to_owned());
            }
            Some(disruptive) => disruptive,
        };
        let more = actions.id.is_some()
            || actions.chain
            || actions.skip > 0
            || actions.skip_after.is_some()
            || !actions.changes.is_empty()
            || !actions.controls.is_empty();
        if more {
            return Err(
                "SecDefaultAction takes phase, log, a disruptive action, status, t and tag".to_owned()
            );
        }
        let defaults = Self {
            transformations: actions.transformations,
            disruptive,
            status: actions.status,
            log: actions.log.unwrap_or(true),
            tags: actions.tags,
        };
        Ok((phase, defaults))
    }
}
