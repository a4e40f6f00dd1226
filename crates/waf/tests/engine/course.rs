//! What is decided before there is a request changes nothing: rules that set and ask TX variables, jump and take each
//! other away leave the same records whether they run in every transaction or not.

use std::fmt::Write;

use proptest::prelude::*;
use veloflux_waf::{Condition, Exclusion, Mode, OverlaySettings, PathCondition, RuleMode, RuleSelector};

use crate::common::{Request, rules, settings};
use crate::filter::Pair;

/// Ids of generated rules are below.
const RULES: u32 = 14;

fn variable() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "ab", "b", "c", "1", "blocking_paranoia_level"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..3_u8).prop_map(|number| number.to_string()),
        Just("b".to_owned()),
        variable().prop_map(|name| format!("%{{tx.{name}}}")),
        Just("%{ARGS.q}".to_owned()),
    ]
}

/// What a link looks at, and how.
fn looks() -> impl Strategy<Value = String> {
    let operator = prop_oneof![
        (prop::sample::select(vec!["@eq", "!@eq", "@lt", "@ge"]), value())
            .prop_map(|(operator, value)| format!("{operator} {value}")),
        Just("@rx ^([0-9b])".to_owned()),
    ];
    let target = prop_oneof![
        6 => variable().prop_map(|name| format!("TX:{name}")),
        3 => variable().prop_map(|name| format!("&TX:{name}")),
        1 => Just("TX:/^a/".to_owned()),
        2 => Just("ARGS:q".to_owned()),
        1 => Just("TX:a|ARGS".to_owned()),
    ];
    (target, operator).prop_map(|(target, operator)| format!("SecRule {target} \"{operator}\""))
}

fn action() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (variable(), prop::sample::select(vec!["", "+", "-"]), value())
            .prop_map(|(name, sign, value)| format!("setvar:'tx.{name}={sign}{value}'")),
        1 => variable().prop_map(|name| format!("setvar:!tx.{name}")),
        1 => (value(), value()).prop_map(|(name, value)| format!("setvar:'tx.a{name}={value}'")),
        1 => (value(), value()).prop_map(|(name, value)| format!("setvar:'tx.{name}={value}'")),
        1 => Just("capture".to_owned()),
        2 => (1..4_u8).prop_map(|count| format!("skip:{count}")),
        2 => Just("skipAfter:END".to_owned()),
        1 => (1..RULES).prop_map(|id| format!("ctl:ruleRemoveById={id}-{}", id + 3)),
        1 => (1..RULES, variable()).prop_map(|(id, name)| format!("ctl:ruleRemoveTargetById={id};TX:{name}")),
        1 => Just("ctl:ruleEngine=Off".to_owned()),
        1 => Just("severity:ERROR".to_owned()),
        2 => Just("log,logdata:'%{tx.a} %{tx.b} %{tx.c} %{tx.1}'".to_owned()),
    ]
}

/// Phase, head and actions of a rule without its id, and a second link: what it looks at, and its action.
type Generated = (u8, String, String, Option<(String, String)>);

fn rule() -> impl Strategy<Value = Generated> {
    let actions = || prop::collection::vec(action(), 0..3).prop_map(|actions| actions.join(","));
    let head = prop_oneof![4 => looks(), 1 => Just("SecAction".to_owned()),
        1 => Just("SecRule MATCHED_VAR \"@eq 1\"".to_owned())];
    let set_only = (variable(), value()).prop_map(|(name, value)| format!("setvar:'tx.{name}={value}'"));
    let phase = prop::sample::select(vec![1, 1, 1, 2, 5]);
    let disruptive = prop::sample::select(vec!["pass", "pass", "pass", "pass", "deny", "allow:phase"]);
    (phase, head, actions(), disruptive, prop::option::weighted(0.2, (looks(), set_only))).prop_map(
        |(phase, head, actions, disruptive, chained)| {
            let comma = if actions.is_empty() { "" } else { "," };
            (phase, head, format!("{disruptive},nolog{comma}{actions}"), chained)
        },
    )
}

fn text(rules: &[Generated]) -> String {
    let mut text = String::new();
    for ((phase, head, actions, chained), id) in rules.iter().zip(1..) {
        let _ = write!(text, "{head} \"id:{id},phase:{phase},{actions}");
        match chained {
            Some((looks, set)) if head != "SecAction" => {
                let _ = writeln!(text, ",chain\"\n    {looks} \"{set}\"");
            }
            _ => text.push_str("\"\n"),
        }
        if id == 8 {
            text += "SecMarker END\n";
        }
    }
    // Selectors have to select something.
    for id in rules.len() as u32 + 1..=RULES + 2 {
        let _ = writeln!(text, "SecAction \"id:{id},phase:5,pass,nolog\"");
    }
    let told =
        "%{tx.a}|%{tx.ab}|%{tx.b}|%{tx.c}|%{tx.1}|%{tx.a1}|%{tx.blocking_paranoia_level}|%{HIGHEST_SEVERITY}";
    let _ = writeln!(text, "SecMarker END\nSecAction \"id:98,phase:2,pass,log,logdata:'{told}'\"");
    let _ = writeln!(text, "SecAction \"id:99,phase:5,pass,log,logdata:'{told}'\"");
    text
}

/// What a tenant takes away, or has act otherwise.
fn wishes() -> impl Strategy<Value = OverlaySettings> {
    let ids = |first| RuleSelector::Ids { first, last: first + 2 };
    let excluded = prop::option::weighted(0.3, (1..RULES, any::<bool>(), any::<bool>()));
    let moded = prop::option::weighted(
        0.2,
        (1..RULES, prop::sample::select(vec![RuleMode::Block, RuleMode::Detect, RuleMode::Off])),
    );
    let mode = prop::sample::select(vec![Mode::Block, Mode::Detect]);
    (mode, excluded, moded).prop_map(move |(mode, excluded, moded)| OverlaySettings {
        exclusions: excluded
            .into_iter()
            .map(|(first, of_target, when)| Exclusion {
                rules: ids(first),
                target: of_target.then(|| "TX:a".to_owned()),
                when: Condition {
                    path: when.then(|| PathCondition::Prefix("/x".to_owned())),
                    ..Condition::default()
                },
            })
            .collect(),
        rule_modes: moded.into_iter().map(|(first, mode)| (ids(first), mode)).collect(),
        ..settings(mode)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn any_rules_leave_the_same_records(
        generated in prop::collection::vec(rule(), 1..RULES as usize),
        wishes in wishes(),
    ) {
        let text = text(&generated);
        let pair = Pair::new(|| rules(&text), &wishes);
        for target in ["/", "/x?q=1", "/?q=b"] {
            let [filtered, unfiltered] = pair.records(&Request::get(target));
            prop_assert_eq!(filtered, unfiltered, "{} {}", target, text);
        }
    }
}
