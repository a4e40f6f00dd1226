//! Tells what the engine did in the words of the reference's logs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use veloflux_waf::{Match, Skip, Step};

use super::drive::{PROBE, Ran};
use super::rule_text::{self, LinkText};

/// What the reference's multipart parser says where these variables are 1.
const WARNINGS: [(&str, &str); 7] = [
    ("MULTIPART_BOUNDARY_QUOTED", "Multipart: Warning: boundary was quoted."),
    ("MULTIPART_BOUNDARY_WHITESPACE", "Multipart: Warning: boundary whitespace in C-T header."),
    ("MULTIPART_DATA_BEFORE", "Multipart: Warning: seen data before first boundary."),
    ("MULTIPART_DATA_AFTER", "Multipart: Warning: seen data after last boundary."),
    ("MULTIPART_LF_LINE", "Multipart: Warning: incorrect line endings used (LF)."),
    ("MULTIPART_INVALID_QUOTING", "Multipart: Warning: invalid quoting used."),
    ("MULTIPART_FILE_LIMIT_EXCEEDED", "Multipart: Upload file limit exceeded"),
];

/// What the reference says of a body where our parsers say this.
const MISTAKES: [(&str, &str); 21] = [
    ("the final boundary is missing", "Multipart: Final boundary missing."),
    ("a part without a content disposition", "Multipart: Part missing Content-Disposition header."),
    ("a semicolon is missing in a content disposition", "Multipart: Invalid Content-Disposition header"),
    ("a parameter without a value in a content disposition", "Multipart: Invalid Content-Disposition header"),
    ("a content disposition that is not form-data", "Multipart: Invalid Content-Disposition header"),
    ("a part without a name", "Multipart: Content-Disposition header missing name field."),
    ("a part header without a name", "Multipart: Invalid part header (header name missing)."),
    ("a part header that is not a name", "Multipart: Invalid part header (contains invalid character)."),
    ("no boundary in the body", "Multipart: No boundaries found in payload."),
    ("a parameter twice in a content disposition", "Multipart: Duplicate Content-Disposition name"),
    ("filename* without filename in a content disposition", "Warning: no filename= but filename*"),
    ("filename* is not of the form", "Multipart: Invalid Content-Disposition header"),
    ("something before the boundary in", "Multipart: Invalid boundary in C-T (malformed)."),
    ("`boundary` in capitals in", "Multipart: Invalid boundary in C-T (case sensitivity)."),
    ("something between `boundary` and `=`", "Multipart: Invalid boundary in C-T (parameter name)."),
    ("more than one boundary in the content type", "Multipart: Multiple boundary parameters in C-T."),
    ("a boundary of bytes that it may not have", "Multipart: Invalid boundary in C-T (characters)."),
    ("a boundary that ends in a space", "Multipart: Invalid boundary in C-T (characters)."),
    ("a boundary with one quote", "Multipart: Invalid boundary in C-T (quote)."),
    ("the document is not well-formed", "XML: Failed parsing document."),
    ("text outside the root element", "XML: Failed parsing document."),
];

/// The steps of a transaction, as the reference's debug log tells them.
pub(super) fn debug_log(ran: &Ran) -> String {
    let mut teller = Teller { ran, links: rule_text::links(&ran.texts), told: String::new(), open: None };
    // The reference reads the body before it runs rules.
    let (read, run): (Vec<&Step>, Vec<&Step>) = ran.record.steps.iter().partition(|step| is_probe(step));
    for step in read {
        teller.read(step);
    }
    teller.removed_before_all();
    for step in run {
        teller.step(step);
    }
    if let Some(kind) = &ran.uninspected {
        teller.say(&format!("Response Content-Type is {kind}. It is not marked to be inspected."));
    }
    teller.told
}

/// The matches of a transaction, as the reference's error log tells them.
pub(super) fn error_log(ran: &Ran) -> String {
    let links = rule_text::links(&ran.texts);
    let mut told = String::new();
    for found in ran.record.matches.iter().filter(|found| found.logged) {
        let refused = ran
            .record
            .refused
            .as_ref()
            .filter(|refusal| refusal.cause == veloflux_waf::Cause::Rule(found.rule_id));
        let verdict = match refused {
            Some(refusal) => {
                format!("Access denied with code {} (phase {}).", refusal.status, refusal.phase)
            }
            None => "Warning.".to_owned(),
        };
        let links = links.get(&found.rule_id).map_or(&[][..], Vec::as_slice);
        let (what, about) = (matched(ran, found, links), metadata(found));
        let places = reference(ran, found.rule_id);
        let _ = writeln!(told, "ModSecurity: {verdict} {what} {about} [ref \"{places}\"]");
    }
    told
}

/// The reference names the last link that looked at something, and what it matched last.
fn matched(ran: &Ran, found: &Match, links: &[LinkText]) -> String {
    let looks = links.iter().enumerate().rfind(|(_, link)| !link.operator.is_empty());
    let Some((place, text)) = looks else { return "Unconditional match in SecAction.".to_owned() };
    let judged = ran.record.steps.iter().rev().find_map(|step| match step {
        Step::Judged { rule_id, link, argument, variable, before, forms, matched: true, .. }
            if (*rule_id, *link) == (found.rule_id, place) =>
        {
            let value = readable(forms.last().map_or(before, |(_, form)| form));
            Some((variable.as_str(), value, argument.as_deref().map(readable)))
        }
        _ => None,
    });
    let (variable, value, argument) = judged.unwrap_or_default();
    let argument = argument.unwrap_or_else(|| text.argument.clone());
    format!(
        "Matched \"Operator `{}' with parameter `{argument}' against variable `{variable}' (Value: `{value}' )",
        text.operator
    )
}

/// Where a rule's matches are: what the operator found in each value, where the value stands in the request, and how it
/// was transformed.
fn reference(ran: &Ran, rule: u32) -> String {
    let mut told = String::new();
    for step in &ran.record.steps {
        let Step::Judged { rule_id, forms, matched: true, spans, places, .. } = step else { continue };
        if *rule_id != rule {
            continue;
        }
        for (letter, ranges) in [('o', spans), ('v', places)] {
            for range in ranges {
                let _ = write!(told, "{letter}{},{}", range.start, range.len());
            }
        }
        let names = forms.iter().map(|(name, _)| format!("t:{}", rule_text::spelling(&ran.texts, name)));
        told.push_str(&names.collect::<Vec<_>>().join(","));
    }
    told
}

fn metadata(found: &Match) -> String {
    let Match { file, line, rule_id, message, data, .. } = found;
    let severity = found.severity.map_or(0, veloflux_waf::Severity::level);
    let mut told = format!(
        "[file \"{file}\"] [line \"{line}\"] [id \"{rule_id}\"] [rev \"\"] [msg \"{message}\"] [data \"{data}\"] \
         [severity \"{severity}\"] [ver \"\"] [maturity \"0\"] [accuracy \"0\"]"
    );
    for tag in found.tags.iter() {
        let _ = write!(told, " [tag \"{tag}\"]");
    }
    told
}

fn is_probe(step: &Step) -> bool {
    match step {
        Step::Judged { rule_id, .. }
        | Step::Returned { rule_id, .. }
        | Step::Captured { rule_id, .. }
        | Step::Set { rule_id, .. }
        | Step::Controlled { rule_id, .. }
        | Step::Matched { rule_id, .. }
        | Step::Skipped { rule_id, .. } => *rule_id == PROBE,
        Step::EngineOff { .. } => false,
    }
}

struct Teller<'a> {
    ran: &'a Ran,
    links: BTreeMap<u32, Vec<LinkText>>,
    told: String,
    /// The link whose beginning has been told.
    open: Option<(u32, usize)>,
}

impl Teller<'_> {
    fn say(&mut self, sentence: &str) {
        self.told.push_str("[9] ");
        self.told.push_str(sentence);
        self.told.push('\n');
    }

    /// What the probe saw of the body.
    fn read(&mut self, step: &Step) {
        let Step::Judged { variable, before, .. } = step else { return };
        let value = readable(before);
        if let Some(name) = variable.strip_prefix("ARGS_POST:") {
            if self.ran.multipart {
                self.say(&format!("Multipart: Content-Disposition name: {name}."));
                self.say(&format!("Multipart: Added data to variable: {value}"));
            }
            self.say(&format!("Adding request argument (BODY): name \"{name}\", value \"{value}\""));
        } else if variable == "REQBODY_ERROR" && value == "1" {
            self.say("Failed to parse request body");
        } else if variable == "REQBODY_ERROR_MSG" && !value.is_empty() {
            self.say(&value);
            let kind = value.split_once(" parsing error: ").map_or("", |(kind, _)| kind);
            for (_, theirs) in MISTAKES.iter().filter(|(ours, _)| value.contains(ours)) {
                self.say(&format!("{kind} parsing error: {theirs}"));
            }
        } else if let Some((_, warning)) = WARNINGS.iter().find(|(name, _)| name == variable)
            && value == "1"
        {
            self.say(warning);
        }
    }

    /// Rules of the text that the compiled rule set does not have: a directive took them out.
    fn removed_before_all(&mut self) {
        let kept: Vec<u32> = self.ran.ruleset.rules().map(|rule| rule.id).collect();
        let gone: Vec<u32> = self.links.keys().copied().filter(|id| !kept.contains(id)).collect();
        for id in gone {
            self.say(&format!("Skipped rule id '{id}'. Removed by an SecRuleRemove directive."));
            self.say(&format!("Skipped rule id '{id}'. Removed by a SecRuleRemoveByMsg directive."));
            self.say(&format!("Skipped rule id '{id}'. Removed by a SecRuleRemoveByTag directive."));
        }
    }

    fn begin(&mut self, rule: u32, link: usize) {
        if self.open == Some((rule, link)) {
            return;
        }
        self.open = Some((rule, link));
        let text = self.links.get(&rule).and_then(|links| links.get(link)).cloned();
        match text {
            Some(LinkText { targets, operator, argument }) if !operator.is_empty() => self.say(&format!(
                "(Rule: {rule}) Executing operator \"{operator}\" with param \"{argument}\" against {targets}."
            )),
            _ => self.say(&format!("(Rule: {rule}) Executing unconditional rule...")),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Skipped { rule_id, why } => self.skipped(*rule_id, *why),
            Step::EngineOff { .. } => self.say("Rule engine disabled, returning..."),
            Step::Judged { rule_id, link, variable, before, forms, .. } => {
                self.begin(*rule_id, *link);
                for (number, (name, form)) in forms.iter().enumerate() {
                    let name = rule_text::spelling(&self.ran.texts, name);
                    self.say(&format!(" T ({number}) t:{name}: \"{}\"", readable(form)));
                }
                let value = readable(forms.last().map_or(before, |(_, form)| form));
                let variable = variable.trim_start_matches('&');
                self.say(&format!("Target value: \"{value}\" (Variable: {variable})"));
            }
            Step::Returned { rule_id, link, matched } => {
                self.begin(*rule_id, *link);
                self.say(&format!("Rule returned {}.", u8::from(*matched)));
                self.open = None;
            }
            Step::Captured { rule_id, number, value } => {
                let links = self.links.get(rule_id).map_or(&[][..], Vec::as_slice);
                let place = self.open.map_or(0, |(_, link)| link);
                let what = match links.get(place).map(|link| link.operator.as_str()) {
                    Some("Rx" | "RxGlobal" | "") | None => "regex subexpression".to_owned(),
                    Some(operator) => format!("{operator} match"),
                };
                self.say(&format!("Added {what} TX.{number}: {}", readable(value)));
            }
            Step::Set { variable, value, .. } => {
                let value = readable(value.as_deref().unwrap_or_default());
                if let Some(name) = variable.strip_prefix("ENV:") {
                    self.say(&format!("Setting environment variable: {name} to {value}"));
                    return;
                }
                self.say(&format!("Saving variable: {variable} with value: {value}"));
            }
            Step::Controlled { control, .. } if control == "requestBodyAccess=Off" => self.say(
                "Request body processing is enabled, but disabled to this transaction due to \
                 ctl:requestBodyAccess action",
            ),
            Step::Controlled { control, .. } => {
                let state = match control.strip_prefix("ruleEngine=") {
                    Some("Off") => "Disabled",
                    Some("On") => "Enabled",
                    Some(other) => other,
                    None => return,
                };
                self.say(&format!(
                    "Setting SecRuleEngine to {state} as requested by a ctl:ruleEngine action"
                ));
            }
            Step::Matched { rule_id, message, outcome, .. } => self.matched(*rule_id, message, outcome),
        }
    }

    fn matched(&mut self, rule: u32, message: &str, outcome: &str) {
        self.say(&format!("Saving msg: {message}"));
        let tags = self.ran.ruleset.rules().find(|info| info.id == rule).map(|info| info.tags.clone());
        for tag in tags.iter().flat_map(|tags| tags.iter()) {
            self.say(&format!("Rule tag: {tag}"));
        }
        if self.ran.record.matches.iter().any(|found| found.rule_id == rule && found.logged) {
            self.say("Running action: log");
        }
        self.say(&format!("Running action {outcome}"));
    }

    fn skipped(&mut self, rule: u32, why: Skip) {
        match why {
            Skip::Removed => {
                self.say(&format!("Rule id: {rule} was skipped due to a ruleRemoveById action..."));
                self.say(&format!("Skipped rule id '{rule}'. Skipped due to a ruleRemoveByTag action."));
            }
            Skip::Allowed => {
                let place = self.ran.ruleset.rules().find(|info| info.id == rule);
                let place = place.map(|info| format!("{}:{}", info.file, info.line)).unwrap_or_default();
                self.say(&format!(
                    "Skipped rule id '{place}' as request trough the utilization of an `allow' action."
                ));
                self.say(&format!(
                    "Skipped rule id '{rule}': Dropping the evaluation of upcoming rules in favor of an \
                     `allow' action."
                ));
            }
            Skip::Jumped => {
                self.say(&format!("Skipped rule id '{rule}' due to a `skip' action."));
            }
        }
    }
}

/// Bytes that cannot be printed are `\xHH` in the reference's logs.
fn readable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect()
}
