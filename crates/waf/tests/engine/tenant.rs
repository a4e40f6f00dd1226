//! The promise to operators: whatever a tenant writes, what the baseline blocks is blocked, except through exclusions that
//! the operator allows.
//!
//! Overlays come from a grammar that holds every way to weaken a firewall that SecLang knows, allowed or not, and
//! ordinary rules besides; requests carry attacks for each of the operator's rules. As somebody would who tries, each
//! piece that is refused is left out, and the others stay. What is left is compared with the operator's own rules, once
//! as they are and once without the rules that may be tuned.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use veloflux_waf::{
    Condition, Exclusion, Levels, Mode, Overlay, OverlaySettings, PathCondition, RuleMode, RuleSelector,
    Ruleset, Source, Tunable, Tuning,
};

use crate::common::{Request, rules};

/// The shape of the CRS: set-up, detection of two levels that scores, an evaluation that blocks; and rules of the
/// operator's own that block at once.
const BASE: &str = r#"
    SecRequestBodyAccess On
    SecResponseBodyAccess On
    SecAction "id:901100,phase:1,pass,nolog,setvar:tx.score=0,setvar:tx.inbound_anomaly_score_threshold=5"
    SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:101,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
    SecRule ARGS|REQUEST_COOKIES "@contains alpha" "id:942100,phase:2,pass,log,tag:words,t:lowercase,setvar:tx.score=+5"
    SecRule ARGS|REQUEST_HEADERS "@rx be+ta" "id:942200,phase:2,pass,log,tag:words,tag:pinned,setvar:tx.score=+5"
    SecRule TX:blocking_paranoia_level "@lt 2" "id:942011,phase:2,pass,nolog,skipAfter:END-942"
    SecRule ARGS "@contains gamma" "id:942300,phase:2,pass,log,tag:words,setvar:tx.score=+5"
    SecMarker END-942
    SecRule ARGS "@contains delta" "id:50,phase:1,deny"
    SecRule REQUEST_BODY|ARGS "@contains epsilon" "id:60,phase:2,deny"
    SecRule TX:score "@ge %{tx.inbound_anomaly_score_threshold}" "id:949110,phase:2,deny"
    SecRule RESPONSE_BODY "@contains zeta" "id:953100,phase:4,pass,log,setvar:tx.out=+4"
    SecRule TX:out "@ge 4" "id:959100,phase:4,deny"
"#;

/// The operator's floor: level 1, thresholds 5 and 4, blocking; 942200 and 942011 are pinned.
const FLOOR: Levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };

fn pinned() -> Vec<RuleSelector> {
    vec![RuleSelector::Tag("pinned".to_owned()), RuleSelector::Ids { first: 942_011, last: 942_011 }]
}

/// The operator's rules, and what of them tenants may tune.
static OPERATOR: LazyLock<(Ruleset, Tunable)> = LazyLock::new(|| {
    let base = rules(BASE);
    let tunable = base.tunable(&Tuning { tunable: Vec::new(), pinned: pinned() });
    (base, tunable)
});

/// The rules that tenants may tune.
const TUNABLE: [u32; 3] = [942_100, 942_300, 953_100];

fn word() -> impl Strategy<Value = &'static str> {
    select(vec!["alpha", "ALPHA", "beta", "beeta", "gamma", "delta", "epsilon", "zeta", "plain", ""])
}

fn request() -> impl Strategy<Value = Request> {
    let path = select(vec!["/", "/search", "/search/x", "/search/..%2fadmin", "/admin", "/search/../admin"]);
    let kind = select(vec!["application/x-www-form-urlencoded", "application/json", "text/plain"]);
    let places = (word(), word(), word(), word(), word());
    (path, any::<bool>(), kind, places).prop_map(
        |(path, is_post, kind, (query, cookie, header, body, answer))| {
            let target = format!("{path}?q={query}");
            let request = if is_post {
                let body = if kind.ends_with("json") {
                    format!("{{\"a\":\"{body}\"}}")
                } else {
                    format!("a={body}")
                };
                Request { target, ..Request::post(kind, body) }
            } else {
                Request::get(&target)
            };
            request
                .header("Host", "shop.test")
                .header("Cookie", &format!("c={cookie}"))
                .header("X-Any", header)
                .answered("text/html", answer)
        },
    )
}

fn rule_id() -> impl Strategy<Value = u32> {
    select(vec![50, 60, 101, 901_100, 942_011, 942_100, 942_200, 942_300, 949_110, 953_100, 959_100, 10_000])
}

/// Everything that weakens, pins or not, and what rules are usually made of.
fn action() -> impl Strategy<Value = String> {
    let by_id = rule_id().prop_flat_map(|id| {
        select(vec![
            format!("ctl:ruleRemoveById={id}"),
            format!("ctl:ruleRemoveById={id}-999999"),
            format!("ctl:ruleRemoveTargetById={id};ARGS"),
            format!("ctl:ruleRemoveTargetById={id};TX"),
            format!("ctl:ruleRemoveTargetById={id};REQUEST_BODY"),
            format!("skipAfter:{id}"),
        ])
    });
    let fixed = select(vec![
        "pass",
        "deny",
        "drop",
        "block",
        "allow",
        "allow:phase",
        "allow:request",
        "deny,status:200",
        "redirect:'/x'",
        "capture",
        "multiMatch",
        "nolog",
        "log",
        "noauditlog",
        "severity:0",
        "skip:1",
        "skip:99",
        "skipAfter:END-942",
        "chain",
        "phase:1",
        "phase:2",
        "phase:3",
        "phase:4",
        "phase:5",
        "t:none",
        "t:lowercase",
        "t:length",
        "ctl:ruleEngine=Off",
        "ctl:ruleEngine=DetectionOnly",
        "ctl:requestBodyAccess=Off",
        "ctl:responseBodyAccess=Off",
        "ctl:requestBodyProcessor=XML",
        "ctl:requestBodyProcessor=URLENCODED",
        "ctl:ruleRemoveByTag=words",
        "ctl:ruleRemoveByTag=pinned",
        "ctl:ruleRemoveTargetByTag=words;ARGS:q",
        "ctl:auditEngine=Off",
        "setvar:tx.score=0",
        "setvar:tx.score=-100",
        "setvar:!tx.score",
        "setvar:tx.SCORE=-5",
        "setvar:tx.inbound_anomaly_score_threshold=9999",
        "setvar:tx.blocking_paranoia_level=0",
        "setvar:'tx.%{MATCHED_VAR}=-100'",
        "setvar:'tx.%{tx.name}=-100'",
        "setvar:tx.name=score",
        "setvar:tx.mine=+1",
        "setvar:tx.0=score",
        "setvar:ip.score=0",
        "initcol:ip=%{REMOTE_ADDR}",
        "setsid:1",
        "exec:/bin/true",
    ])
    .prop_map(str::to_owned);
    prop_oneof![1 => by_id, 4 => fixed]
}

fn directive() -> impl Strategy<Value = String> {
    let target = select(vec![
        "ARGS",
        "ARGS:q",
        "REQUEST_HEADERS",
        "REQUEST_BODY",
        "RESPONSE_BODY",
        "TX:score",
        "TX:/./",
        "&TX",
        "TX",
        "IP:a",
        "MATCHED_VARS",
        "REQUEST_FILENAME",
        "REQBODY_PROCESSOR",
    ]);
    let operator = select(vec![
        "@unconditionalMatch",
        "@noMatch",
        "@rx .*",
        "@rx (.+)",
        "@contains alpha",
        "!@contains plain",
        "@ge 0",
        "@eq 5",
        "@within alpha beta gamma",
        "@streq %{tx.mine}",
        "@pmFromFile x",
        "@rx (a)\\1",
        "@detectSQLi",
    ]);
    let id = prop_oneof![8 => 10_000_u32..10_050, 1 => rule_id()];
    let actions = || prop::collection::vec(action(), 0..4).prop_map(|actions| actions.join(","));
    let rule = (target, operator, id.clone(), actions()).prop_map(|(target, operator, id, actions)| {
        format!("SecRule {target} \"{operator}\" \"id:{id},{actions}\"")
    });
    let action = (id, actions()).prop_map(|(id, actions)| format!("SecAction \"id:{id},{actions}\""));
    let default = actions().prop_map(|actions| format!("SecDefaultAction \"phase:2,pass,{actions}\""));
    let other = select(vec![
        "SecMarker END-942",
        "SecRuleEngine Off",
        "SecRuleRemoveById 949110",
        "SecRequestBodyAccess Off",
        "SecRuleUpdateActionById 50 pass",
        "SecRuleUpdateTargetById 60 !ARGS",
        "SecArgumentSeparator ;",
        "Include x",
    ])
    .prop_map(str::to_owned);
    prop_oneof![12 => rule, 6 => action, 1 => default, 1 => other]
}

/// A directive, or a chain of two.
fn directives() -> impl Strategy<Value = String> {
    let chain = (directive(), directive()).prop_map(|(first, last)| match first.strip_suffix('"') {
        Some(rule) => format!("{rule},chain\"\n{last}"),
        None => first,
    });
    prop_oneof![4 => directive(), 1 => chain]
}

fn selector() -> impl Strategy<Value = RuleSelector> {
    prop_oneof![
        rule_id().prop_map(|id| RuleSelector::Ids { first: id, last: id }),
        rule_id().prop_map(|id| RuleSelector::Ids { first: id, last: 999_999 }),
        select(vec!["words", "pinned"]).prop_map(|tag| RuleSelector::Tag(tag.to_owned())),
        Just(RuleSelector::All),
    ]
}

fn exclusion() -> impl Strategy<Value = Exclusion> {
    let target = select(vec![
        None,
        Some("ARGS"),
        Some("ARGS:q"),
        Some("REQUEST_COOKIES:/^c/"),
        Some("TX"),
        Some("RESPONSE_BODY"),
    ]);
    let path = select(vec![
        None,
        Some(PathCondition::Prefix("/search".to_owned())),
        Some(PathCondition::Exact("/".to_owned())),
    ]);
    let methods = select(vec![vec![], vec!["GET".to_owned()]]);
    (selector(), target, path, methods).prop_map(|(rules, target, path, methods)| Exclusion {
        rules,
        target: target.map(str::to_owned),
        when: Condition { methods, path, hosts: Vec::new() },
    })
}

/// What a tenant's document may hold: levels within the floor, and anything else.
fn overlay(exclusions: usize) -> impl Strategy<Value = OverlaySettings> {
    let levels =
        (1_u8..=4, 1_u32..=5, 1_u32..=4).prop_map(|(paranoia, inbound_threshold, outbound_threshold)| {
            Levels { paranoia, inbound_threshold, outbound_threshold }
        });
    let mode = select(vec![RuleMode::Block, RuleMode::Detect, RuleMode::Off]);
    (
        levels,
        prop::collection::vec(exclusion(), 0..=exclusions),
        prop::collection::vec((selector(), mode), 0..=exclusions),
        prop::collection::vec(directives(), 0..8),
    )
        .prop_map(|(levels, exclusions, rule_modes, directives)| OverlaySettings {
            exclusions,
            rule_modes,
            rules: directives.into_iter().map(|text| Source { name: "own".to_owned(), text }).collect(),
            ..OverlaySettings::new(Mode::Block, levels)
        })
}

/// What the operator's rules say under the floor's settings, without the rules `removed`.
fn is_blocked(base: &Ruleset, request: &Request, removed: &[u32]) -> bool {
    let exclusions = removed.iter().map(|id| Exclusion {
        rules: RuleSelector::Ids { first: *id, last: *id },
        target: None,
        when: Condition::default(),
    });
    let settings =
        OverlaySettings { exclusions: exclusions.collect(), ..OverlaySettings::new(Mode::Block, FLOOR) };
    request.through(base, &base.overlay(&settings).unwrap()).status != 0
}

/// The overlay of all pieces of `settings` that are not refused.
fn accepted(settings: &OverlaySettings) -> (OverlaySettings, Overlay) {
    let (base, tunable) = &*OPERATOR;
    let mut kept = OverlaySettings::new(settings.mode, settings.levels);
    let mut overlay = base.tenant_overlay(&kept, tunable).unwrap();
    let mut offer = |change: &dyn Fn(&mut OverlaySettings)| {
        let mut more = kept.clone();
        change(&mut more);
        if let Ok(accepted) = base.tenant_overlay(&more, tunable) {
            (kept, overlay) = (more, accepted);
        }
    };
    for exclusion in &settings.exclusions {
        offer(&|settings| settings.exclusions.push(exclusion.clone()));
    }
    for mode in &settings.rule_modes {
        offer(&|settings| settings.rule_modes.push(mode.clone()));
    }
    for rules in &settings.rules {
        offer(&|settings| settings.rules.push(rules.clone()));
    }
    (kept, overlay)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_tenant_writes_only_what_may_be_tuned_is_weaker(
        settings in overlay(3),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let base = &OPERATOR.0;
        let (_, overlay) = accepted(&settings);
        for request in requests {
            if is_blocked(base, &request, &TUNABLE) {
                prop_assert_ne!(request.through(base, &overlay).status, 0, "{:?}", request);
            }
        }
    }

    #[test]
    fn without_an_exclusion_nothing_is_weaker(
        mut settings in overlay(0),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let base = &OPERATOR.0;
        settings.rules.retain(|rules| !rules.text.contains("ruleRemove"));
        let (_, overlay) = accepted(&settings);
        for request in requests {
            if is_blocked(base, &request, &[]) {
                prop_assert_ne!(request.through(base, &overlay).status, 0, "{:?}", request);
            }
        }
    }
}

/// The grammar would show nothing if all that it makes were refused, or no request were blocked.
#[test]
fn the_grammar_makes_overlays_that_compile_and_requests_that_are_blocked() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let base = &OPERATOR.0;
    let mut runner = TestRunner::deterministic();
    let (mut own, mut blocked, mut pinned, mut excluding) = (0, 0, 0, 0);
    for _ in 0..1_000 {
        let settings = overlay(3).new_tree(&mut runner).unwrap().current();
        let (kept, overlay) = accepted(&settings);
        own += usize::from(overlay.own_rule_count() > 0);
        excluding += usize::from(!kept.exclusions.is_empty() || !kept.rule_modes.is_empty());
        let request = request().new_tree(&mut runner).unwrap().current();
        blocked += usize::from(is_blocked(base, &request, &[]));
        pinned += usize::from(is_blocked(base, &request, &TUNABLE));
    }
    println!(
        "of 1000: {own} overlays with own rules, {excluding} with exclusions; {blocked} requests blocked, {pinned} by pinned rules"
    );
    assert!(own > 300 && excluding > 300 && blocked > 300 && (200..blocked).contains(&pinned));
}
