//! A tenant's own rules: what they can do, and what they cannot.

use veloflux_waf::{Mode, Overlay, OverlayError, OverlaySettings, Part, Ruleset, Source, Tuning, limits};

use crate::common::{Request, rules, settings};

/// The operator's rules: one that tenants may tune, one that counts, one that judges.
const BASE: &str = r#"
    SecDefaultAction "phase:2,pass,log"
    SecRule ARGS "@contains evil" "id:942100,phase:2,pass,tag:words,msg:'Words',setvar:tx.score=+5"
    SecRule ARGS "@contains worse" "id:50,phase:2,pass,tag:words,setvar:tx.score=+5"
    SecRule TX:score "@ge 5" "id:949110,phase:2,deny"
    SecRule RESPONSE_BODY "@contains secret" "id:959100,phase:4,deny"
    SecResponseBodyAccess On
"#;

fn source(text: &str) -> Source {
    Source { name: "own.conf".to_owned(), text: text.to_owned() }
}

fn compile(base: &Ruleset, text: &str) -> Result<Overlay, String> {
    let settings = OverlaySettings { rules: vec![source(text)], ..settings(Mode::Block) };
    base.tenant_overlay(&settings, &base.tunable(&Tuning::default())).map_err(|errors| {
        assert!(
            errors
                .0
                .iter()
                .all(|(part, error)| *part == Part::Rules && matches!(error, OverlayError::Rules(_)))
        );
        errors.to_string()
    })
}

fn through(text: &str, request: &Request) -> (u16, Vec<u32>) {
    let base = rules(BASE);
    let overlay = compile(&base, text).unwrap_or_else(|errors| panic!("{errors}"));
    let seen = request.through(&base, &overlay);
    (seen.status, seen.ids())
}

fn refusal(text: &str) -> String {
    match compile(&rules(BASE), text) {
        Ok(_) => panic!("it is not refused: {text}"),
        Err(errors) => errors,
    }
}

#[test]
fn own_rules_block_what_the_shared_ones_let_pass() {
    let text = r#"
        SecRule REMOTE_ADDR "@ipMatch 192.0.2.0/24" "id:10000,phase:1,pass,nolog,setvar:tx.near=1"
        SecRule REQUEST_FILENAME "@beginsWith /admin" \
            "id:10001,phase:1,deny,status:404,msg:'No admin for %{REMOTE_ADDR}',chain"
        SecRule TX:near "@eq 1" "t:none"
        SecRule ARGS:q "@rx (?i)forbidden" "id:10002,phase:2,deny"
        SecRule RESPONSE_HEADERS:X-Internal "@unconditionalMatch" "id:10003,phase:3,deny,status:502"
    "#;
    assert_eq!(through(text, &Request::get("/admin/x")), (404, vec![10001]));
    assert_eq!(through(text, &Request::get("/?q=FORBIDDEN")), (403, vec![10002]));
    assert_eq!(through(text, &Request::get("/?q=fine")), (0, vec![]));
    assert_eq!(through(text, &Request::get("/?q=evil")), (403, vec![942_100, 949_110]));
    let mut answered = Request::get("/");
    answered.response_headers.push(("X-Internal".to_owned(), "1".to_owned()));
    assert_eq!(through(text, &answered), (502, vec![10003]));
}

#[test]
fn own_rules_only_detect_where_the_tenant_does() {
    let base = rules(BASE);
    let own = source(r#"SecRule ARGS "@contains x" "id:10000,phase:2,deny""#);
    let settings = OverlaySettings { rules: vec![own], ..settings(Mode::Detect) };
    let seen = Request::get("/?a=x").through(&base, &base.overlay(&settings).unwrap());
    assert_eq!((seen.status, seen.ids(), seen.record.would_refuse.is_some()), (0, vec![10_000], true));
}

#[test]
fn own_exclusions_reach_the_shared_rules_that_may_be_tuned() {
    let evil = Request::get("/upload?a=evil&b=evil");
    let with = |ctl: &str| {
        format!(r#"SecRule REQUEST_FILENAME "@streq /upload" "id:10000,phase:1,pass,nolog,ctl:{ctl}""#)
    };
    assert_eq!(through(&with("ruleRemoveById=942100"), &evil), (0, vec![]));
    assert_eq!(through(&with("ruleRemoveByMsg=Words"), &evil), (0, vec![]));
    assert_eq!(through(&with("ruleRemoveTargetById=942100;ARGS"), &evil), (0, vec![]));
    assert_eq!(through(&with("ruleRemoveTargetById=942100;ARGS:a"), &evil), (403, vec![942_100, 949_110]));
    assert_eq!(through(&with("ruleRemoveById=942100"), &Request::get("/?a=evil")).0, 403);
    for (ctl, expected) in [
        ("ruleRemoveById=949110", "rule 949110 is pinned by the operator"),
        ("ruleRemoveById=942000-949999", "rule 949110 is pinned by the operator"),
        ("ruleRemoveByTag=words", "rule 50 is pinned by the operator"),
        ("ruleRemoveTargetById=949110;TX:score", "rule 949110 is pinned by the operator"),
        ("ruleRemoveById=10000", "no rule has the id 10000"),
        ("ruleRemoveById=1-9", "no rule has an id in 1-9"),
        ("ruleRemoveByTag=nope", "no rule carries the tag \"nope\""),
        ("ruleRemoveByMsg=nope", "no rule has the message \"nope\""),
        ("ruleRemoveTargetById=942100;NOPE", "target \"NOPE\": there is no variable NOPE"),
    ] {
        assert!(refusal(&with(ctl)).contains(expected), "{ctl}: {}", refusal(&with(ctl)));
    }
}

#[test]
fn every_word_that_is_not_on_a_list_is_refused_with_line_and_reason() {
    let rule = |targets: &str, operator: &str, actions: &str| {
        format!("# comment\nSecRule {targets} \"{operator}\" \"id:10000,phase:1,{actions}\"")
    };
    for (text, expected) in [
        (
            "Include /etc/passwd".to_owned(),
            "own.conf:1:1: the directive Include is not for own rules: own rules read no files",
        ),
        ("SecRuleEngine Off".to_owned(), "the directive SecRuleEngine is not for own rules: the mode is set"),
        (
            "SecRuleRemoveById 1".to_owned(),
            "the directive SecRuleRemoveById is not for own rules: what the rule set's",
        ),
        ("SecRequestBodyAccess Off".to_owned(), "the directive SecRequestBodyAccess is not for own rules"),
        ("Nonsense".to_owned(), "the directive Nonsense is not for own rules"),
        (
            rule("ARGS", "@pmFromFile /etc/passwd", "deny"),
            "own.conf:2:15: the operator pmFromFile is not for own rules: own rules read no files",
        ),
        (rule("ARGS", "@ipMatchF x", "deny"), "the operator ipMatchF is not for own rules"),
        (rule("ARGS", "@rbl x", "deny"), "the operator rbl is not for own rules: @rbl would ask DNS"),
        (rule("ARGS", "!@geoLookup", "deny"), "the operator geoLookup is not for own rules"),
        (rule("ARGS", "@inspectFile x", "deny"), "the operator inspectFile is not for own rules"),
        (rule("ARGS", "@rx %{ARGS.a}", "deny"), "no patterns made of macros"),
        (rule("IP:x", "@eq 1", "deny"), "the variable IP is not for own rules: own rules keep nothing"),
        (rule("ARGS|&SESSION:x", "@eq 1", "deny"), "the variable SESSION is not for own rules"),
        (rule("SESSIONID", "@eq 1", "deny"), "the variable SESSIONID is not for own rules"),
        (rule("ARGS", "@streq %{global.x}", "deny"), "the variable GLOBAL is not for own rules"),
        (rule("ARGS", "x", "redirect:'/%{user.x}'"), "the variable USER is not for own rules"),
        (rule("ARGS", "x", "pass,logdata:'%{ip.x}'"), "the variable IP is not for own rules"),
        (
            rule("ARGS", "x", "allow"),
            "own.conf:2:36: the action allow is not for own rules: it would skip rules",
        ),
        (rule("ARGS", "x", "allow:request"), "the action allow is not for own rules"),
        (rule("ARGS", "x", "exec:/bin/true"), "the action exec is not for own rules: rules run no programs"),
        (rule("ARGS", "x", "initcol:ip=1"), "the action initcol is not for own rules"),
        (rule("ARGS", "x", "setsid:1"), "the action setsid is not for own rules"),
        (rule("ARGS", "x", "setvar:ip.x=1"), "the collection IP is not for own rules"),
        (rule("ARGS", "x", "setvar:!tx.score"), "TX:score belongs to the rule set"),
        (rule("ARGS", "x", "setvar:'tx.SCORE=-5'"), "TX:score belongs to the rule set"),
        (
            rule("ARGS", "x", "ctl:ruleEngine=Off"),
            "ctl ruleEngine is not for own rules: whether a request is judged",
        ),
        (rule("ARGS", "x", "ctl:requestBodyProcessor=XML"), "ctl requestBodyProcessor is not for own rules"),
        (rule("ARGS", "x", "ctl:requestBodyAccess=Off"), "ctl requestBodyAccess is not for own rules"),
        (rule("ARGS", "x", "ctl:auditEngine=Off"), "ctl auditEngine is not for own rules"),
        ("SecDefaultAction \"phase:1,allow\"".to_owned(), "the action allow is not for own rules"),
        (
            rule("ARGS", "x", "block"),
            "block does what SecDefaultAction of its phase says, and phase 1 has none",
        ),
        (
            rule("TX:score", "@ge 1", "deny"),
            "TX:score is never there: the rule set's variables are not visible here",
        ),
        (rule("ARGS", "@streq %{tx.mine}", "deny"), "TX:mine is never there: no own rule sets it"),
        (rule("ARGS", "(a)\\1", "deny"), "it needs a backtracking engine"),
        (rule("ARGS", "a(?=b)", "deny"), "it needs a backtracking engine"),
        (rule("ARGS", "(?:[a-z]{99}){99}", "deny"), "its automaton takes more than 32768 bytes"),
        (rule("ARGS", "@verifyCC (?:[a-z]{99}){99}", "deny"), "its automaton takes more than 32768 bytes"),
        (
            "SecAction \"id:9999,phase:1,pass\"".to_owned(),
            "own.conf:1:1: id 9999: own rules have ids 10000-99999",
        ),
        ("SecAction \"id:942100,phase:1,pass\"".to_owned(), "own rules have ids 10000-99999"),
        ("SecAction \"id:10000\"\nSecAction \"id:10000\"".to_owned(), "id 10000 is taken by own.conf:1"),
        ("SecAction \"id:10000,chain\"".to_owned(), "`chain`, and no rule follows"),
        ("SecRule ARGS".to_owned(), "SecRule takes targets"),
    ] {
        let told = refusal(&text);
        assert!(told.contains(expected), "{text}\n{told}");
    }
}

#[test]
fn own_rules_are_bounded() {
    let base = rules(BASE);
    let many = |count: usize| {
        let rule = |number| format!("SecRule ARGS \"@streq x\" \"id:{},phase:1,deny\"\n", 10_000 + number);
        (0..count).map(rule).collect::<String>()
    };
    assert_eq!(compile(&base, &many(limits::OWN_RULES)).unwrap().own_rule_count(), limits::OWN_RULES);
    assert!(refusal(&many(limits::OWN_RULES + 1)).contains("101 own rules; the most is 100"));
    let links = "SecRule ARGS \"@streq x\" \"chain\"\n".repeat(60) + "SecRule ARGS x\n";
    let chains = format!("SecAction \"id:10000,chain\"\n{links}SecAction \"id:10001,chain\"\n{links}");
    assert!(refusal(&chains).contains("chain of more than"));
    let long = format!("#{}", "x".repeat(limits::OWN_RULES_BYTES));
    assert!(refusal(&long).contains("65537 bytes of own rules; the most is 65536"));
}

#[test]
fn nothing_of_own_rules_reaches_the_shared_state() {
    // Names made at run time, captures, jumps, severities: all stay in the own rules' state.
    let text = r#"
        SecAction "id:10000,phase:1,pass,nolog,setvar:'tx.%{REQUEST_METHOD}=score',severity:0"
        SecAction "id:10001,phase:1,pass,nolog,setvar:'tx.%{TX.get}=-100'"
        SecRule ARGS "@rx (.*)" "id:10002,phase:2,pass,nolog,capture,skipAfter:END"
        SecAction "id:10003,phase:2,deny"
        SecMarker END
    "#;
    for attack in ["/?a=evil", "/?a=worse"] {
        assert_eq!(through(text, &Request::get(attack)).0, 403, "{attack}");
    }
}

#[test]
fn a_failure_among_own_rules_refuses() {
    let text = r#"SecRule ARGS_GET "@verifyCC \d+" "id:10000,phase:1,deny""#;
    let request = Request::get(&format!("/?a={}", "1 ".repeat(1_500)));
    let base = rules(BASE);
    let seen = request.through(&base, &compile(&base, text).unwrap());
    assert_eq!(seen.status, 500);
    assert!(seen.record.internal_errors[0].contains("rule 10000"), "{:?}", seen.record.internal_errors);
}

#[test]
fn own_rules_see_variables_that_the_shared_ones_do_not_read() {
    let text = r#"SecRule FULL_REQUEST "@contains needle" "id:10000,phase:2,deny"
        SecRule REQBODY_PROCESSOR "@streq URLENCODED" "id:10001,phase:2,deny,status:499""#;
    let form = |body: &str| Request::post("application/x-www-form-urlencoded", body);
    assert_eq!(through(text, &form("a=needle")).0, 403);
    assert_eq!(through(text, &form("a=b")).0, 499);
}

#[test]
fn the_operators_engine_setting_goes_for_own_rules_too() {
    let base = rules("SecAction \"id:1,phase:1,pass,ctl:ruleEngine=Off\"");
    let own = compile(&base, "SecAction \"id:10000,phase:2,deny\"").unwrap();
    assert_eq!(Request::get("/").through(&base, &own).status, 0);
    let base = rules("SecAction \"id:1,phase:1,allow\"");
    let own = compile(&base, "SecAction \"id:10000,phase:2,deny\"").unwrap();
    assert_eq!(Request::get("/").through(&base, &own).status, 0);
    let everything = base.overlay(&OverlaySettings {
        rules: vec![source("SecAction \"id:10000,phase:2,pass,ctl:ruleRemoveById=1\"")],
        ..settings(Mode::Block)
    });
    assert!(everything.is_ok(), "an operator's overlay may tune every rule");
}
