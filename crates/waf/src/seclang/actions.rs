//! The last argument of a rule: `id:1,phase:2,deny,msg:'it\'s, well',t:none,setvar:tx.a=+1`.

use super::{Argument, Parsed, Place};

/// One action, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    /// The name, in lower case.
    pub(crate) name: String,
    /// What is behind the colon, without its quotes.
    pub(crate) value: Option<String>,
    pub(crate) place: Place,
}

/// Reads actions separated by commas. Single quotes protect commas; `\'` is a quote inside them.
pub(crate) fn parse_actions(argument: &Argument) -> Parsed<Vec<Action>> {
    let mut actions = Vec::new();
    let raw = argument.raw();
    let mut start = 0;
    while start <= raw.len() {
        let end = action_end(&raw[start..]).map_err(|offset| {
            argument.part(start + offset..raw.len()).mistake("a single quote that is never closed")
        })? + start;
        let part = argument.part(start..end).trimmed();
        start = end + 1;
        if part.raw().is_empty() {
            // ModSecurity forgives a comma too many, and rule sets in the wild have them.
            continue;
        }
        actions.push(action(&part)?);
    }
    Ok(actions)
}

/// Where the first action of `text` ends; `Err` is the offset of a quote that is never closed.
fn action_end(text: &str) -> Result<usize, usize> {
    let mut quote: Option<usize> = None;
    let mut escaped = false;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\'' => quote = if quote.is_some() { None } else { Some(offset) },
            b',' if quote.is_none() => return Ok(offset),
            _ => {}
        }
    }
    match quote {
        Some(offset) => Err(offset),
        None => Ok(text.len()),
    }
}

fn action(part: &Argument) -> Parsed<Action> {
    let raw = part.raw();
    let (name, value) = match raw.split_once(':') {
        Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
        None => (raw, None),
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(part.mistake("expected the name of an action"));
    }
    Ok(Action { name: name.to_ascii_lowercase(), value, place: part.place() })
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
    inner.replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> Vec<(String, Option<String>)> {
        parse_actions(&Argument::standalone(text))
            .unwrap()
            .into_iter()
            .map(|action| (action.name, action.value))
            .collect()
    }

    #[test]
    fn quotes_protect_commas_and_colons() {
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(
            show(r"id:'1', Phase:2 ,msg:'it\'s, a: b',deny,ctl:ruleRemoveTargetById=1;ARGS:a,"),
            [
                pair("id", "1"),
                pair("phase", "2"),
                pair("msg", "it's, a: b"),
                ("deny".to_owned(), None),
                pair("ctl", "ruleRemoveTargetById=1;ARGS:a"),
            ]
        );
        assert_eq!(show(""), []);
    }

    #[test]
    fn what_is_no_action_is_a_mistake() {
        let open = parse_actions(&Argument::standalone("id:1,msg:'abc,deny")).unwrap_err();
        assert_eq!(open.place.column, 10);
        assert!(parse_actions(&Argument::standalone("id:1,:x")).is_err());
        assert!(parse_actions(&Argument::standalone("id:1,a b")).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"([a-z:,' \\"é]|msg:'){0,40}"#) {
            let _ = parse_actions(&Argument::standalone(&text));
        }
    }
}
