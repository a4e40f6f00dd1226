//! `docs/seclang.md` and the compiler say the same: every example does what its row says, every word of the compiler
//! has a row.

use std::collections::BTreeSet;

use regex::Regex;
use veloflux_waf::{MemFiles, Ruleset, Source};

const DOCUMENT: &str = include_str!("../../../../docs/seclang.md");

/// One row of the document.
struct Row {
    section: String,
    name: String,
    example: String,
    here: String,
    why: String,
}

fn rows() -> Vec<Row> {
    let cells = Regex::new(r"^\| (\w+) \| `(.*)` \| ([a-z ]+) \| (.*) \|$").unwrap();
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        } else if let Some(found) = cells.captures(line) {
            let cell = |number: usize| found[number].replace("\\|", "|");
            rows.push(Row {
                section: section.clone(),
                name: cell(1),
                example: cell(2),
                here: cell(3),
                why: cell(4),
            });
        }
    }
    rows
}

impl Row {
    /// A rule set around the example, which stands in its first lines.
    fn rules(&self) -> String {
        let example = self.example.replace("\\n", "\n");
        match self.section.as_str() {
            "Directives" => example,
            "Variables" => format!("SecRule {example} \"@rx x\" \"id:1\""),
            "Operators" => format!("SecRule ARGS \"{example}\" \"id:1\""),
            "Actions" if self.name == "chain" => {
                "SecRule ARGS \"@rx x\" \"id:1,chain\"\nSecRule ARGS \"@rx y\"".to_owned()
            }
            "Actions" if self.name == "id" => format!("SecRule ARGS \"@rx x\" \"{example}\""),
            "Actions" | "ctl" | "Transformations" => {
                format!("SecRule ARGS \"@rx x\" \"id:1,{example}\"\nSecMarker END")
            }
            other => panic!("a section without examples: {other}"),
        }
    }

    /// What the compiler makes of it, in the document's words: status, and why.
    fn seen(&self) -> (String, Option<String>) {
        let files = MemFiles::new()
            .with("included.conf", "")
            .with("geo.mmdb", crate::geo::database())
            .with("unicode.mapping", "20127\n00a0:20\n")
            .with("words.data", "a\nb\n")
            .with("networks.data", "192.0.2.0/24\n");
        let source = Source { name: "row.conf".to_owned(), text: self.rules() };
        match Ruleset::compile(&[source], &files) {
            Err(errors) => ("error".to_owned(), Some(errors.to_string())),
            Ok(ruleset) => match ruleset.notes() {
                [] => ("supported".to_owned(), None),
                [note, ..] if note.why.contains("is refused") => {
                    ("refuses".to_owned(), Some(note.why.to_owned()))
                }
                [note, ..] => ("no effect".to_owned(), Some(note.why.to_owned())),
            },
        }
    }
}

#[test]
fn every_example_does_what_its_row_says() {
    let rows = rows();
    assert!(rows.len() > 250, "the document's rows could not be read");
    let mut wrong = Vec::new();
    for row in &rows {
        let named = row.example.to_ascii_lowercase().contains(&row.name.to_ascii_lowercase());
        let (here, why) = row.seen();
        // Metadata and some ctl change nothing and are not worth a note.
        let silent = row.here == "no effect" && here == "supported";
        let agrees = (here == row.here && why.as_ref().is_none_or(|why| why.contains(&row.why))) || silent;
        if !agrees || !named {
            wrong.push(format!("{} {}: {here} {why:?}", row.section, row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Words of the compiler in one of its files: those that `pattern` captures between two marks.
fn words(source: &str, between: (&str, &str), pattern: &str) -> BTreeSet<String> {
    let (from, to) = between;
    let source = &source[source.find(from).unwrap_or_else(|| panic!("no {from}"))..];
    let source = &source[..source.find(to).unwrap_or_else(|| panic!("no {to}"))];
    let pattern = Regex::new(pattern).unwrap();
    let found = pattern.captures_iter(source).map(|found| found[1].to_ascii_lowercase());
    let found: BTreeSet<String> = found.collect();
    assert!(!found.is_empty(), "{pattern} finds nothing");
    found
}

#[test]
fn every_word_of_the_compiler_has_a_row() {
    const VARIABLES: &str = include_str!("../../src/variable.rs");
    const TRANSFORMATIONS: &str = include_str!("../../src/transform/mod.rs");
    const OPERATORS: &str = include_str!("../../src/operator/mod.rs");
    const RUNTIME: &str = include_str!("../../src/operator/runtime.rs");
    const NOT_SUPPORTED: &str = include_str!("../../src/operator/error.rs");
    const DIRECTIVES: &str = include_str!("../../src/compile/mod.rs");
    const SETTINGS: &str = include_str!("../../src/compile/settings.rs");
    const UPDATES: &str = include_str!("../../src/compile/updates.rs");
    const ACTIONS: &str = include_str!("../../src/compile/actions.rs");
    let rows = rows();
    for (section, known) in [
        (
            "Variables",
            words(VARIABLES, ("variables! {", "const UNKNOWABLE"), r#"= "([A-Z_0-9]+)" (?:one|many);"#),
        ),
        ("Variables", words(VARIABLES, ("const UNKNOWABLE", "];"), r#"\("(\w+)", ""#)),
        (
            "Transformations",
            words(TRANSFORMATIONS, ("transformations! {", "#[cfg(test)]"), r#"[=|] "(\w+)""#),
        ),
        ("Operators", words(OPERATORS, ("let kind = match", "_ => match"), r#""([a-z0-9]+)"(?: \||.*=>)"#)),
        ("Operators", words(RUNTIME, ("const NAMES", "];"), r#"\("(\w+)","#)),
        ("Operators", words(NOT_SUPPORTED, ("const NOT_SUPPORTED", "];"), r#"\("(\w+)","#)),
        ("Directives", words(DIRECTIVES, ("match (name", "_ => {"), r#"\("(\w+)", "#)),
        ("Directives", words(SETTINGS, ("match name", "other =>"), r#""(sec\w+)""#)),
        ("Directives", words(SETTINGS, ("const NO_EFFECT", "];"), r#"\("(Sec\w+)","#)),
        ("Directives", words(SETTINGS, ("const UNSUPPORTED", "];"), r#"\("(Sec\w+)","#)),
        ("Directives", words(UPDATES, ("match (name", "_ => return"), r#"\("(\w+)", "#)),
        ("Actions", words(ACTIONS, ("match action.name", "other =>"), r#"\n            "(\w+)" =>"#)),
        ("Actions", words(ACTIONS, ("const UNUSED", "];"), r#""(\w+)",\s*Unused::"#)),
        ("ctl", words(ACTIONS, ("fn control(text", "other =>"), r#"\n        (?:\| )?"(\w+)""#)),
    ] {
        let told: BTreeSet<String> = rows
            .iter()
            .filter(|row| row.section == section)
            .map(|row| row.name.to_ascii_lowercase())
            .collect();
        let missing: Vec<_> = known.difference(&told).collect();
        assert!(missing.is_empty(), "{section}: no row for {missing:?}");
    }
}
