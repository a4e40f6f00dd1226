//! A tenant's own rules: SecLang that a stranger wrote, run inside the operator's firewall.
//!
//! **Threat model.** The tenant is not trusted with anything but its own traffic. It may want to get traffic past the
//! operator's baseline, to read files, environment or other tenants' data, to spend the machine's memory and time, or to
//! confuse whoever reads the records. It may write any text here, and send any request.
//!
//! **What holds.** Own rules are a rule set of their own, run by an engine state of their own before the shared rules
//! of each phase (`engine::own`): they have their own variables, matches, jumps, transformations and bounds. The shared
//! rules' state is not theirs to name, so no rule of a tenant can lower a score, move a threshold or end a phase. Three
//! things come out of them, and nothing else:
//!
//! 1. a refusal, which ends the request: stricter than the baseline;
//! 2. records of matches, under ids that only tenants use ([`limits::OWN_RULE_IDS`]);
//! 3. exclusions made with `ctl:ruleRemove…`, each checked here against what the operator leaves to tenants, as those in
//!    the tenant's settings are.
//!
//! **How.** All words go by allow lists (`allow`): directives, operators, variables, actions and `ctl`. A word that the
//! engine learns later is refused until somebody puts it on a list. No list holds a word that reads a file, leaves the
//! process, sets what outlives the transaction, or changes how the request is read (`ctl:requestBodyProcessor`) or
//! whether it is judged (`ctl:ruleEngine`, `allow`). Where an allowed word would quietly do nothing here (`block` without
//! a default, a variable that only the shared rules set), it is refused too.
//!
//! **Cost.** At most [`limits::OWN_RULES`] rules of [`limits::OWN_RULES_BYTES`]. Patterns run on the linear engine
//! only, and the compiled automaton of each is bounded by [`limits::OWN_PATTERN_BYTES`]: its states are the most that a
//! byte of input can cost. Patterns made at run time from macros are refused, for they cannot be measured here. What a
//! transaction may hold is bounded for own rules as for the shared ones, apart from them; going over it refuses the
//! request.

mod allow;
mod variables;

use std::sync::Arc;

use super::actions::{Actions, ControlText, Disruptive, RuleFilter};
use super::draft::RuleDraft;
use super::{Gathered, Reader, build, told, usable};
use crate::error::{CompileErrors, OverlayError};
use crate::files::MemFiles;
use crate::limits;
use crate::operator::PatternLimits;
use crate::overlay::{Scope, exception};
use crate::program::Exclude;
use crate::ruleset::{Ruleset, Source};
use crate::seclang::{self, Directive, Mistake, Place};

const PATTERNS: PatternLimits = PatternLimits {
    program_bytes: limits::OWN_PATTERN_BYTES,
    automaton_bytes: limits::OWN_AUTOMATON_BYTES,
    backtracking: false,
};

/// Compiles a tenant's own rules, which go beside the rule set of `scope` and may take away what `scope` leaves to it.
pub(crate) fn compile_own(sources: &[Source], scope: Scope<'_>) -> Result<Ruleset, CompileErrors> {
    // No files: whatever would read one finds nothing.
    let files = MemFiles::new();
    let mut reader = Reader::new(&files);
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    for source in sources {
        let file = Arc::from(source.name.as_str());
        if bytes > limits::OWN_RULES_BYTES {
            let message = format!("{bytes} bytes of own rules; the most is {}", limits::OWN_RULES_BYTES);
            let place = Place { file, line: 1, column: 1 };
            reader.mistakes.push(Mistake { place, text: String::new(), message });
            break;
        }
        for directive in seclang::read(&file, &source.text, &mut reader.mistakes) {
            read(&mut reader, &directive, scope);
        }
        reader.close_chain();
    }
    let Reader { mut gathered, mut mistakes, .. } = reader;
    check_rules(&mut gathered, scope, &mut mistakes);
    if !mistakes.is_empty() {
        // What is refused might be told once more, as something that cannot be built.
        return Err(told(mistakes));
    }
    let ruleset = build::build(gathered, &files, PATTERNS, &mut mistakes);
    if mistakes.is_empty() {
        mistakes.extend(variables::unknown(&ruleset, scope.ruleset));
    }
    // A filter pays where hundreds of rules look at the same values, and takes more memory than such rules themselves.
    usable(ruleset.unfiltered(), mistakes)
}

/// Reads a directive if all its words are allowed.
fn read(reader: &mut Reader<'_>, directive: &Directive, scope: Scope<'_>) {
    let refused = allow::refusals(directive, scope.ruleset);
    if !allow::is_directive(&directive.name) {
        reader.mistakes.extend(refused);
        return;
    }
    // Read although it is refused, so that the links of its chain are not taken for rules.
    let read = reader.directive(directive, 0);
    if refused.is_empty() {
        reader.mistakes.extend(read.err());
    } else {
        reader.mistakes.extend(refused);
    }
}

/// Checks what single directives do not show, and finds the shared rules that `ctl` names.
fn check_rules(gathered: &mut Gathered, scope: Scope<'_>, mistakes: &mut Vec<Mistake>) {
    let links: usize = gathered.rules.iter().map(|rule| rule.links.len()).sum();
    if links > limits::OWN_RULES
        && let Some(rule) = gathered.rules.last()
    {
        mistakes.push(rule.head().mistake(&format!("{links} own rules; the most is {}", limits::OWN_RULES)));
    }
    for rule in &mut gathered.rules {
        mistakes.extend(wrong_id(rule, scope.ruleset));
        if matches!(rule.head().actions.disruptive, Some(Disruptive::Block)) && rule.defaults.is_none() {
            let message = format!(
                "block does what SecDefaultAction of its phase says, and phase {} has none here: write deny",
                rule.phase
            );
            mistakes.push(rule.head().mistake(&message));
        }
        for link in &mut rule.links {
            resolve(&mut link.actions, scope, mistakes);
        }
    }
}

fn wrong_id(rule: &RuleDraft, base: &Ruleset) -> Option<Mistake> {
    let (first, last) = limits::OWN_RULE_IDS;
    if !(first..=last).contains(&rule.id) {
        return Some(rule.head().mistake(&format!("id {}: own rules have ids {first}-{last}", rule.id)));
    }
    let taken = base.rules().find(|other| other.id == rule.id)?;
    let message = format!("id {} is taken by {}:{}", rule.id, taken.file, taken.line);
    Some(rule.head().mistake(&message))
}

/// Makes each `ctl:ruleRemove…` an exclusion from the shared rules.
fn resolve(actions: &mut Actions, scope: Scope<'_>, mistakes: &mut Vec<Mistake>) {
    for (control, place) in &mut actions.controls {
        let (filter, target) = match &*control {
            ControlText::RemoveRules(filter) => (filter, None),
            ControlText::RemoveTarget(filter, target) => (filter, Some(target)),
            _ => continue,
        };
        match exclusion(filter, target, scope) {
            Ok(exclude) => *control = ControlText::Exclude(exclude),
            Err(error) => {
                mistakes.push(Mistake {
                    place: place.clone(),
                    text: String::new(),
                    message: error.to_string(),
                });
            }
        }
    }
}

fn exclusion(
    filter: &RuleFilter,
    target: Option<&String>,
    scope: Scope<'_>,
) -> Result<Exclude, OverlayError> {
    let bits = scope.matching(|rule| match filter {
        RuleFilter::Ids(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&rule.id)),
        RuleFilter::Tag(tag) => rule.tags.iter().any(|other| **other == **tag),
        RuleFilter::Message(message) => rule.message == *message,
    })?;
    let rules = bits.ok_or_else(|| match filter {
        RuleFilter::Ids(ranges) => {
            let (first, last) = ranges.first().copied().unwrap_or_default();
            OverlayError::UnknownRule { first, last }
        }
        RuleFilter::Tag(tag) => OverlayError::UnknownTag(tag.clone()),
        RuleFilter::Message(message) => OverlayError::UnknownMessage(message.clone()),
    })?;
    Ok(match target {
        Some(target) => Exclude::Target(exception(rules, target)?),
        None => Exclude::Rules(rules),
    })
}
