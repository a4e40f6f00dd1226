//! Rules that are wrong: every mistake is told, with its place; nothing panics.

use proptest::prelude::*;
use veloflux_waf::{MemFiles, Ruleset, Source, base_config};

use crate::common::{Request, block, compile, rules};

/// The mistakes of `text`, as they are shown.
fn mistakes(text: &str) -> Vec<String> {
    match compile(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn all_mistakes_are_told_with_their_places() {
    let text = "SecRuleEngine On\nSecNoSuch 1\nSecRule ARGS|NOPE \"@rx (\" \\\n  \"id:1,phase:1,\\\n  frobnicate\"\nSecAction \"phase:1,pass\"\n";
    assert_eq!(
        mistakes(text),
        [
            "test.conf:2:1: there is no such directive: SecNoSuch",
            "test.conf:5:3: there is no action frobnicate: frobnicate",
            "test.conf:6:1: a rule needs an id",
        ]
    );
    assert_eq!(
        mistakes("SecRule ARGS|NOPE \"@rx a\" \"id:1\"\nSecRule ARGS \"@rx (\" \"id:2\"\n"),
        [
            "test.conf:1:14: there is no variable NOPE: NOPE",
            "test.conf:2:15: @rx: a group is not closed at byte 1 of the pattern",
        ]
    );
}

#[test]
fn each_kind_of_mistake_is_one() {
    for (text, part) in [
        ("SecRule ARGS \"@nosuch x\" \"id:1\"", "nosuch"),
        ("SecRule ARGS \"@rx x\" \"id:1,t:rot13\"", "no transformation rot13"),
        ("SecRule ENV:PATH \"@rx x\" \"id:1\"", "ENV is not available"),
        ("SecRule REMOTE_ADDR:x \"@rx x\" \"id:1\"", "REMOTE_ADDR has no members"),
        ("SecRule XML:/a/b \"@rx x\" \"id:1\"", "XML is looked at with"),
        ("SecRule ARGS \"@rx x\" \"id:1,exec:/bin/sh\"", "exec is not supported"),
        ("SecRule ARGS \"@rx x\" \"id:1,setvar:args.x=1\"", "ARGS cannot be set"),
        ("SecRule ARGS \"@rx x\" \"id:1,msg:'%{NOPE}'\"", "no variable NOPE"),
        ("SecRule ARGS \"@rx x\" \"id:1,ctl:nosuch=1\"", "no ctl:nosuch"),
        ("SecRule ARGS \"@rx x\" \"id:1,skipAfter:NOWHERE\"", "no SecMarker"),
        ("SecMarker BEFORE\nSecRule ARGS \"@rx x\" \"id:1,skipAfter:BEFORE\"", "no SecMarker"),
        ("SecRule ARGS \"@rx x\" \"id:1\"\nSecAction \"id:1\"", "id 1 is taken by test.conf:1"),
        ("SecRule ARGS \"@rx x\" \"id:1,chain\"", "no rule follows"),
        ("SecRule ARGS \"@rx x\" \"id:1,chain\"\nSecMarker x", "no rule follows"),
        (
            "SecRule ARGS \"@rx x\" \"id:1,chain\"\nSecRule ARGS \"@rx y\" \"deny\"",
            "only the first rule of a chain",
        ),
        ("SecRule ARGS \"@pmFromFile words.data\" \"id:1\"", "words.data"),
        ("SecRuleEngine Maybe", "expected On, Off or DetectionOnly"),
        ("SecRuleScript a.lua", "no Lua"),
        ("SecDefaultAction \"phase:1,log,block\"", "needs a disruptive action"),
        (
            "SecDefaultAction \"phase:1,pass\"\nSecDefaultAction \"phase:1,deny\"",
            "phase 1 has its SecDefaultAction",
        ),
        ("SecRule ARGS", "SecRule takes"),
        ("Include nowhere.conf", "no such file"),
        ("SecRuleUpdateActionById 9 \"deny\"", "no rule has this id"),
        ("SecRule ARGS \"@rx x\" \"id:0\"", "an id is a number"),
        ("SecRule ARGS \"@rx x\" \"id:1,phase:6\"", "a phase is"),
        ("SecRule ARGS \"@pm %{tx.words}\" \"id:1\"", "cannot hold macros"),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].contains(part), "{text}\n{found:?}");
    }
}

#[test]
fn included_files_are_named_and_may_not_go_in_circles() {
    let main = Source { name: "etc/main.conf".to_owned(), text: "Include rules/*.conf".to_owned() };
    let files = MemFiles::new()
        .with("etc/rules/a.conf", "SecRule ARGS \"@pmFromFile a.data\" \"id:1,phase:1,deny\"")
        .with("etc/rules/a.data", "# comment\nevil\n");
    let ruleset = Ruleset::compile(std::slice::from_ref(&main), &files).unwrap();
    assert_eq!(&*ruleset.rules().next().unwrap().file, "etc/rules/a.conf");
    assert_eq!(Request::get("/?x=an+EVIL+plan").through(&ruleset, &block(&ruleset)).status, 403);

    let wrong = files.clone().with("etc/rules/b.conf", "\n  Oops");
    let errors = Ruleset::compile(std::slice::from_ref(&main), &wrong).unwrap_err();
    assert_eq!(errors.to_string(), "etc/rules/b.conf:2:3: there is no such directive: Oops");
    let circle = files.with("etc/rules/b.conf", "Include b.conf");
    assert!(Ruleset::compile(&[main], &circle).unwrap_err().to_string().contains("deep"));
}

#[test]
fn the_base_configuration_compiles_alone() {
    let ruleset = Ruleset::compile(&[base_config()], &MemFiles::new()).unwrap();
    assert!(ruleset.rules().all(|rule| (100..200).contains(&rule.id)));
}

#[test]
fn directives_that_change_nothing_are_read() {
    let text = "SecAuditLog /var/log/x\nSecTmpDir /tmp/\nSecPcreMatchLimit 1000\nSecCookieFormat 0\nSecXmlExternalEntity Off\nSecRequestBodyLimit 1000\n";
    let notes = rules(text).notes().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert_eq!(
        notes[0],
        "test.conf:1: SecAuditLog has no effect: one record per transaction is the audit log"
    );
}

#[test]
fn rules_that_cannot_work_are_noted() {
    let text = r#"
        SecAction "id:1,phase:1,pass,ver:1,auditlog"
        SecRule REMOTE_ADDR "@rbl dnsbl.example" "id:2,phase:1,pass"
    "#;
    let ruleset = rules(text);
    let notes: Vec<_> = ruleset.notes().iter().map(|note| (note.line, note.what.as_str())).collect();
    assert_eq!(notes, [(2, "auditlog"), (3, "its operator")]);
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"(?s)(SecRule |SecAction |SecMarker |Include |ARGS|TX|:|/|\||&|!|"|'|@rx |@eq |id:|,|chain|setvar:|tx\.|%\{|\}|=|\+|\\|\n|[a-z0-9]| |é){0,60}"#) {
        let _ = compile(&text);
    }

    #[test]
    fn no_mistake_hides_a_rule(junk in "[a-z\"'\\\\ ]{1,20}") {
        let text = format!("Sec{junk}\nSecAction \"phase:1\"\n");
        let found = mistakes(&text);
        prop_assert!(found.iter().any(|mistake| mistake.contains("test.conf:2:1")) || junk.trim_end_matches(' ').ends_with('\\'), "{found:?}");
    }
}
