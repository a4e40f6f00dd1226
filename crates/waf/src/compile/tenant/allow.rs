//! The words that a tenant's own rules may hold. All other words are refused, each with its reason where there is one
//! to tell.

use crate::check::never_answers;
use crate::ruleset::Ruleset;
use crate::seclang::{self, Action, Argument, Directive, Mistake, OperatorText, TargetText};
use crate::template;
use crate::variable::Variable;

const DIRECTIVES: &[&str] = &["SecAction", "SecDefaultAction", "SecMarker", "SecRule"];

/// Operators whose whole answer is in the value and the rule's text.
const OPERATORS: &[&str] = &[
    "beginsWith",
    "contains",
    "containsWord",
    "detectSQLi",
    "detectXSS",
    "endsWith",
    "eq",
    "ge",
    "gt",
    "ipMatch",
    "le",
    "lt",
    "noMatch",
    "pm",
    "rx",
    "rxGlobal",
    "streq",
    "strmatch",
    "unconditionalMatch",
    "validateByteRange",
    "validateUrlEncoding",
    "validateUtf8Encoding",
    "verifyCC",
    "verifyCPF",
    "verifySSN",
    "verifySVNR",
    "within",
];

/// Operators whose argument is a pattern.
const PATTERNS: &[&str] = &["rx", "rxGlobal", "verifyCC", "verifyCPF", "verifySSN", "verifySVNR"];

const ACTIONS: &[&str] = &[
    "accuracy",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "drop",
    "id",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multimatch",
    "noauditlog",
    "nolog",
    "pass",
    "phase",
    "redirect",
    "rev",
    "setvar",
    "severity",
    "skip",
    "skipafter",
    "status",
    "t",
    "tag",
    "ver",
];

const CTL: &[&str] = &[
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

const FILES: &str = "own rules read no files; write the words into the rule";
const OTHERS: &str = "own rules keep nothing beyond their transaction; only TX can be set";
const BASE: &str = "what the rule set's rules do is changed with exclusions and `ctl:ruleRemove…`";

/// Why well-known words are not allowed.
const REASONS: &[(&str, &str)] = &[
    ("include", FILES),
    ("includeoptional", FILES),
    ("pmfromfile", FILES),
    ("pmf", FILES),
    ("ipmatchfromfile", FILES),
    ("ipmatchf", FILES),
    ("exec", "rules run no programs"),
    (
        "allow",
        "it would skip rules that are not the tenant's; exclude those that are in the way, or use skipAfter",
    ),
    ("initcol", OTHERS),
    ("setsid", OTHERS),
    ("setuid", OTHERS),
    ("setrsc", OTHERS),
    ("expirevar", OTHERS),
    ("deprecatevar", OTHERS),
    ("ip", OTHERS),
    ("session", OTHERS),
    ("user", OTHERS),
    ("global", OTHERS),
    ("resource", OTHERS),
    ("secruleengine", "the mode is set in the tenant's firewall settings"),
    ("ruleengine", "whether a request is judged is the operator's"),
    ("secruleremovebyid", BASE),
    ("secruleremovebymsg", BASE),
    ("secruleremovebytag", BASE),
    ("secruleupdateactionbyid", BASE),
    ("secruleupdatetargetbyid", BASE),
    ("secruleupdatetargetbymsg", BASE),
    ("secruleupdatetargetbytag", BASE),
    ("requestbodyaccess", "what is looked at is the operator's"),
    ("responsebodyaccess", "what is looked at is the operator's"),
    ("requestbodyprocessor", "the rule set's rules would read the body in another way"),
];

/// Whether `name` is a directive of own rules.
pub(super) fn is_directive(name: &str) -> bool {
    is_in(DIRECTIVES, name)
}

/// Everything in `directive` that a tenant may not say. What cannot even be read is the reader's to tell.
pub(super) fn refusals(directive: &Directive, base: &Ruleset) -> Vec<Mistake> {
    if !is_directive(&directive.name) {
        let message = refusal("the directive", &directive.name);
        return vec![Mistake { place: directive.place.clone(), text: directive.name.clone(), message }];
    }
    let name = directive.name.to_ascii_lowercase();
    let (looks, actions) = match (name.as_str(), &directive.arguments[..]) {
        ("secrule", [targets, operator]) => (Some((targets, operator)), None),
        ("secrule", [targets, operator, actions]) => (Some((targets, operator)), Some(actions)),
        ("secaction" | "secdefaultaction", [actions]) => (None, Some(actions)),
        _ => (None, None),
    };
    let mut refused = Vec::new();
    if let Some((targets, operator)) = looks {
        let targets = seclang::parse_targets(targets).unwrap_or_default();
        refused.extend(targets.iter().filter_map(target));
        refused.extend(checked(operator));
    }
    let actions = actions.map(seclang::parse_actions).and_then(Result::ok).unwrap_or_default();
    refused.extend(actions.iter().filter_map(|each| action(each, base)));
    refused
}

fn is_in(list: &[&str], name: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// `what name is not for own rules`, and why.
fn refusal(what: &str, name: &str) -> String {
    match REASONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, why)) => format!("{what} {name} is not for own rules: {why}"),
        None => format!("{what} {name} is not for own rules"),
    }
}

fn target(text: &TargetText) -> Option<Mistake> {
    let variable = Variable::parse(&text.variable).ok()?;
    (!is_readable(variable)).then(|| Mistake {
        place: text.place.clone(),
        text: text.variable.clone(),
        message: refusal("the variable", variable.name()),
    })
}

/// Whether a variable shows the transaction alone: request, response, and what own rules made of them.
pub(super) fn is_readable(variable: Variable) -> bool {
    use Variable as V;
    variable.is_settled()
        || matches!(
            variable,
            V::Duration
                | V::HighestSeverity
                | V::MatchedVar
                | V::MatchedVarName
                | V::MatchedVars
                | V::MatchedVarsNames
                | V::ReqbodyProcessor
                | V::Rule
                | V::Time
                | V::TimeDay
                | V::TimeEpoch
                | V::TimeHour
                | V::TimeMin
                | V::TimeMon
                | V::TimeSec
                | V::TimeWday
                | V::TimeYear
                | V::Tx
        )
}

fn checked(argument: &Argument) -> Option<Mistake> {
    let OperatorText { name, argument: operand, place, .. } = seclang::parse_operator(argument);
    let refuse = |message| Some(Mistake { place, text: format!("@{name}"), message });
    if !is_in(OPERATORS, &name) {
        let message = refusal("the operator", &name);
        return refuse(match never_answers(&name) {
            Some(why) => format!("{message}: {why}"),
            None => message,
        });
    }
    if is_in(PATTERNS, &name) && template::has_macro(&operand) {
        return refuse("own rules hold no patterns made of macros: what they cost is not known".to_owned());
    }
    None
}

fn action(action: &Action, base: &Ruleset) -> Option<Mistake> {
    let refuse = |message| {
        let text = action.value.clone().unwrap_or_default();
        Some(Mistake { place: action.place.clone(), text, message })
    };
    if !is_in(ACTIONS, &action.name) {
        return refuse(refusal("the action", &action.name));
    }
    let value = action.value.as_deref().unwrap_or_default().trim();
    match action.name.as_str() {
        "ctl" => {
            let name = value.split('=').next().unwrap_or_default().trim();
            if is_in(CTL, name) { None } else { refuse(refusal("ctl", name)) }
        }
        "setvar" => {
            let name = value.trim_start_matches('!').split('=').next().unwrap_or_default().trim();
            let (collection, member) = name.split_once(['.', ':'])?;
            if !collection.eq_ignore_ascii_case("tx") {
                return refuse(refusal("the collection", &collection.to_ascii_uppercase()));
            }
            let member = member.to_ascii_lowercase();
            base.program.names.find(member.as_bytes())?;
            refuse(format!("TX:{member} belongs to the rule set: own rules have variables of their own"))
        }
        _ => None,
    }
}
