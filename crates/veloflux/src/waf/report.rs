//! What `waf eval` prints: for people, or with `--json` as one object.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use veloflux_waf::{Cause, Match, Overlay, Record, Ruleset, Step};

use super::request::Request;
use crate::failure::{Failure, Outcome};

#[derive(Serialize)]
pub(super) struct Report {
    request: String,
    rulesets: Vec<String>,
    rules: usize,
    paranoia_level: u8,
    verdict: VerdictLine,
    inbound: Score,
    outbound: Score,
    matches: Vec<MatchLine>,
    /// Every change of a variable that is called a score, in order.
    arithmetic: Vec<Change>,
    internal_errors: Vec<String>,
    rules_run: usize,
    values_judged: usize,
    work_units: u64,
    time_us: u64,
}

#[derive(Serialize)]
struct VerdictLine {
    refused: bool,
    status: Option<u16>,
    phase: Option<u8>,
    rule: Option<u32>,
    over_budget: bool,
}

#[derive(Serialize)]
struct Score {
    score: i64,
    threshold: u32,
}

#[derive(Serialize)]
struct MatchLine {
    rule: u32,
    phase: u8,
    severity: Option<&'static str>,
    message: String,
    data: String,
    /// What matched: every value, in the form in which it did.
    on: Vec<OnValue>,
    file: String,
    line: u32,
}

#[derive(Serialize)]
struct OnValue {
    variable: String,
    value: String,
    transformations: Vec<&'static str>,
}

#[derive(Serialize)]
struct Change {
    rule: u32,
    variable: String,
    before: i64,
    after: i64,
}

impl Report {
    pub(super) fn new(
        ruleset: &Ruleset,
        overlay: &Overlay,
        request: &Request,
        record: &Record,
        time: Duration,
    ) -> Self {
        let levels = overlay.levels();
        let refused = record.refused.as_ref();
        let count = |wanted: fn(&Step) -> bool| record.steps.iter().filter(|step| wanted(step)).count();
        let Request { method, target, body, .. } = request;
        Self {
            request: format!(
                "{} {} ({} bytes of body)",
                method.escape_ascii(),
                target.escape_ascii(),
                body.len()
            ),
            rulesets: ruleset.component_signatures().to_vec(),
            rules: ruleset.rule_count(),
            paranoia_level: levels.paranoia,
            verdict: VerdictLine {
                refused: refused.is_some(),
                status: refused.map(|refusal| refusal.status),
                phase: refused.map(|refusal| refusal.phase),
                over_budget: record.work.over_budget,
                rule: refused.and_then(|refusal| match refusal.cause {
                    Cause::Rule(id) => Some(id),
                    Cause::BodyLimit | Cause::Budget | Cause::Internal(_) => None,
                }),
            },
            inbound: Score { score: record.inbound_score, threshold: levels.inbound_threshold },
            outbound: Score { score: record.outbound_score, threshold: levels.outbound_threshold },
            matches: record.matches.iter().map(|found| MatchLine::new(found, &record.steps)).collect(),
            arithmetic: arithmetic(&record.steps),
            internal_errors: record.internal_errors.clone(),
            rules_run: count(|step| matches!(step, Step::Returned { link: 0, .. })),
            values_judged: count(|step| matches!(step, Step::Judged { .. })),
            work_units: record.work.units,
            time_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn json(&self) -> Outcome<String> {
        serde_json::to_string(self).map_err(|error| Failure::new(error.to_string()))
    }
}

impl MatchLine {
    fn new(found: &Match, steps: &[Step]) -> Self {
        let on = steps.iter().filter_map(|step| match step {
            Step::Judged { rule_id, variable, before, forms, matched: true, .. }
                if *rule_id == found.rule_id =>
            {
                let value = forms.last().map_or(before, |(_, form)| form);
                Some(OnValue {
                    variable: variable.clone(),
                    value: value.escape_ascii().to_string(),
                    transformations: forms.iter().map(|(name, _)| *name).collect(),
                })
            }
            _ => None,
        });
        Self {
            rule: found.rule_id,
            phase: found.phase,
            severity: found.severity.map(veloflux_waf::Severity::name),
            message: found.message.clone(),
            data: found.data.clone(),
            on: on.collect(),
            file: found.file.to_string(),
            line: found.line,
        }
    }
}

/// Changes of variables whose name ends in `score`, or has it before a paranoia level, as the CRS names them.
fn arithmetic(steps: &[Step]) -> Vec<Change> {
    let mut scores: BTreeMap<&str, i64> = BTreeMap::new();
    let mut changes = Vec::new();
    for step in steps {
        let Step::Set { rule_id, variable, value: Some(value) } = step else { continue };
        let after = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        let Some(after) = after.filter(|_| variable.contains("score") && !variable.contains("threshold"))
        else {
            continue;
        };
        let before = scores.insert(variable, after).unwrap_or(0);
        if before != after {
            changes.push(Change { rule: *rule_id, variable: variable.clone(), before, after });
        }
    }
    changes
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "request  {}", self.request)?;
        let named = if self.rulesets.is_empty() { "no name".to_owned() } else { self.rulesets.join(", ") };
        writeln!(f, "rules    {named}: {} rules at paranoia level {}", self.rules, self.paranoia_level)?;
        writeln!(f, "verdict  {}", self.verdict)?;
        writeln!(
            f,
            "score    inbound {} of {}, outbound {} of {}",
            self.inbound.score, self.inbound.threshold, self.outbound.score, self.outbound.threshold
        )?;
        writeln!(
            f,
            "time     {} us, {} units of work; {} rules looked at {} values",
            self.time_us, self.work_units, self.rules_run, self.values_judged
        )?;
        for error in &self.internal_errors {
            writeln!(f, "error    {error}")?;
        }
        for found in &self.matches {
            write!(f, "\n{found}")?;
        }
        if !self.arithmetic.is_empty() {
            writeln!(f, "\nscores")?;
        }
        for Change { rule, variable, before, after } in &self.arithmetic {
            writeln!(f, "  rule {rule}: {variable} {before} {:+} = {after}", after - before)?;
        }
        Ok(())
    }
}

impl fmt::Display for VerdictLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { status: Some(status), phase: Some(phase), rule: Some(rule), .. } => {
                write!(f, "refused with {status} by rule {rule} in phase {phase}")
            }
            Self { status: Some(status), over_budget: true, .. } => {
                write!(f, "refused with {status}: judging it takes more than its work budget")
            }
            Self { status: Some(status), .. } => {
                write!(f, "refused with {status}: the engine could not judge it")
            }
            _ => f.write_str("passed"),
        }
    }
}

impl fmt::Display for MatchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.map(|severity| format!(" {severity}")).unwrap_or_default();
        let rule = format!("rule {} (phase {}{severity}) {}", self.rule, self.phase, self.message);
        writeln!(f, "{}", rule.trim_end())?;
        for OnValue { variable, value, transformations } in &self.on {
            write!(f, "  {variable} is \"{value}\"")?;
            if !transformations.is_empty() {
                write!(f, ", after {}", transformations.join(", "))?;
            }
            writeln!(f)?;
        }
        if !self.data.is_empty() {
            writeln!(f, "  {}", self.data)?;
        }
        writeln!(f, "  {}:{}", self.file, self.line)
    }
}
