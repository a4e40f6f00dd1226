//! What rules compile to: the program that transactions run.

mod chains;
mod names;

use std::sync::Arc;

use regex::bytes::Regex;

use crate::bits::RuleBits;
use crate::body::XmlPath;
use crate::check::Check;
use crate::compile::XML_PATHS;
use crate::engine::View;
use crate::filter::{CheckId, Filter};
use crate::ruleset::{RuleInfo, Severity};
use crate::seclang::OperatorText;
use crate::template::Template;
use crate::variable::{Variable, Variables};
use crate::walk::Walk;

pub(crate) use chains::{ChainId, Chains};
pub(crate) use names::Names;

/// All rules and what they share.
pub(crate) struct Program {
    pub(crate) rules: Box<[Rule]>,
    /// Per phase, the indices of its rules in order.
    pub(crate) phases: [Box<[u32]>; 5],
    pub(crate) names: Names,
    pub(crate) chains: Chains,
    /// `None`: every check is asked about every value.
    pub(crate) filter: Option<Filter>,
    /// Per rule, what tells without a look at the rule that it cannot match.
    pub(crate) gates: Box<[Gate]>,
    /// Values that links look at.
    pub(crate) shown: Box<[Shown]>,
    /// What is looked at where every rule runs.
    pub(crate) whole: View,
    /// What rules look for in XML beside all text and all attributes.
    pub(crate) xml_paths: Box<[XmlPath]>,
    /// The variables that some rule reads: others need not be made.
    pub(crate) variables: Variables,
}

impl Program {
    /// Whether a member of `XML` by this name is made.
    pub(crate) fn shows_xml(&self, name: &[u8]) -> bool {
        let mut paths = self.xml_paths.iter().map(XmlPath::text).chain(XML_PATHS);
        paths.any(|path| path.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// A rule: a chain of one link or more, and what comes of its full match.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) info: RuleInfo,
    pub(crate) revision: String,
    pub(crate) severity: Option<Severity>,
    /// `logdata` of the first link, macros as written.
    pub(crate) log_data: Option<String>,
    pub(crate) links: Box<[Link]>,
    pub(crate) outcome: Outcome,
    /// Whether its match is written to the record.
    pub(crate) log: bool,
    /// Where the phase goes on after a match that skips rules: at the first of its rules with this index or a later one.
    pub(crate) jump: Option<u32>,
}

/// What a full match does to the transaction.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Pass,
    Refuse { status: u16, drop: bool, redirect: Option<Template> },
    Allow(Allow),
}

/// How far `allow` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allow {
    /// `allow`: no more rules but those of phase 5.
    Transaction,
    /// `allow:phase`: no more rules of this phase.
    Phase,
    /// `allow:request`: no more rules before the response.
    Request,
}

/// One link of a chain: looks at values, and acts on each that matches.
#[derive(Debug)]
pub(crate) struct Link {
    /// A `SecAction`: matches once, looking at nothing.
    pub(crate) action: bool,
    pub(crate) targets: Box<[Target]>,
    /// Where the link compares values with a number.
    pub(crate) compare: Option<Compare>,
    /// Where one TX variable is all that it compares: the variable's slot, which tells without collecting values.
    pub(crate) gate: Option<u32>,
    pub(crate) sieve: Option<Sieve>,
    pub(crate) check: Check,
    /// Matches where the check does not.
    pub(crate) negated: bool,
    /// The forms to check, as nodes of [`Chains`]: the last alone, or with `multiMatch` every one on the way to it.
    pub(crate) stages: Box<[ChainId]>,
    pub(crate) capture: bool,
    /// On each match, at once.
    pub(crate) changes: Box<[Change]>,
    /// On the full match of the chain.
    pub(crate) controls: Box<[Control]>,
    pub(crate) message: Option<Template>,
    pub(crate) log_data: Option<Template>,
}

/// What a link that compares untransformed values with a number asks: most links of a rule set are such, and their
/// values mostly numbers, which are compared as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compare {
    comparison: Comparison,
    operand: i64,
    negated: bool,
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Compare {
    /// What `operator` asks, if it compares with a number.
    pub(crate) fn new(operator: &OperatorText) -> Option<Self> {
        let comparison = match operator.name.to_ascii_lowercase().as_str() {
            "eq" => Comparison::Eq,
            "ge" => Comparison::Ge,
            "gt" => Comparison::Gt,
            "le" => Comparison::Le,
            "lt" => Comparison::Lt,
            _ => return None,
        };
        Some(Self { comparison, operand: operator.argument.parse().ok()?, negated: operator.negated })
    }

    /// Whether the link matches a value that is `number`.
    pub(crate) fn matches(self, number: i64) -> bool {
        let holds = match self.comparison {
            Comparison::Eq => number == self.operand,
            Comparison::Ge => number >= self.operand,
            Comparison::Gt => number > self.operand,
            Comparison::Le => number <= self.operand,
            Comparison::Lt => number < self.operand,
        };
        holds != self.negated
    }
}

/// The filter's knowledge of a link's check.
#[derive(Debug)]
pub(crate) struct Sieve {
    pub(crate) check: CheckId,
    /// Whether all that the link looks at comes from request and response alone.
    pub(crate) is_settled: bool,
}

/// What tells of a rule's first link that it cannot match. Kept apart from rules: a phase passes by most of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate {
    /// Nothing.
    Open,
    /// The number in one TX variable.
    Variable { slot: u32, compare: Compare },
    /// The filter.
    Values(CheckId),
}

impl Gate {
    /// The gate of a link.
    pub(crate) fn of(link: &Link) -> Self {
        if let Some((slot, compare)) = link.gate.zip(link.compare) {
            return Self::Variable { slot, compare };
        }
        match link.sieve {
            Some(Sieve { check, is_settled: true }) => Self::Values(check),
            _ => Self::Open,
        }
    }
}

/// Values of request or response that links look at, and how.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) variable: Variable,
    pub(crate) select: Select,
    /// After which chains. Members that single links take away are included.
    pub(crate) walk: Walk,
}

/// A variable, or members of one, or their number.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) variable: Variable,
    pub(crate) select: Select,
    pub(crate) count: bool,
    /// Members that do not count: `!ARGS:x`, `SecRuleUpdateTargetById`.
    pub(crate) except: Vec<Select>,
}

/// Which members of a collection.
#[derive(Debug, Clone)]
pub(crate) enum Select {
    All,
    /// By name, in lower case.
    Key(Arc<[u8]>),
    /// Those whose name begins so, in lower case: what most patterns ask, for a hundredth of their memory.
    Prefix(Arc<[u8]>),
    /// Those whose name the pattern finds.
    Pattern(Regex),
    /// A TX variable whose name is in [`Names`].
    Slot(u32),
}

impl Select {
    /// Whether a member of this name is meant.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(name) => name.eq_ignore_ascii_case(key),
            Self::Prefix(prefix) => {
                key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
            Self::Pattern(pattern) => pattern.is_match(key),
            Self::Slot(_) => false,
        }
    }
}

/// A target taken away from rules.
#[derive(Debug, Clone)]
pub(crate) struct Exception {
    pub(crate) rules: RuleBits,
    pub(crate) variable: Variable,
    pub(crate) select: Select,
}

/// What a link changes on each match.
#[derive(Debug)]
pub(crate) enum Change {
    /// `setvar`, `expirevar`, `deprecatevar`.
    Variable { collection: Variable, name: MemberName, kind: ChangeKind },
    /// `initcol`, `setsid`, `setuid`, `setrsc`: the collection is the entry of this key.
    Bind { collection: Variable, key: Template },
}

impl Change {
    /// Whether it may reach beyond the transaction.
    pub(crate) fn outlives(&self) -> bool {
        !matches!(self, Self::Variable { collection: Variable::Tx, .. })
    }

    /// All texts in it that may hold macros.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        let texts = match self {
            Self::Bind { key, .. } => [Some(key), None, None],
            Self::Variable { name, kind, .. } => {
                let name = match name {
                    MemberName::Dynamic(name) => Some(name),
                    MemberName::Slot(_) => None,
                };
                match kind {
                    ChangeKind::Set(value)
                    | ChangeKind::Add(value)
                    | ChangeKind::Subtract(value)
                    | ChangeKind::Expire(value) => [name, Some(value), None],
                    ChangeKind::Decay { amount, every_s } => [name, Some(amount), Some(every_s)],
                    ChangeKind::Delete => [name, None, None],
                }
            }
        };
        texts.into_iter().flatten()
    }
}

/// The name of a variable to set.
#[derive(Debug)]
pub(crate) enum MemberName {
    /// A TX variable, by slot.
    Slot(u32),
    /// A name with macros, or one of another collection.
    Dynamic(Template),
}

/// How a variable changes.
#[derive(Debug)]
pub(crate) enum ChangeKind {
    Set(Template),
    Add(Template),
    Subtract(Template),
    Delete,
    /// Deletes so many seconds from now; persistent collections only.
    Expire(Template),
    /// Takes the amount away for every period of so many seconds, likewise.
    Decay {
        amount: Template,
        every_s: Template,
    },
}

/// Actions on the transaction itself: `ctl` and its kin.
#[derive(Debug)]
pub(crate) enum Control {
    RemoveRules(RuleBits),
    RemoveTarget(Exception),
    Engine(EngineMode),
    BodyProcessor(BodyProcessor),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    /// Of a tenant's own rules: something of the shared rule set does not apply to the transaction.
    Exclude(Exclude),
}

/// What a tenant's own rule takes away, as bits of the shared rule set.
#[derive(Debug, Clone)]
pub(crate) enum Exclude {
    Rules(RuleBits),
    Target(Exception),
}

/// `SecRuleEngine` and `ctl:ruleEngine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineMode {
    On,
    DetectionOnly,
    Off,
}

/// How a request body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyProcessor {
    Urlencoded,
    Multipart,
    Json,
    Xml,
}

impl BodyProcessor {
    const ALL: [Self; 4] = [Self::Urlencoded, Self::Multipart, Self::Json, Self::Xml];

    /// The name in `REQBODY_PROCESSOR`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Urlencoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }

    /// Reads a name in any case.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|processor| processor.name().eq_ignore_ascii_case(name))
    }
}
