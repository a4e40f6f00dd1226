//! From gathered rules to the program: slots, chains of transformations, jumps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Gathered;
use super::actions::{ControlText, Disruptive, RuleFilter, Text};
use super::draft::{LinkDraft, RuleDraft};
use super::shown::Gathering;
use super::targets;
use crate::bits::RuleBits;
use crate::body::XmlPath;
use crate::check::{Check, DataOf};
use crate::engine::View;
use crate::files::Files;
use crate::filter::{FilterBuilder, Need};
use crate::limits;
use crate::operator::PatternLimits;
use crate::program::{
    ChainId, Chains, Compare, Control, Exception, Gate, Link, Names, Outcome, Program, Rule, Select, Sieve,
    Target,
};
use crate::ruleset::{RuleInfo, Ruleset};
use crate::seclang::{Mistake, Place};
use crate::template::Template;
use crate::transform::Transformation;
use crate::variable::Variables;

/// Status of `deny` and `drop` that say nothing else.
const DENY_STATUS: u16 = 403;
/// Status of `redirect` that says nothing else.
const REDIRECT_STATUS: u16 = 302;

/// Builds the rule set; what is wrong goes to `mistakes`, and then the result is not to be used.
pub(super) fn build(
    gathered: Gathered,
    files: &dyn Files,
    patterns: PatternLimits,
    mistakes: &mut Vec<Mistake>,
) -> Ruleset {
    check_ids(&gathered, mistakes);
    let mut builder = Builder {
        gathered: &gathered,
        files,
        patterns,
        names: Names::default(),
        xml_paths: Vec::new(),
        chains: Chains::with(gathered.unicode.clone()),
        tags: HashMap::new(),
        variables: Variables::default(),
        filter: FilterBuilder::default(),
        shown: Gathering::default(),
    };
    let mut rules: Vec<Rule> = Vec::with_capacity(gathered.rules.len());
    for (index, draft) in gathered.rules.iter().enumerate() {
        if mistakes.len() >= limits::ERRORS {
            break;
        }
        match builder.rule(index, draft) {
            Ok(rule) => rules.push(rule),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let Builder { xml_paths, names, chains, variables, filter, shown, .. } = builder;
    let filter = filter.build();
    let shown = shown.finish(&chains, filter.words());
    let gates = rules.iter().map(|rule| rule.links.first().map_or(Gate::Open, Gate::of)).collect();
    let phases = [1, 2, 3, 4, 5].map(|phase| {
        let of_phase = gathered.rules.iter().enumerate().filter(|(_, rule)| rule.phase == phase);
        of_phase.map(|(index, _)| index as u32).collect()
    });
    let Gathered { settings, signatures, notes, .. } = gathered;
    let program = Program {
        rules: rules.into(),
        phases,
        names,
        xml_paths: xml_paths.into(),
        chains,
        gates,
        whole: View::whole(&shown, filter.words()),
        shown,
        filter: Some(filter),
        variables,
    };
    Ruleset::new(program, settings, signatures, notes)
}

fn check_ids(gathered: &Gathered, mistakes: &mut Vec<Mistake>) {
    let mut seen: HashMap<u32, &Place> = HashMap::new();
    for rule in &gathered.rules {
        match seen.entry(rule.id) {
            Entry::Vacant(entry) => {
                entry.insert(&rule.head().place);
            }
            Entry::Occupied(entry) => {
                let Place { file, line, .. } = entry.get();
                mistakes.push(rule.head().mistake(&format!("id {} is taken by {file}:{line}", rule.id)));
            }
        }
    }
}

pub(super) struct Builder<'a> {
    gathered: &'a Gathered,
    files: &'a dyn Files,
    patterns: PatternLimits,
    pub(super) names: Names,
    pub(super) xml_paths: Vec<XmlPath>,
    chains: Chains,
    tags: HashMap<String, Arc<str>>,
    variables: Variables,
    filter: FilterBuilder,
    shown: Gathering,
}

impl Builder<'_> {
    fn rule(&mut self, index: usize, draft: &RuleDraft) -> Result<Rule, Mistake> {
        let head = draft.head();
        let actions = &head.actions;
        let links = draft.links.iter().map(|link| self.link(draft, link)).collect::<Result<_, _>>()?;
        let inherited_log = draft.defaults.as_ref().is_none_or(|defaults| defaults.log);
        Ok(Rule {
            info: RuleInfo {
                id: draft.id,
                phase: draft.phase,
                tags: draft
                    .tags()
                    .cloned()
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|tag| self.tag(tag))
                    .collect(),
                message: draft.message().to_owned(),
                file: Arc::clone(&head.place.file),
                line: head.place.line,
            },
            revision: actions.revision.clone().unwrap_or_default(),
            severity: draft.links.iter().find_map(|link| link.actions.severity),
            log_data: actions.log_data.as_ref().map(|text| text.text.clone()),
            links,
            outcome: self.outcome(draft)?,
            log: draft.links.iter().rev().find_map(|link| link.actions.log).unwrap_or(inherited_log),
            jump: match &actions.skip_after {
                Some(marker) => Some(self.jump(index, marker)?),
                None => self.skip(index, draft.phase, actions.skip),
            },
        })
    }

    fn tag(&mut self, tag: String) -> Arc<str> {
        Arc::clone(self.tags.entry(tag).or_insert_with_key(|tag| Arc::from(tag.as_str())))
    }

    fn link(&mut self, rule: &RuleDraft, link: &LinkDraft) -> Result<Link, Mistake> {
        let actions = &link.actions;
        let (action, targets, check, negated) = match &link.looks {
            None => (true, Vec::new(), Check::Always, false),
            Some((texts, operator)) => {
                let targets =
                    targets::compile(texts, &mut self.names).map_err(|(index, message)| Mistake {
                        place: texts[index].place.clone(),
                        text: texts[index].variable.clone(),
                        message,
                    })?;
                for text in texts.iter().filter(|text| text.variable == "XML") {
                    self.xml_path(text, &actions.namespaces).map_err(|message| Mistake {
                        place: text.place.clone(),
                        text: text.variable.clone(),
                        message,
                    })?;
                }
                let data =
                    DataOf { files: self.files, from: &operator.place.file, geo: self.gathered.geo.as_ref() };
                let check =
                    Check::compile(operator, &mut self.names, &data, self.patterns).map_err(|message| {
                        Mistake { place: operator.place.clone(), text: String::new(), message }
                    })?;
                (false, targets, check, operator.negated)
            }
        };
        for target in &targets {
            self.variables.insert(target.variable);
        }
        if let Some(template) = check.template() {
            self.note(template);
        }
        let mut transformations = match &rule.defaults {
            Some(defaults) if !actions.forget_transformations => defaults.transformations.clone(),
            _ => Vec::new(),
        };
        transformations.extend(&actions.transformations);
        let chain = self.chains.intern(&transformations);
        let changes = actions.changes.iter().map(|change| self.change(change)).collect::<Result<_, _>>()?;
        let controls = actions.controls.iter().map(|(control, place)| {
            self.control(control).map_err(|message| Mistake {
                place: place.clone(),
                text: String::new(),
                message,
            })
        });
        let controls = controls.collect::<Result<_, _>>()?;
        let stages = if actions.multi_match { self.chains.path(chain) } else { vec![chain] };
        let compare = compare(link, &transformations);
        Ok(Link {
            action,
            sieve: self.sieve(&check, negated, &targets, &stages),
            gate: compare.and_then(|_| only_slot(&targets)),
            compare,
            targets: targets.into(),
            check,
            negated,
            stages: stages.into(),
            capture: actions.capture,
            changes,
            controls,
            message: self.optional_template(actions.message.as_ref())?,
            log_data: self.optional_template(actions.log_data.as_ref())?,
        })
    }

    /// What the filter can say of a link. Of one that matches where its check does not, it knows no need.
    fn sieve(
        &mut self,
        check: &Check,
        negated: bool,
        targets: &[Target],
        stages: &[ChainId],
    ) -> Option<Sieve> {
        let is_settled = targets.iter().all(|target| !target.count && target.variable.is_settled());
        let need = match check {
            Check::Compiled(operator) if !negated => operator.need(),
            Check::Compiled(_) => Need::default(),
            Check::Expanded(..) if is_settled => Need::default(),
            Check::Expanded(..) | Check::Always => return None,
        };
        let check = self.filter.add(need);
        if is_settled {
            self.shown.add(targets, stages, check);
        }
        Some(Sieve { check, is_settled })
    }

    fn note(&mut self, template: &Template) {
        template.variables().for_each(|variable| self.variables.insert(variable));
    }

    pub(super) fn template(&mut self, text: &str) -> Result<Template, String> {
        let template = Template::parse(text, &mut self.names)?;
        self.note(&template);
        Ok(template)
    }

    fn optional_template(&mut self, text: Option<&Text>) -> Result<Option<Template>, Mistake> {
        let Some(text) = text else { return Ok(None) };
        self.template(&text.text).map(Some).map_err(|message| text.mistake(message))
    }

    fn outcome(&mut self, rule: &RuleDraft) -> Result<Outcome, Mistake> {
        let actions = &rule.head().actions;
        let inherited =
            rule.defaults.as_ref().map_or(Disruptive::Pass, |defaults| defaults.disruptive.clone());
        let own = rule.links.iter().rev().find_map(|link| link.actions.status);
        let status = own.or(rule.defaults.as_ref().and_then(|defaults| defaults.status));
        let disruptive = match actions.disruptive.clone() {
            None | Some(Disruptive::Block) => inherited,
            Some(own) => own,
        };
        let refuse = |drop| Outcome::Refuse { status: status.unwrap_or(DENY_STATUS), drop, redirect: None };
        Ok(match disruptive {
            Disruptive::Pass | Disruptive::Block => Outcome::Pass,
            Disruptive::Deny => refuse(false),
            Disruptive::Drop => refuse(true),
            Disruptive::Redirect(target) => Outcome::Refuse {
                status: status.filter(|status| (300..400).contains(status)).unwrap_or(REDIRECT_STATUS),
                drop: false,
                redirect: self.optional_template(Some(&target))?,
            },
            Disruptive::Allow(allow) => Outcome::Allow(allow),
        })
    }

    /// Where a phase goes on that skips its next `count` rules behind rule `index`.
    fn skip(&self, index: usize, phase: u8, count: u32) -> Option<u32> {
        let rules = &self.gathered.rules;
        let mut behind = (index + 1..rules.len()).filter(|other| rules[*other].phase == phase);
        (count > 0).then(|| behind.nth(count as usize).unwrap_or(rules.len()) as u32)
    }

    /// Where a phase goes on behind `marker`, a marker or the id of a rule below rule `index`.
    fn jump(&self, index: usize, marker: &Text) -> Result<u32, Mistake> {
        let Gathered { rules, markers, .. } = self.gathered;
        let marked = markers.iter().find(|other| other.rule > index && other.name == marker.text);
        let by_id = || {
            let id = marker.text.parse::<u32>().ok()?;
            let behind = rules[index + 1..].iter().position(|rule| rule.id == id)?;
            Some(index + 1 + behind + 1)
        };
        let target = marked.map(|marker| marker.rule).or_else(by_id);
        let target = target.ok_or_else(|| marker.mistake("no SecMarker of this name follows".to_owned()))?;
        Ok(target as u32)
    }

    fn control(&mut self, control: &ControlText) -> Result<Control, String> {
        Ok(match control {
            ControlText::RemoveRules(filter) => Control::RemoveRules(self.bits(filter)),
            ControlText::RemoveTarget(filter, target) => {
                let (variable, select) = targets::exception_target(target)?;
                Control::RemoveTarget(Exception { rules: self.bits(filter), variable, select })
            }
            ControlText::Engine(mode) => Control::Engine(*mode),
            ControlText::BodyProcessor(processor) => Control::BodyProcessor(*processor),
            ControlText::RequestBodyAccess(on) => Control::RequestBodyAccess(*on),
            ControlText::ResponseBodyAccess(on) => Control::ResponseBodyAccess(*on),
            ControlText::Exclude(exclude) => Control::Exclude(exclude.clone()),
        })
    }

    fn bits(&self, filter: &RuleFilter) -> RuleBits {
        let rules = &self.gathered.rules;
        let mut bits = RuleBits::empty(rules.len());
        rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| filter.covers(rule))
            .for_each(|(index, _)| bits.insert(index));
        bits
    }
}

/// What the link compares with a number, untransformed.
fn compare(link: &LinkDraft, transformations: &[Transformation]) -> Option<Compare> {
    let (_, operator) = link.looks.as_ref().filter(|_| transformations.is_empty())?;
    Compare::new(operator)
}

/// The slot of the one TX variable that is all of `targets`.
fn only_slot(targets: &[Target]) -> Option<u32> {
    match targets {
        [Target { select: Select::Slot(slot), count: false, .. }] => Some(*slot),
        _ => None,
    }
}

impl Text {
    pub(super) fn mistake(&self, message: String) -> Mistake {
        Mistake { place: self.place.clone(), text: self.text.clone(), message }
    }
}
