//! What a rule's actions mean: the table of every action, and the actions of one link gathered.

use crate::limits;
use crate::program::{Allow, BodyProcessor, EngineMode, Exclude};
use crate::ruleset::Severity;
use crate::seclang::{Action, Mistake, Place};
use crate::transform::Transformation;
use crate::variable::Variable;

/// The actions of one link, gathered.
#[derive(Debug, Clone, Default)]
pub(super) struct Actions {
    pub(super) id: Option<u32>,
    pub(super) phase: Option<u8>,
    pub(super) message: Option<Text>,
    pub(super) log_data: Option<Text>,
    pub(super) severity: Option<Severity>,
    pub(super) revision: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) transformations: Vec<Transformation>,
    /// `t:none`: inherited transformations do not apply.
    pub(super) forget_transformations: bool,
    pub(super) disruptive: Option<Disruptive>,
    pub(super) status: Option<u16>,
    pub(super) log: Option<bool>,
    pub(super) capture: bool,
    pub(super) multi_match: bool,
    pub(super) chain: bool,
    pub(super) skip: u32,
    pub(super) skip_after: Option<Text>,
    pub(super) changes: Vec<ChangeText>,
    pub(super) controls: Vec<(ControlText, Place)>,
    /// Actions that do nothing here, and why.
    pub(super) without_effect: Vec<(&'static str, &'static str)>,
}

/// A text of the rule and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) place: Place,
}

/// What a rule does to the transaction, before `block` is resolved.
#[derive(Debug, Clone)]
pub(super) enum Disruptive {
    Pass,
    Block,
    Deny,
    Drop,
    Redirect(Text),
    Allow(Allow),
}

/// A `ctl` or one of its kin, before rules are known by index.
#[derive(Debug, Clone)]
pub(super) enum ControlText {
    RemoveRules(RuleFilter),
    RemoveTarget(RuleFilter, String),
    Engine(EngineMode),
    BodyProcessor(BodyProcessor),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    /// What a tenant's rule takes away from the rule set's rules.
    Exclude(Exclude),
}

/// `setvar` and its kin, as written.
#[derive(Debug, Clone)]
pub(super) enum ChangeText {
    /// `setvar`.
    Set(Text),
    /// `expirevar`.
    Expire(Text),
    /// `deprecatevar`.
    Decay(Text),
    /// `initcol`: the collection and its key.
    Bind(Text),
    /// `setsid`, `setuid`, `setrsc`: the key of this collection.
    Key(Variable, Text),
}

/// Which rules are meant.
#[derive(Debug, Clone)]
pub(super) enum RuleFilter {
    /// Those with an id in one of the ranges, both ends included.
    Ids(Vec<(u32, u32)>),
    /// Those that carry the tag, whole.
    Tag(String),
    /// Those with the message, macros as written.
    Message(String),
}

impl Actions {
    /// Reads a link's actions.
    pub(super) fn gather(actions: &[Action]) -> Result<Self, Mistake> {
        let mut gathered = Self::default();
        for action in actions {
            gathered.add(action).map_err(|message| Mistake {
                place: action.place.clone(),
                text: match &action.value {
                    Some(value) => format!("{}:{value}", action.name),
                    None => action.name.clone(),
                },
                message,
            })?;
        }
        Ok(gathered)
    }

    fn add(&mut self, action: &Action) -> Result<(), String> {
        let value = || match action.value.as_deref() {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(format!("{} needs a value", action.name)),
        };
        let text = || value().map(|text| Text { text: text.to_owned(), place: action.place.clone() });
        match action.name.as_str() {
            "id" => {
                let id = value()?.parse().ok().filter(|id| *id > 0);
                self.id = Some(id.ok_or("an id is a number from 1 to 4294967295")?);
            }
            "phase" => self.phase = Some(phase(value()?)?),
            "msg" => self.message = Some(text()?),
            "logdata" => self.log_data = Some(text()?),
            "severity" => {
                let severity = Severity::parse(value()?);
                self.severity = Some(severity.ok_or("a severity is 0-7 or one of syslog's names")?);
            }
            "rev" => self.revision = Some(value()?.to_owned()),
            "tag" => self.tags.push(value()?.to_owned()),
            "t" => self.add_transformation(value()?)?,
            "pass" => self.disrupt(Disruptive::Pass),
            "block" => self.disrupt(Disruptive::Block),
            "deny" => self.disrupt(Disruptive::Deny),
            "drop" => self.disrupt(Disruptive::Drop),
            "redirect" => {
                let target = text()?;
                self.disrupt(Disruptive::Redirect(target));
            }
            "allow" => self.disrupt(Disruptive::Allow(match action.value.as_deref() {
                None => Allow::Transaction,
                Some(scope) if scope.eq_ignore_ascii_case("phase") => Allow::Phase,
                Some(scope) if scope.eq_ignore_ascii_case("request") => Allow::Request,
                Some(_) => return Err("allow takes `phase` or `request`".to_owned()),
            })),
            "status" => {
                let status = value()?.parse().ok().filter(|status| (200..600).contains(status));
                self.status = Some(status.ok_or("a status is a number from 200 to 599")?);
            }
            "log" => self.log = Some(true),
            "nolog" => self.log = Some(false),
            "capture" => self.capture = true,
            "multimatch" => self.multi_match = true,
            "chain" => self.chain = true,
            "skip" => self.skip = value()?.parse().map_err(|_| "skip takes a number of rules")?,
            "skipafter" => self.skip_after = Some(text()?),
            "setvar" => self.changes.push(ChangeText::Set(text()?)),
            "expirevar" => self.changes.push(ChangeText::Expire(text()?)),
            "deprecatevar" => self.changes.push(ChangeText::Decay(text()?)),
            "initcol" => self.changes.push(ChangeText::Bind(text()?)),
            "setsid" => self.changes.push(ChangeText::Key(Variable::Session, text()?)),
            "setuid" => self.changes.push(ChangeText::Key(Variable::User, text()?)),
            "setrsc" => self.changes.push(ChangeText::Key(Variable::Resource, text()?)),
            "ctl" => {
                if let Some(control) = control(value()?)? {
                    self.controls.push((control, action.place.clone()));
                }
            }
            other => match UNUSED.iter().find(|(name, ..)| *name == other) {
                Some((_, Unused::Metadata, _)) => {}
                Some((name, Unused::Harmless, why)) => self.without_effect.push((name, why)),
                Some((_, Unused::Unsupported, why)) => {
                    return Err(format!("{other} is not supported: {why}"));
                }
                None => return Err(format!("there is no action {other}")),
            },
        }
        Ok(())
    }

    /// The last one counts, as in ModSecurity; `block` beside another is that other's name for itself.
    fn disrupt(&mut self, disruptive: Disruptive) {
        if !(matches!(disruptive, Disruptive::Block) && self.disruptive.is_some()) {
            self.disruptive = Some(disruptive);
        }
    }

    fn add_transformation(&mut self, name: &str) -> Result<(), String> {
        let found = Transformation::from_name(name);
        match found.ok_or_else(|| format!("there is no transformation {name}"))? {
            Transformation::None => {
                self.transformations.clear();
                self.forget_transformations = true;
            }
            transformation if self.transformations.len() < limits::TRANSFORMATIONS => {
                self.transformations.push(transformation);
            }
            _ => return Err(format!("more than {} transformations", limits::TRANSFORMATIONS)),
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Unused {
    /// Says something about the rule and does nothing anywhere.
    Metadata,
    /// Changes nothing that the engine decides.
    Harmless,
    /// Would change something, and cannot.
    Unsupported,
}

/// Actions that do nothing here, and why.
const UNUSED: &[(&str, Unused, &str)] = &[
    ("accuracy", Unused::Metadata, "metadata that nothing reads"),
    ("maturity", Unused::Metadata, "metadata that nothing reads"),
    ("ver", Unused::Metadata, "metadata that nothing reads"),
    (
        "auditlog",
        Unused::Harmless,
        "one record per transaction is the audit log; `log` decides what is in it",
    ),
    (
        "noauditlog",
        Unused::Harmless,
        "one record per transaction is the audit log; `nolog` decides what is not",
    ),
    ("append", Unused::Unsupported, "bodies are not rewritten"),
    ("exec", Unused::Unsupported, "rules run no programs"),
    ("pause", Unused::Unsupported, "rules do not hold connections open"),
    ("prepend", Unused::Unsupported, "bodies are not rewritten"),
    ("proxy", Unused::Unsupported, "routes decide where a request goes"),
    ("sanitisearg", Unused::Unsupported, "what is masked in records is decided outside the rules"),
    ("sanitisematched", Unused::Unsupported, "what is masked in records is decided outside the rules"),
    ("sanitisematchedbytes", Unused::Unsupported, "what is masked in records is decided outside the rules"),
    ("sanitiserequestheader", Unused::Unsupported, "what is masked in records is decided outside the rules"),
    ("sanitiseresponseheader", Unused::Unsupported, "what is masked in records is decided outside the rules"),
    ("setenv", Unused::Unsupported, "rules change no environment"),
    ("xmlns", Unused::Unsupported, "XML is looked at with /* and //@* only, which need no namespaces"),
];

fn phase(text: &str) -> Result<u8, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err("a phase is 1, 2, 3, 4, 5, request, response or logging".to_owned()),
    }
}

/// Reads `name=value` of a `ctl`; `None` for those that change nothing here.
fn control(text: &str) -> Result<Option<ControlText>, String> {
    let (name, value) = text.split_once('=').ok_or("ctl takes name=value")?;
    let value = value.trim();
    let target = || {
        value
            .split_once(';')
            .ok_or("expected `;` and a target")
            .map(|(rules, target)| (rules.trim(), target.trim().to_owned()))
    };
    Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
        "ruleremovebyid" => ControlText::RemoveRules(RuleFilter::Ids(id_ranges(value)?)),
        "ruleremovebytag" => ControlText::RemoveRules(RuleFilter::Tag(value.to_owned())),
        "ruleremovebymsg" => ControlText::RemoveRules(RuleFilter::Message(value.to_owned())),
        "ruleremovetargetbyid" => {
            let (ids, target) = target()?;
            ControlText::RemoveTarget(RuleFilter::Ids(id_ranges(ids)?), target)
        }
        "ruleremovetargetbytag" => {
            let (tag, target) = target()?;
            ControlText::RemoveTarget(RuleFilter::Tag(tag.to_owned()), target)
        }
        "ruleremovetargetbymsg" => {
            let (message, target) = target()?;
            ControlText::RemoveTarget(RuleFilter::Message(message.to_owned()), target)
        }
        "ruleengine" => ControlText::Engine(engine_mode(value)?),
        "requestbodyprocessor" => ControlText::BodyProcessor(
            BodyProcessor::parse(value).ok_or("a body processor is URLENCODED, MULTIPART, JSON or XML")?,
        ),
        "requestbodyaccess" => ControlText::RequestBodyAccess(on_off(value)?),
        "responsebodyaccess" => ControlText::ResponseBodyAccess(on_off(value)?),
        // One record per transaction is the audit log, nothing logs for debugging, REQUEST_BODY is there whenever no
        // processor is, and limits are the edge's.
        "auditengine"
        | "auditlogparts"
        | "debugloglevel"
        | "forcerequestbodyvariable"
        | "requestbodylimit"
        | "responsebodylimit" => return Ok(None),
        other => return Err(format!("there is no ctl:{other}")),
    }))
}

/// Reads ids and ranges (`942100`, `942100-942999`) separated by spaces or commas.
pub(super) fn id_ranges(text: &str) -> Result<Vec<(u32, u32)>, String> {
    let ranges = text.split([' ', ',', '\t']).filter(|part| !part.is_empty()).map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
            _ => Err(format!("{part} is neither an id nor a range of ids")),
        }
    });
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    if ranges.is_empty() { Err("expected an id or a range of ids".to_owned()) } else { Ok(ranges) }
}

/// Reads `On` or `Off`.
pub(super) fn on_off(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected On or Off".to_owned()),
    }
}

/// Reads the value of `SecRuleEngine`.
pub(super) fn engine_mode(text: &str) -> Result<EngineMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(EngineMode::On),
        "off" => Ok(EngineMode::Off),
        "detectiononly" => Ok(EngineMode::DetectionOnly),
        _ => Err("expected On, Off or DetectionOnly".to_owned()),
    }
}
