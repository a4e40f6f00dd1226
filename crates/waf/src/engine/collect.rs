//! From a target to the values that it stands for.

use super::bag::Bag;
use super::clock;
use super::data::{Data, Group, Member, ValueId};
use super::state::State;
use super::text::{Named, Text};
use crate::program::{Link, Select, Target};
use crate::variable::Variable;

/// Which part of a group's members a variable shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shows {
    Values,
    Names,
}

impl Shows {
    pub(super) const COUNT: usize = 2;

    pub(super) fn of(self, member: Member) -> ValueId {
        match self {
            Self::Values => member.value,
            Self::Names => member.key,
        }
    }
}

impl<'p> State<'p> {
    /// Adds all that `target` stands for to `candidates`.
    pub(super) fn collect(&self, data: &Data, target: &'p Target, candidates: &mut Vec<Named<'p>>) {
        let first = candidates.len();
        self.members(data, target, candidates);
        if target.count {
            let count = candidates.len() - first;
            candidates.truncate(first);
            candidates.push(Named {
                variable: target.variable,
                key: match &target.select {
                    Select::Key(key) => Some(Text::Fixed(key)),
                    Select::Slot(slot) => Some(Text::Fixed(self.ruleset.program.names.name(*slot))),
                    Select::All | Select::Prefix(_) | Select::Pattern(_) => None,
                },
                count: true,
                value: Text::Number(count as i64),
            });
        }
    }

    /// The first value that `target` stands for.
    pub(super) fn first(&self, data: &Data, target: &'p Target) -> Option<Text<'p>> {
        if let Select::Slot(slot) = target.select {
            return self.slot(slot).map(Text::from);
        }
        let mut candidates = Vec::new();
        self.members(data, target, &mut candidates);
        candidates.into_iter().next().map(|candidate| candidate.value)
    }

    /// What it costs to find a link's values, in units of the work budget: members are passed by too.
    pub(super) fn visits(&self, data: &Data, link: &Link) -> u64 {
        /// Members that one unit passes by, where nothing is excepted.
        const PASSED_BY: usize = 4;
        let of = |target: &Target| {
            let members = match (target.variable, &target.select) {
                (_, Select::Slot(_)) => 0,
                (Variable::Tx, select) => self.ruleset.program.names.covered(select).len(),
                (Variable::MatchedVars | Variable::MatchedVarsNames, _) => self.matched.len(),
                (variable, _) => groups(variable)
                    .map_or(0, |(groups, _)| groups.iter().map(|group| data.members(*group).len()).sum()),
            };
            members * (1 + target.except.len() + self.exceptions.len())
        };
        (link.targets.iter().map(of).sum::<usize>() / PASSED_BY) as u64
    }

    fn members(&self, data: &Data, target: &'p Target, candidates: &mut Vec<Named<'p>>) {
        if self.is_excepted(target, None) {
            return;
        }
        let variable = target.variable;
        let mut add = |key: Text<'p>, value: Text<'p>| {
            let is_meant = {
                let key = key.bytes(data, &self.forms);
                target.select.covers(&key) && !self.is_excepted(target, Some(&key))
            };
            if is_meant {
                candidates.push(Named { variable, key: Some(key), count: false, value });
            }
        };
        match variable {
            Variable::Tx => {
                if let Select::Slot(slot) = target.select {
                    let key = self.ruleset.program.names.name(slot);
                    if let Some(value) = self.slot(slot).filter(|_| !self.is_excepted(target, Some(key))) {
                        let (key, value) = (Some(Text::Fixed(key)), value.into());
                        candidates.push(Named { variable, key, count: false, value });
                    }
                    return;
                }
                let names = &self.ruleset.program.names;
                for slot in names.covered(&target.select) {
                    if let Some(value) = self.slot(*slot) {
                        add(Text::Fixed(names.name(*slot)), value.into());
                    }
                }
                let others = self.bag(variable).into_iter().flat_map(Bag::iter);
                others.for_each(|(name, value)| add(Text::Made(name), value.into()));
            }
            variable if variable.is_persistent() || matches!(variable, Variable::Env | Variable::Geo) => {
                let all = self.bag(variable).into_iter().flat_map(Bag::iter);
                all.for_each(|(name, value)| add(Text::Made(name), value.into()));
                if let Select::Key(name) = &target.select
                    && let Some(value) = self.built_in(variable, name)
                {
                    add(Text::Fixed(name), value);
                }
            }
            Variable::MatchedVars => self.matched.iter().for_each(|matched| {
                add(Text::Own(matched.name(data, &self.forms)), matched.value.clone());
            }),
            Variable::MatchedVarsNames => self.matched.iter().for_each(|matched| {
                let name = Text::Own(matched.name(data, &self.forms));
                add(name.clone(), name);
            }),
            Variable::Rule => {
                self.rule_members().into_iter().for_each(|(key, value)| add(Text::Fixed(key), value));
            }
            _ => {
                let Some((groups, shows)) = groups(variable) else {
                    let value = self.scalar(data, variable);
                    candidates.push(Named { variable, key: None, count: false, value });
                    return;
                };
                // By far the most values come this way: nothing is made of those that are not meant.
                for member in groups.iter().flat_map(|group| data.members(*group)) {
                    let key = data.get(member.key);
                    if target.select.covers(key) && !self.is_excepted(target, Some(key)) {
                        let (key, value) = (Some(Text::Kept(member.key)), Text::Kept(shows.of(*member)));
                        candidates.push(Named { variable, key, count: false, value });
                    }
                }
            }
        }
    }

    /// Whether the member `key` of the target (or, without, the whole target) does not count for the current rule.
    pub(super) fn is_excepted(&self, target: &Target, key: Option<&[u8]>) -> bool {
        if let Some(key) = key
            && target.except.iter().any(|except| except.covers(key))
        {
            return true;
        }
        !target.count
            && self.exceptions.iter().any(|exception| {
                exception.variable == target.variable
                    && exception.rules.contains(self.rule)
                    && match key {
                        Some(key) => exception.select.covers(key),
                        None => matches!(exception.select, Select::All),
                    }
            })
    }

    fn rule_members(&self) -> Vec<(&'static [u8], Text<'p>)> {
        let Some(rule) = self.current_rule() else { return Vec::new() };
        let mut members: Vec<(&[u8], _)> = vec![
            (b"id", Text::Number(rule.info.id.into())),
            (b"rev", Text::Fixed(rule.revision.as_bytes())),
            (b"msg", Text::Fixed(rule.info.message.as_bytes())),
        ];
        if let Some(log_data) = &rule.log_data {
            members.push((b"logdata", Text::Fixed(log_data.as_bytes())));
        }
        if let Some(severity) = rule.severity {
            members.push((b"severity", Text::Number(severity.level().into())));
        }
        members
    }

    fn scalar(&self, data: &Data, variable: Variable) -> Text<'p> {
        let moment = || clock::Moment::at(self.now_unix_us);
        let number = |number: u64| Some(Text::Number(number as i64));
        let computed = match variable {
            Variable::MatchedVar => self.last_match.as_ref().map(|matched| matched.value.clone()),
            Variable::MatchedVarName => {
                self.last_match.as_ref().map(|matched| Text::Own(matched.name(data, &self.forms)))
            }
            Variable::ReqbodyProcessor => {
                self.processor.map(|processor| Text::Fixed(processor.name().as_bytes()))
            }
            Variable::HighestSeverity => {
                number(self.highest_severity.map_or(255, |severity| severity.level().into()))
            }
            Variable::Duration => {
                let elapsed_ms = self.started.elapsed().as_secs_f64() * 1_000.0;
                Some(Text::Own(format!("{elapsed_ms:.3}").into_bytes()))
            }
            Variable::SessionId => self.bound_key(Variable::Session),
            Variable::UserId => self.bound_key(Variable::User),
            Variable::Time => Some(Text::Own(moment().time_of_day().into_bytes())),
            Variable::TimeDay => number(moment().day),
            Variable::TimeEpoch => number(self.now_unix_us / 1_000_000),
            Variable::TimeHour => number(moment().hour),
            Variable::TimeMin => number(moment().minute),
            Variable::TimeMon => number(moment().month - 1),
            Variable::TimeSec => number(moment().second),
            Variable::TimeWday => number(moment().weekday),
            Variable::TimeYear => number(moment().year),
            _ => None,
        };
        computed.unwrap_or_else(|| Text::Kept(data.scalar(variable)))
    }
}

/// The groups behind a collection of the request or response.
pub(super) fn groups(variable: Variable) -> Option<(&'static [Group], Shows)> {
    use Group as G;
    use Shows::{Names, Values};
    Some(match variable {
        Variable::Args => (&[G::ArgsGet, G::ArgsPost], Values),
        Variable::ArgsNames => (&[G::ArgsGet, G::ArgsPost], Names),
        Variable::ArgsGet => (&[G::ArgsGet], Values),
        Variable::ArgsGetNames => (&[G::ArgsGet], Names),
        Variable::ArgsPost => (&[G::ArgsPost], Values),
        Variable::ArgsPostNames => (&[G::ArgsPost], Names),
        Variable::RequestHeaders => (&[G::RequestHeaders], Values),
        Variable::RequestHeadersNames => (&[G::RequestHeaders], Names),
        Variable::RequestCookies => (&[G::RequestCookies], Values),
        Variable::RequestCookiesNames => (&[G::RequestCookies], Names),
        Variable::ResponseHeaders => (&[G::ResponseHeaders], Values),
        Variable::ResponseHeadersNames => (&[G::ResponseHeaders], Names),
        Variable::Files => (&[G::Files], Values),
        Variable::FilesNames => (&[G::Files], Names),
        Variable::FilesSizes => (&[G::FileSizes], Values),
        Variable::FilesTmpContent => (&[G::FileContents], Values),
        Variable::MultipartPartHeaders => (&[G::PartHeaders], Values),
        Variable::MultipartName => (&[G::PartNames], Values),
        Variable::MultipartFilename => (&[G::PartFilenames], Values),
        Variable::Xml => (&[G::Xml], Values),
        _ => return None,
    })
}
