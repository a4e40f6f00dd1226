//! From a target to the values that it stands for.

use std::borrow::Cow;

use super::Failure;
use super::clock;
use super::data::{Data, Group, Member, ValueId};
use super::state::State;
use crate::program::{Select, Target};
use crate::ruleset::Severity;
use crate::variable::Variable;

/// One value to be judged.
#[derive(Debug)]
pub(super) struct Candidate<'d> {
    pub(super) variable: Variable,
    /// The member's name; `None` for scalars and counts.
    pub(super) key: Option<Cow<'d, [u8]>>,
    pub(super) count: bool,
    pub(super) value: Cow<'d, [u8]>,
    /// The value's identity, if it is one of the request's or response's own.
    pub(super) id: Option<ValueId>,
}

impl Candidate<'_> {
    /// The full name, such as `ARGS:q`.
    pub(super) fn name(&self) -> Vec<u8> {
        let mut name = Vec::new();
        if self.count {
            name.push(b'&');
        }
        name.extend_from_slice(self.variable.name().as_bytes());
        if let Some(key) = &self.key {
            name.push(b':');
            name.extend_from_slice(key);
        }
        name
    }
}

impl Data {
    /// Calls `with` on each value of request and response that `select` picks of `variable`.
    pub(super) fn each(
        &self,
        variable: Variable,
        select: &Select,
        mut with: impl FnMut(ValueId) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some((groups, shows)) = groups(variable) else { return with(self.scalar(variable)) };
        let members = groups.iter().flat_map(|group| self.members(*group));
        let shown = members.filter(|member| select.covers(self.get(member.key)));
        shown.map(|member| shows.of(*member)).try_for_each(with)
    }
}

/// Which part of a group's members a variable shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Values,
    Names,
}

impl Shows {
    fn of(self, member: Member) -> ValueId {
        match self {
            Self::Values => member.value,
            Self::Names => member.key,
        }
    }
}

impl<'p> State<'p> {
    /// Adds all that `target` stands for to `candidates`.
    pub(super) fn collect<'d>(&self, data: &'d Data, target: &Target, candidates: &mut Vec<Candidate<'d>>)
    where
        'p: 'd,
    {
        let first = candidates.len();
        self.members(data, target, candidates);
        if target.count {
            let count = candidates.len() - first;
            candidates.truncate(first);
            candidates.push(Candidate {
                variable: target.variable,
                key: match &target.select {
                    Select::Key(key) => Some(Cow::Owned(key.to_vec())),
                    Select::Slot(slot) => Some(Cow::Borrowed(self.ruleset.program.names.name(*slot))),
                    Select::All | Select::Pattern(_) => None,
                },
                count: true,
                value: Cow::Owned(count.to_string().into_bytes()),
                id: None,
            });
        }
    }

    /// The first value that `target` stands for.
    pub(super) fn first<'d>(&self, data: &'d Data, target: &Target) -> Option<Cow<'d, [u8]>>
    where
        'p: 'd,
    {
        if let Select::Slot(slot) = target.select {
            return self.slot(slot).map(|value| Cow::Owned(value.bytes().into_owned()));
        }
        let mut candidates = Vec::new();
        self.members(data, target, &mut candidates);
        candidates.into_iter().next().map(|candidate| candidate.value)
    }

    fn members<'d>(&self, data: &'d Data, target: &Target, candidates: &mut Vec<Candidate<'d>>)
    where
        'p: 'd,
    {
        if self.is_excepted(target, None) {
            return;
        }
        let variable = target.variable;
        let mut owned = |key: &[u8], value: Cow<'_, [u8]>| {
            if target.select.covers(key) && !self.is_excepted(target, Some(key)) {
                candidates.push(Candidate {
                    variable,
                    key: Some(Cow::Owned(key.to_vec())),
                    count: false,
                    value: Cow::Owned(value.into_owned()),
                    id: None,
                });
            }
        };
        match variable {
            Variable::Tx => {
                if let Select::Slot(slot) = target.select {
                    let key = self.ruleset.program.names.name(slot);
                    if let Some(value) = self.slot(slot).filter(|_| !self.is_excepted(target, Some(key))) {
                        candidates.push(Candidate {
                            variable,
                            key: Some(Cow::Borrowed(key)),
                            count: false,
                            value: Cow::Owned(value.bytes().into_owned()),
                            id: None,
                        });
                    }
                    return;
                }
                self.slots().for_each(|(name, value)| owned(name, value.bytes()));
                self.bag(variable)
                    .iter()
                    .flat_map(|bag| bag.iter())
                    .for_each(|(name, value)| owned(name, value.bytes()));
            }
            variable if variable.is_persistent() => {
                self.bag(variable)
                    .iter()
                    .flat_map(|bag| bag.iter())
                    .for_each(|(name, value)| owned(name, value.bytes()));
            }
            Variable::MatchedVars => {
                self.matched.iter().for_each(|matched| owned(&matched.name, Cow::Borrowed(&matched.value)));
            }
            Variable::MatchedVarsNames => {
                self.matched.iter().for_each(|matched| owned(&matched.name, Cow::Borrowed(&matched.name)));
            }
            Variable::Rule => {
                self.rule_members().into_iter().for_each(|(key, value)| owned(key.as_bytes(), value));
            }
            // There is no database: `@geoLookup` has failed before a rule can look here.
            Variable::Geo => {}
            _ => match groups(variable) {
                Some((groups, shows)) => {
                    for member in groups.iter().flat_map(|group| data.members(*group)) {
                        let key = data.get(member.key);
                        if !target.select.covers(key) || self.is_excepted(target, Some(key)) {
                            continue;
                        }
                        let id = shows.of(*member);
                        let value = Cow::Borrowed(data.get(id));
                        candidates.push(Candidate {
                            variable,
                            key: Some(Cow::Borrowed(key)),
                            count: false,
                            value,
                            id: Some(id),
                        });
                    }
                }
                None => candidates.push(self.scalar(data, variable)),
            },
        }
    }

    /// Whether the member `key` of the target (or, without, the whole target) does not count for the current rule.
    fn is_excepted(&self, target: &Target, key: Option<&[u8]>) -> bool {
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

    fn rule_members(&self) -> Vec<(&'static str, Cow<'p, [u8]>)> {
        let Some(rule) = self.current_rule() else { return Vec::new() };
        let mut members: Vec<(_, Cow<'_, [u8]>)> = vec![
            ("id", Cow::Owned(rule.info.id.to_string().into_bytes())),
            ("rev", Cow::Borrowed(rule.revision.as_bytes())),
            ("msg", Cow::Borrowed(rule.info.message.as_bytes())),
        ];
        if let Some(log_data) = &rule.log_data {
            members.push(("logdata", Cow::Borrowed(log_data.as_bytes())));
        }
        if let Some(severity) = rule.severity {
            members.push(("severity", Cow::Owned(severity.level().to_string().into_bytes())));
        }
        members
    }

    fn scalar<'d>(&self, data: &'d Data, variable: Variable) -> Candidate<'d> {
        let moment = || clock::Moment::at(self.now_unix_us);
        let text = |text: String| Some(text.into_bytes());
        let computed = match variable {
            Variable::MatchedVar => self.last_match.as_ref().map(|matched| matched.value.clone()),
            Variable::MatchedVarName => self.last_match.as_ref().map(|matched| matched.name.clone()),
            Variable::ReqbodyProcessor => {
                self.processor.map(|processor| processor.name().as_bytes().to_vec())
            }
            Variable::HighestSeverity => text(self.highest_severity.map_or(255, Severity::level).to_string()),
            Variable::Duration => text(format!("{:.3}", self.started.elapsed().as_secs_f64() * 1_000.0)),
            Variable::SessionId => Some(self.session.clone()),
            Variable::UserId => Some(self.user.clone()),
            Variable::Time => text(moment().time_of_day()),
            Variable::TimeDay => text(moment().day.to_string()),
            Variable::TimeEpoch => text((self.now_unix_us / 1_000_000).to_string()),
            Variable::TimeHour => text(moment().hour.to_string()),
            Variable::TimeMin => text(moment().minute.to_string()),
            Variable::TimeMon => text((moment().month - 1).to_string()),
            Variable::TimeSec => text(moment().second.to_string()),
            Variable::TimeWday => text(moment().weekday.to_string()),
            Variable::TimeYear => text(moment().year.to_string()),
            _ => None,
        };
        let id = data.scalar(variable);
        let (value, id) = match computed {
            Some(value) => (Cow::Owned(value), None),
            None => (Cow::Borrowed(data.get(id)), Some(id)),
        };
        Candidate { variable, key: None, count: false, value, id }
    }
}

/// The groups behind a collection of the request or response.
fn groups(variable: Variable) -> Option<(&'static [Group], Shows)> {
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
