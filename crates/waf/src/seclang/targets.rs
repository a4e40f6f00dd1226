//! The first argument of a rule: which variables it looks at, `ARGS|!ARGS:x|&TX:y|REQUEST_COOKIES:/^a/|XML:/*`.

use super::{Argument, Parsed, Place};
use crate::limits;

/// One target, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetText {
    /// `!`: not this one.
    pub(crate) except: bool,
    /// `&`: how many there are.
    pub(crate) count: bool,
    /// The variable, in capitals.
    pub(crate) variable: String,
    /// What is behind the colon.
    pub(crate) selector: Option<Selector>,
    pub(crate) place: Place,
}

/// Which members of a collection are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// The members of this name, in any case.
    Name(String),
    /// The members whose name the pattern finds.
    Pattern(String),
}

/// Reads targets separated by `|` (or `,`).
pub(crate) fn parse_targets(argument: &Argument) -> Parsed<Vec<TargetText>> {
    let mut rest = argument.trimmed();
    let mut targets = Vec::new();
    loop {
        let end = target_end(rest.raw());
        targets.push(target(&rest.part(0..end).trimmed())?);
        if targets.len() > limits::TARGETS {
            return Err(argument.mistake(format!("more than {} targets", limits::TARGETS)));
        }
        if end == rest.raw().len() {
            return Ok(targets);
        }
        rest = rest.part(end + 1..rest.raw().len());
    }
}

/// Where the first target of `text` ends: at a separator that stands in no pattern and no quotes.
fn target_end(text: &str) -> usize {
    let separator = |from: usize| text[from..].find(['|', ',']).map_or(text.len(), |length| from + length);
    let plain = separator(0);
    let Some(colon) = text[..plain].find([':', '.']) else { return plain };
    let selector = &text[colon + 1..];
    let closing = match selector.as_bytes() {
        [b'\'', ..] => closing(&selector[1..], "'").map(|offset| offset + 1),
        [b'/', ..] if !is_xml(&text[..colon]) => closing(&selector[1..], "/").map(|offset| offset + 1),
        _ => None,
    };
    closing.map_or(plain, |offset| separator(colon + 1 + offset))
}

/// Offset of the first `delimiter` that ends a selector: unescaped, and followed by a separator or nothing.
fn closing(text: &str, delimiter: &str) -> Option<usize> {
    text.match_indices(delimiter).map(|(offset, _)| offset).find(|offset| {
        let behind = text[offset + delimiter.len()..].trim_start();
        !text[..*offset].ends_with('\\') && (behind.is_empty() || behind.starts_with(['|', ',']))
    })
}

fn is_xml(variable: &str) -> bool {
    variable.trim().trim_start_matches(['!', '&']).eq_ignore_ascii_case("XML")
}

fn target(text: &Argument) -> Parsed<TargetText> {
    let raw = text.raw();
    let name_start = raw.len() - raw.trim_start_matches(['!', '&']).len();
    let (except, count) = match &raw[..name_start] {
        "" => (false, false),
        "!" => (true, false),
        "&" => (false, true),
        _ => return Err(text.mistake("a target has one of `!` and `&` at most")),
    };
    // ModSecurity v3 takes `TX.name` for `TX:name`.
    let (variable, selector) = match raw[name_start..].split_once([':', '.']) {
        Some((variable, selector)) => (variable, Some(selector)),
        None => (&raw[name_start..], None),
    };
    if variable.is_empty() || !variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(text.mistake("expected the name of a variable"));
    }
    let selector = match selector {
        None => None,
        Some(selector) => Some(
            read_selector(selector, is_xml(variable))
                .ok_or_else(|| text.mistake("expected a name or a /pattern/ behind the colon"))?,
        ),
    };
    Ok(TargetText { except, count, variable: variable.to_ascii_uppercase(), selector, place: text.place() })
}

fn read_selector(text: &str, xml: bool) -> Option<Selector> {
    let text = text.trim().replace("\\\"", "\"");
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(&text);
    if inner.is_empty() {
        return None;
    }
    if let Some(pattern) = inner.strip_prefix('/').filter(|_| !xml) {
        return Some(Selector::Pattern(pattern.strip_suffix('/')?.replace("\\/", "/")));
    }
    Some(Selector::Name(inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> Vec<String> {
        parse_targets(&Argument::standalone(text))
            .unwrap()
            .into_iter()
            .map(|target| {
                let sign = if target.except {
                    "!"
                } else if target.count {
                    "&"
                } else {
                    ""
                };
                match target.selector {
                    None => format!("{sign}{}", target.variable),
                    Some(Selector::Name(name)) => format!("{sign}{}:{name}", target.variable),
                    Some(Selector::Pattern(pattern)) => format!("{sign}{}~{pattern}", target.variable),
                }
            })
            .collect()
    }

    #[test]
    fn targets_of_every_form() {
        assert_eq!(
            show("REQUEST_COOKIES|!REQUEST_COOKIES:/__utm|_x/|args_names,&TX:a.b|XML:/*|XML://@*"),
            ["REQUEST_COOKIES", "!REQUEST_COOKIES~__utm|_x", "ARGS_NAMES", "&TX:a.b", "XML:/*", "XML://@*"]
        );
        assert_eq!(show(r"&TX:'/A\/B/'|ARGS:'a|b'"), ["&TX~A/B", "ARGS:a|b"]);
        assert_eq!(show(r"ARGS:/a\/|b/|!ARGS:/x/|TX.y.z"), ["ARGS~a/|b", "!ARGS~x", "TX:y.z"]);
    }

    #[test]
    fn what_is_no_target_is_a_mistake() {
        for text in ["", "ARGS||TX", "!&ARGS", "ARGS:", "ARGS:/x", "AR GS", "ARGS|"] {
            assert!(parse_targets(&Argument::standalone(text)).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"([A-Z:/|,!&' \\"é*]|ARGS|XML){0,40}"#) {
            let _ = parse_targets(&Argument::standalone(&text));
        }
    }
}
