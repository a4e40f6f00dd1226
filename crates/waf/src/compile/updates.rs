//! Directives that change rules written elsewhere: `SecRuleRemove*`, `SecRuleUpdate*`.
//!
//! As in ModSecurity v3 they apply to the whole rule set, wherever they stand.

use super::Gathered;
use super::actions::{Actions, RuleFilter, id_ranges};
use super::draft::RuleDraft;
use crate::seclang::{self, Argument, Mistake, TargetText};

/// One change to rules.
#[derive(Debug)]
pub(super) enum Update {
    Remove(RuleFilter),
    Targets(RuleFilter, TargetsUpdate),
    Actions(u32, Box<Actions>),
}

/// Targets to add or to take away, for all links or only a chain's first.
#[derive(Debug)]
pub(super) struct TargetsUpdate {
    targets: Vec<TargetText>,
    /// `SecRuleUpdateTargetById 1 "TARGET" "REPLACED"`: this target makes room for the others.
    replaced: Option<TargetText>,
}

impl RuleFilter {
    /// Whether `rule` is meant.
    pub(super) fn covers(&self, rule: &RuleDraft) -> bool {
        match self {
            Self::Ids(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&rule.id)),
            Self::Tag(tag) => rule.tags().any(|other| other == tag),
            Self::Message(message) => rule.message() == message,
        }
    }
}

/// Reads an update directive; `None` if `name` is none.
pub(super) fn read(name: &str, arguments: &[Argument]) -> Result<Option<Update>, Mistake> {
    let ids = |argument: &Argument| {
        id_ranges(argument.raw()).map(RuleFilter::Ids).map_err(|message| argument.mistake(message))
    };
    let tag = |argument: &Argument| RuleFilter::Tag(argument.unescaped());
    let message = |argument: &Argument| RuleFilter::Message(argument.unescaped());
    Ok(Some(match (name, arguments) {
        ("secruleremovebyid", [_, ..]) => {
            let mut ranges = Vec::new();
            for argument in arguments {
                ranges.extend(id_ranges(argument.raw()).map_err(|message| argument.mistake(message))?);
            }
            Update::Remove(RuleFilter::Ids(ranges))
        }
        ("secruleremovebytag", [filter]) => Update::Remove(tag(filter)),
        ("secruleremovebymsg", [filter]) => Update::Remove(message(filter)),
        ("secruleupdatetargetbyid", [filter, rest @ ..]) => {
            Update::Targets(ids(filter)?, targets(filter, rest)?)
        }
        ("secruleupdatetargetbytag", [filter, rest @ ..]) => {
            Update::Targets(tag(filter), targets(filter, rest)?)
        }
        ("secruleupdatetargetbymsg", [filter, rest @ ..]) => {
            Update::Targets(message(filter), targets(filter, rest)?)
        }
        ("secruleupdateactionbyid", [filter, actions]) => {
            let id =
                filter.raw().trim().parse().map_err(|_| filter.mistake("expected the id of one rule"))?;
            Update::Actions(id, Box::new(Actions::gather(&seclang::parse_actions(actions)?)?))
        }
        _ => return Ok(None),
    }))
}

fn targets(directive: &Argument, arguments: &[Argument]) -> Result<TargetsUpdate, Mistake> {
    match arguments {
        [new] => Ok(TargetsUpdate { targets: seclang::parse_targets(new)?, replaced: None }),
        [new, old] => match seclang::parse_targets(old)?.as_slice() {
            [replaced] => {
                Ok(TargetsUpdate { targets: seclang::parse_targets(new)?, replaced: Some(replaced.clone()) })
            }
            _ => Err(old.mistake("one target at a time can be replaced")),
        },
        _ => Err(directive.mistake("expected rules, targets and perhaps the target that they replace")),
    }
}

/// Applies all updates, in order.
pub(super) fn apply(gathered: &mut Gathered, mistakes: &mut Vec<Mistake>) {
    for (update, place) in std::mem::take(&mut gathered.updates) {
        match update {
            Update::Remove(filter) => remove(gathered, &filter),
            Update::Targets(filter, update) => {
                for rule in gathered.rules.iter_mut().filter(|rule| filter.covers(rule)) {
                    update_targets(rule, &update);
                }
            }
            Update::Actions(id, actions) => {
                if let Err(message) = update_actions(gathered, id, &actions) {
                    mistakes.push(Mistake { place, text: id.to_string(), message });
                }
            }
        }
    }
}

/// Removes rules; markers keep their places among those that stay.
fn remove(gathered: &mut Gathered, filter: &RuleFilter) {
    let gone: Vec<bool> = gathered.rules.iter().map(|rule| filter.covers(rule)).collect();
    for marker in &mut gathered.markers {
        marker.rule -= gone[..marker.rule].iter().filter(|gone| **gone).count();
    }
    let mut index = 0;
    gathered.rules.retain(|_| {
        index += 1;
        !gone[index - 1]
    });
}

/// Updates the first link: the one that the rule's id names.
fn update_targets(rule: &mut RuleDraft, update: &TargetsUpdate) {
    let Some((targets, _)) = rule.links.first_mut().and_then(|link| link.looks.as_mut()) else { return };
    if let Some(replaced) = &update.replaced {
        let same = |target: &TargetText| {
            (&target.variable, &target.selector, target.count)
                == (&replaced.variable, &replaced.selector, replaced.count)
        };
        targets.retain(|target| !same(target));
    }
    targets.extend(update.targets.iter().cloned());
}

/// Later actions win; tags, variables and controls add up. Id, phase and chaining cannot change.
fn update_actions(gathered: &mut Gathered, id: u32, update: &Actions) -> Result<(), String> {
    let rule = gathered.rules.iter_mut().find(|rule| rule.id == id).ok_or("no rule has this id")?;
    if update.id.is_some() || update.phase.is_some() || update.chain {
        return Err("id, phase and chain of a rule cannot be updated".to_owned());
    }
    let actions = &mut rule.links[0].actions;
    macro_rules! replace {
        ($($field:ident)*) => {
            $(if update.$field.is_some() {
                actions.$field.clone_from(&update.$field);
            })*
        };
    }
    replace!(message log_data severity revision disruptive status log skip_after);
    if update.forget_transformations {
        actions.transformations.clear();
        actions.forget_transformations = true;
    }
    actions.transformations.extend(&update.transformations);
    actions.tags.extend(update.tags.iter().cloned());
    actions.changes.extend(update.changes.iter().cloned());
    actions.controls.extend(update.controls.iter().cloned());
    actions.capture |= update.capture;
    actions.multi_match |= update.multi_match;
    actions.skip = actions.skip.max(update.skip);
    Ok(())
}
