//! TX variables of own rules: one that none of them sets is never there, whatever the shared rules set by that name. A
//! rule that looks at it would never match, which its author should hear.

use std::collections::BTreeSet;

use super::allow;
use crate::operator::MAX_CAPTURES;
use crate::program::{Change, Link, MemberName, Outcome, Rule, Select, Target};
use crate::ruleset::Ruleset;
use crate::seclang::{Mistake, Place};
use crate::template::{Part, Template};

/// What `own` rules read and may not, or cannot.
pub(super) fn unknown(own: &Ruleset, base: &Ruleset) -> Vec<Mistake> {
    let rules = &own.program.rules;
    let changes = || rules.iter().flat_map(|rule| &rule.links).flat_map(|link| &link.changes);
    let is_open =
        changes().any(|change| matches!(change, Change::Variable { name: MemberName::Dynamic(_), .. }));
    let set: BTreeSet<u32> = changes()
        .filter_map(|change| match change {
            Change::Variable { name: MemberName::Slot(slot), .. } => Some(*slot),
            Change::Variable { .. } | Change::Bind { .. } => None,
        })
        .collect();
    let mut mistakes = Vec::new();
    for rule in rules {
        for target in targets(rule) {
            let variable = target.variable;
            if !allow::is_readable(variable) {
                let message = format!("the variable {} is not for own rules", variable.name());
                mistakes.push(mistake(rule, message));
                continue;
            }
            let Select::Slot(slot) = target.select else { continue };
            if (slot as usize) < MAX_CAPTURES || is_open || set.contains(&slot) {
                continue;
            }
            let name = own.program.names.name(slot);
            let shown = String::from_utf8_lossy(name);
            let why = match base.program.names.find(name) {
                Some(_) => "the rule set's variables are not visible here",
                None => "no own rule sets it",
            };
            mistakes.push(mistake(rule, format!("TX:{shown} is never there: {why}")));
        }
    }
    mistakes
}

/// Everything that a rule reads: its targets, and the macros in its texts.
fn targets(rule: &Rule) -> impl Iterator<Item = &Target> {
    let redirect = match &rule.outcome {
        Outcome::Refuse { redirect, .. } => redirect.as_ref(),
        Outcome::Pass | Outcome::Allow(_) => None,
    };
    let texts = rule.links.iter().flat_map(templates).chain(redirect).flat_map(macros);
    rule.links.iter().flat_map(|link| &link.targets).chain(texts)
}

fn templates(link: &Link) -> impl Iterator<Item = &Template> {
    let changes = link.changes.iter().flat_map(Change::templates);
    link.check.template().into_iter().chain(&link.message).chain(&link.log_data).chain(changes)
}

fn macros(template: &Template) -> impl Iterator<Item = &Target> {
    template.parts().iter().filter_map(|part| match part {
        Part::Value(target) => Some(target),
        Part::Text(_) => None,
    })
}

fn mistake(rule: &Rule, message: String) -> Mistake {
    let place = Place { file: rule.info.file.clone(), line: rule.info.line, column: 1 };
    Mistake { place, text: format!("rule {}", rule.info.id), message }
}
