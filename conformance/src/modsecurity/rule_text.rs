//! Operators as rules write them: the record names rules, the reference's logs quote their operators too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// One link of a rule, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkText {
    pub(super) targets: String,
    /// The operator's name as the reference's logs write it; empty for `SecAction`.
    pub(super) operator: String,
    pub(super) argument: String,
}

/// The links of each rule, by the rule's id.
pub(super) fn links(texts: &[(String, String)]) -> BTreeMap<u32, Vec<LinkText>> {
    let mut rules: BTreeMap<u32, Vec<LinkText>> = BTreeMap::new();
    let mut last = None;
    for line in texts.iter().flat_map(|(_, text)| logical_lines(text)) {
        let Some(link) = link(&line) else { continue };
        last = id(&line).or(last);
        if let Some(id) = last {
            rules.entry(id).or_default().push(link);
        }
    }
    rules
}

fn logical_lines(text: &str) -> Vec<String> {
    text.replace("\\\n", "").lines().map(|line| line.trim().to_owned()).collect()
}

/// A transformation's name as the rules spell it, which is how the reference's logs do.
pub(super) fn spelling(texts: &[(String, String)], name: &str) -> String {
    let wanted = format!("t:{}", name.to_ascii_lowercase());
    let found = texts.iter().find_map(|(_, text)| {
        let at = text.to_ascii_lowercase().find(&wanted)?;
        text.get(at + 2..at + wanted.len())
    });
    found.unwrap_or(name).to_owned()
}

/// The last id counts, as in the reference.
fn id(line: &str) -> Option<u32> {
    static ID: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"[",\s]id:'?(\d+)"#).ok());
    ID.as_ref()?.captures_iter(line).last()?[1].parse().ok()
}

fn link(line: &str) -> Option<LinkText> {
    static RULE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)^SecRule\s+("[^"]*"|\S+)\s+("((?:[^"\\]|\\.)*)"|\S+)"#).ok());
    if line.to_ascii_lowercase().starts_with("secaction") {
        let empty = String::new;
        return Some(LinkText { targets: empty(), operator: empty(), argument: empty() });
    }
    let found = RULE.as_ref()?.captures(line)?;
    let operator = found.get(3).or_else(|| found.get(2))?.as_str();
    let operator = operator.trim_start().trim_start_matches('!');
    let (name, argument) = match operator.strip_prefix('@') {
        Some(named) => named.split_once(' ').unwrap_or((named, "")),
        None => ("rx", operator),
    };
    Some(LinkText {
        targets: found[1].trim_matches('"').to_owned(),
        operator: reference_name(name),
        argument: argument.to_owned(),
    })
}

/// The reference names operators after its classes.
fn reference_name(name: &str) -> String {
    const SPELLED: [&str; 7] =
        ["StrEq", "DetectSQLi", "DetectXSS", "VerifyCC", "VerifyCPF", "VerifySSN", "VerifySVNR"];
    if let Some(spelled) = SPELLED.iter().find(|spelled| spelled.eq_ignore_ascii_case(name)) {
        return (*spelled).to_owned();
    }
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_chain_belong_to_the_rule_with_the_id() {
        let text = "SecRule ARGS \"@contains a b\" \\\n \"id:7,chain\"\nSecRule \"TX:x\" \"!^1$\" \"t:none\"\nSecAction \"id:8\"";
        let found = links(&[("f".into(), text.into())]);
        let show = |id: u32| -> Vec<_> {
            found[&id]
                .iter()
                .map(|link| format!("{} {} {}", link.targets, link.operator, link.argument))
                .collect()
        };
        assert_eq!(show(7), ["ARGS Contains a b", "TX:x Rx ^1$"]);
        assert_eq!(show(8), ["  "]);
    }
}
