//! From targets as written to targets as run.

use regex::bytes::RegexBuilder;

use crate::program::{Names, Select, Target};
use crate::seclang::{Selector, TargetText};
use crate::variable::Variable;

/// Bytes that a compiled selector pattern may take.
const PATTERN_BYTES: usize = 64 << 10;
/// Bytes of the lazily built automaton of such a pattern, per thread that runs it.
const AUTOMATON_BYTES: usize = 256 << 10;

/// The XML paths that are understood: all text, all attribute values.
const XML_PATHS: [&str; 2] = ["/*", "//@*"];

/// Compiles a link's targets; those with `!` are taken away from the others.
pub(super) fn compile(texts: &[TargetText], names: &mut Names) -> Result<Vec<Target>, (usize, String)> {
    let mut targets: Vec<Target> = Vec::new();
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| !text.except) {
        let (variable, select) = resolve(text).map_err(|why| (index, why))?;
        let select = slotted(variable, select, names);
        targets.push(Target { variable, select, count: text.count, except: Vec::new() });
    }
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| text.except) {
        let (variable, select) = resolve(text).map_err(|why| (index, why))?;
        except(&mut targets, variable, &select);
    }
    Ok(targets)
}

/// Reads what a macro names: `TX.score`, `MATCHED_VAR`, `REQUEST_HEADERS.Host`.
pub(crate) fn macro_target(text: &str, names: &mut Names) -> Result<Target, String> {
    let (variable, select) = exception_target(text)?;
    Ok(Target { variable, select: slotted(variable, select, names), count: false, except: Vec::new() })
}

/// TX variables that are named have slots.
fn slotted(variable: Variable, select: Select, names: &mut Names) -> Select {
    match select {
        Select::Key(name) if variable == Variable::Tx => Select::Slot(names.intern(&name)),
        other => other,
    }
}

/// Takes `select` of `variable` away from `targets`.
fn except(targets: &mut Vec<Target>, variable: Variable, select: &Select) {
    if matches!(select, Select::All) {
        targets.retain(|target| target.variable != variable || target.count);
        return;
    }
    for target in targets.iter_mut().filter(|target| target.variable == variable && !target.count) {
        target.except.push(select.clone());
    }
}

/// Reads what an exclusion names: a variable, and by key or pattern its members.
pub(crate) fn exception_target(text: &str) -> Result<(Variable, Select), String> {
    let argument = crate::seclang::Argument::standalone(text);
    let targets = crate::seclang::parse_targets(&argument).map_err(|mistake| mistake.message)?;
    match &targets[..] {
        [target] if !target.except && !target.count => resolve(target),
        _ => Err("expected one target, without `!`, `&` or `|`".to_owned()),
    }
}

fn resolve(text: &TargetText) -> Result<(Variable, Select), String> {
    let variable = Variable::parse(&text.variable)?;
    let select = match &text.selector {
        None => Select::All,
        Some(_) if !variable.is_collection() => return Err(format!("{} has no members", variable.name())),
        Some(Selector::Name(path)) if variable == Variable::Xml && !XML_PATHS.contains(&path.as_str()) => {
            return Err(format!("XML is looked at with {} only", XML_PATHS.join(" and ")));
        }
        Some(Selector::Name(name)) => Select::Key(name.as_bytes().to_ascii_lowercase().into()),
        Some(Selector::Pattern(pattern)) => selector_pattern(pattern)?,
    };
    Ok((variable, select))
}

/// Names of members are matched without regard to case, as ModSecurity does.
fn selector_pattern(pattern: &str) -> Result<Select, String> {
    if let Some(prefix) = pattern.strip_prefix('^')
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    {
        return Ok(Select::Prefix(prefix.as_bytes().to_ascii_lowercase().into()));
    }
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(AUTOMATON_BYTES)
        .build()
        .map(Select::Pattern)
        .map_err(|error| format!("the selector's pattern is not usable: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_pattern_that_needs_no_automaton() {
        for (pattern, is_prefix) in
            [("^_ga-1", true), ("^", true), ("_ga", false), ("^a.", false), ("^a$", false)]
        {
            let select = selector_pattern(pattern).unwrap();
            assert_eq!(matches!(select, Select::Prefix(_)), is_prefix, "{pattern}");
            let automaton = regex::RegexBuilder::new(pattern).case_insensitive(true).build().unwrap();
            for key in ["_ga-1", "_GA-12", "x_ga-1", "a", "ab", "_g", ""] {
                assert_eq!(select.covers(key.as_bytes()), automaton.is_match(key), "{pattern} {key}");
            }
        }
        assert!(selector_pattern("(?:[a-z]{99}){99}").is_err());
    }
}
