//! Whether what was seen is what a scenario expects.

use regex::{Regex, RegexBuilder};
use veloflux_waf::CompileErrors;

use super::drive::{Ran, Seen};
use super::narrate;
use super::scenario::{Expected, Scenario};
use crate::tally::Difference;

pub(super) fn judge(scenario: &Scenario, seen: &Seen) -> Result<(), Difference> {
    let expected = &scenario.expected;
    match (seen, stated(expected.parser_error.as_ref())) {
        (Seen::Mistakes(mistakes), Some(pattern)) => mistake(pattern, mistakes),
        (Seen::Mistakes(mistakes), None) => {
            Err(Difference::new("rules that compile", mistakes.to_string().replace('\n', " | ")))
        }
        (Seen::Ran(_), Some(pattern)) => {
            Err(Difference::new(format!("a parser error {pattern:?}"), "rules that compile"))
        }
        (Seen::Ran(ran), None) => outcome(expected, ran),
    }
}

/// The reference's runner takes an empty pattern for none.
fn stated(pattern: Option<&String>) -> Option<&str> {
    pattern.map(String::as_str).filter(|pattern| !pattern.is_empty())
}

/// One of our mistakes must be in the line that the pattern names, where it names one.
fn mistake(pattern: &str, mistakes: &CompileErrors) -> Result<(), Difference> {
    let line = pattern.split_once("Line: ").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
    let agrees = line.is_none_or(|line| mistakes.0.iter().any(|mistake| mistake.line == line));
    if agrees {
        Ok(())
    } else {
        Err(Difference::new(format!("a mistake in line {line:?}"), mistakes.to_string().replace('\n', " | ")))
    }
}

fn outcome(expected: &Expected, ran: &Ran) -> Result<(), Difference> {
    // The reference's runner takes 200 for expected where a scenario says nothing.
    let status = expected.http_code.unwrap_or(200);
    if ran.status != status {
        let inside = ran.record.internal_errors.join(", ");
        return Err(Difference::new(format!("status {status}"), format!("{} {inside}", ran.status)));
    }
    if let Some(target) = stated(expected.redirect_url.as_ref()) {
        let sent = ran.record.refused.as_ref().and_then(|refusal| refusal.redirect.as_deref());
        if sent != Some(target.as_bytes()) {
            return Err(Difference::new(format!("a redirect to {target}"), format!("{sent:?}")));
        }
    }
    let debug = narrate::debug_log(ran);
    let error = narrate::error_log(ran);
    for (log, pattern, text) in [
        ("debug_log", &expected.debug_log, &debug),
        ("error_log", &expected.error_log, &error),
        // The reference writes the same lines into the audit log.
        ("audit_log", &expected.audit_log, &error),
    ] {
        if let Some(pattern) = stated(pattern.as_ref())
            && !found(pattern, text)
        {
            return Err(Difference::new(format!("{log}: {pattern}"), text.replace('\n', " | ")));
        }
    }
    Ok(())
}

/// Patterns as the reference compiles them: `.` is any byte, `^` and `$` are ends of lines.
fn found(pattern: &str, text: &str) -> bool {
    let compiled: Result<Regex, _> =
        RegexBuilder::new(pattern).multi_line(true).dot_matches_new_line(true).build();
    // Some patterns ask for a line feed itself, where the narration writes `\x0a`.
    compiled.is_ok_and(|pattern| pattern.is_match(text) || pattern.is_match(&text.replace("\\x0a", "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modsecurity::drive;
    use std::path::Path;

    /// The first difference of a scenario with these rules, of `GET /?a=B`, and this expectation.
    fn difference(rules: &str, expected: &str) -> Option<String> {
        let text = format!(
            r#"{{"rules": {rules}, "request": {{"uri": "/?a=B", "method": "GET"}}, "expected": {expected}}}"#
        );
        let scenario: Scenario = serde_json::from_str(&text).unwrap();
        let seen = drive::run(&scenario, "test.json", Path::new("nowhere"));
        judge(&scenario, &seen).err().map(|difference| difference.expected)
    }

    const RULE: &str = r#"["SecRule ARGS \"@contains b\" \"id:1,phase:1,t:lowercase,deny,msg:'m'\""]"#;

    #[test]
    fn what_the_engine_did_is_told_and_nothing_else() {
        for pattern in [
            r#"{"http_code": 403, "debug_log": "T .0. t:lowercase: \"b\".*Target value: \"b\" .Variable: ARGS:a.*Rule returned 1"}"#,
            r#"{"http_code": 403, "error_log": "Access denied with code 403 .*Contains. with parameter .b. against variable .ARGS:a"}"#,
        ] {
            assert_eq!(difference(RULE, pattern), None, "{pattern}");
        }
        for pattern in [
            r#"{"debug_log": "Target value"}"#,
            r#"{"http_code": 403, "debug_log": "Rule returned 0"}"#,
            r#"{"http_code": 403, "error_log": "ARGS:b"}"#,
            r#"{"http_code": 403, "audit_log": "--A--"}"#,
            r#"{"http_code": 403, "parser_error": "Line: 1."}"#,
            r#"{"http_code": 403, "redirect_url": "http://x/"}"#,
        ] {
            assert!(difference(RULE, pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn an_expected_mistake_is_one_in_the_line_it_names() {
        let rules = r#"["SecRuleEngine On", "SecNoSuch"]"#;
        assert_eq!(difference(rules, r#"{"parser_error": "Line: 2. Column: 1."}"#), None);
        assert_eq!(difference(rules, r#"{"parser_error": "whatever"}"#), None);
        assert!(difference(rules, r#"{"parser_error": "Line: 1. Column: 1."}"#).is_some());
        assert!(difference(rules, "{}").is_some());
    }
}
