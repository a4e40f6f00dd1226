//! What rules mean: chains, variables, jumps, refusals, macros, controls.

use crate::common::{Request, block, detect, rules};
use veloflux_waf::{Cause, Internal, Refusal};

#[test]
fn a_chain_matches_whole_or_not_at_all() {
    let text = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,deny,status:418,msg:'both',chain"
            SecRule ARGS:b "@streq 2" "setvar:tx.done=1"
    "#;
    assert_eq!(
        Request::get("/?a=1&b=2").against(&text.replace("setvar:tx.done=1", "status:419")).status,
        419
    );
    assert_eq!(Request::get("/?a=1&b=2").against(text).status, 418);
    let half = Request::get("/?a=1&b=3").against(text);
    assert_eq!((half.status, half.ids()), (0, vec![]));
}

#[test]
fn variables_are_set_added_to_and_deleted_on_each_match() {
    let text = r#"
        SecRule ARGS "@rx x" "id:1,phase:1,pass,nolog,setvar:tx.sum=+5,setvar:'tx.seen_%{MATCHED_VAR_NAME}=1'"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.sum=-1,setvar:!tx.seen_ARGS:a,setvar:tx.flag"
        SecRule TX:sum "@eq 9" "id:3,phase:1,pass,msg:'%{tx.sum} %{tx.flag} %{tx.absent}.'"
        SecRule &TX:/^SEEN_/ "@eq 1" "id:4,phase:1,pass,msg:'%{TX:/^SEEN_/}'"
        SecRule TX.seen_args:b "@eq 1" "id:5,phase:1,pass"
    "#;
    let seen = Request::get("/?a=x&b=x&c=y").against(text);
    assert_eq!(seen.ids(), [3, 4, 5]);
    assert_eq!(seen.record.matches[1].message, "1");
    assert_eq!(seen.record.matches[0].message, "9 1 .");
    assert_eq!(seen.record.matches[0].variable, "TX:sum");
}

#[test]
fn targets_are_selected_excluded_and_counted() {
    let text = r#"
        SecRule ARGS:/^user_/|!ARGS:user_ok "@rx evil" "id:1,phase:1,pass,logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
        SecRule &ARGS:x "@eq 2" "id:2,phase:1,pass"
        SecRule &ARGS:none "@eq 0" "id:3,phase:1,pass"
        SecRule ARGS_NAMES "@streq user_b" "id:4,phase:1,pass"
        SecRule REQUEST_HEADERS:x-test "@streq 1" "id:5,phase:1,pass"
        SecRule ARGS:none "!@streq 1" "id:6,phase:1,pass"
    "#;
    let request =
        Request::get("/?user_ok=evil&USER_b=evil&other=evil&x=1&x=2&user_b=1").header("X-Test", "1");
    let seen = request.against(text);
    assert_eq!(seen.ids(), [1, 2, 3, 4, 5]);
    assert_eq!(seen.record.matches[0].data, "ARGS:USER_b=evil");
}

#[test]
fn skips_go_where_they_say_within_their_phase() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog,skipAfter:END"
        SecAction "id:2,phase:1,pass,log"
        SecAction "id:3,phase:2,pass,log"
        SecMarker END
        SecAction "id:4,phase:1,pass,log,skip:1"
        SecAction "id:5,phase:1,pass,log"
        SecAction "id:6,phase:1,pass,log"
    "#;
    assert_eq!(Request::get("/").against(text).ids(), [4, 6, 3]);
}

#[test]
fn block_is_what_the_phase_defaults_to() {
    let text = r#"
        SecDefaultAction "phase:1,log,deny,status:406"
        SecDefaultAction "phase:2,nolog,pass"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,block"
        SecRule ARGS:b "@streq 1" "id:2,phase:2,block"
        SecRule ARGS:c "@streq 1" "id:3,phase:1,block,status:409"
    "#;
    assert_eq!(Request::get("/?a=1").against(text).status, 406);
    assert_eq!(Request::get("/?c=1").against(text).status, 409);
    let passed = Request::get("/?b=1").against(text);
    assert_eq!((passed.status, passed.ids()), (0, vec![]));
}

#[test]
fn refusals_carry_status_redirect_and_drop() {
    let refusal = |action: &str| {
        let text = format!(r#"SecRule ARGS:a "@rx ." "id:7,phase:1,{action}""#);
        Request::get("/?a=x").against(&text).record.refused.unwrap()
    };
    let cause = Cause::Rule(7);
    assert_eq!(
        refusal("redirect:'https://example.com/?from=%{ARGS.a}'"),
        Refusal {
            cause: cause.clone(),
            status: 302,
            phase: 1,
            drop: false,
            redirect: Some(b"https://example.com/?from=x".to_vec())
        }
    );
    let dropped = Refusal { cause, status: 403, phase: 1, drop: true, redirect: None };
    assert_eq!(refusal("drop"), dropped);
}

#[test]
fn detection_refuses_nothing_and_says_what_it_would_have() {
    let ruleset = rules(
        r#"
        SecAction "id:1,phase:1,deny,status:401"
        SecAction "id:2,phase:1,deny,status:402"
    "#,
    );
    let seen = Request::get("/").through(&ruleset, &detect(&ruleset));
    assert_eq!((seen.status, seen.record.refused.as_ref()), (0, None));
    assert_eq!(seen.record.would_refuse.as_ref().map(|refusal| refusal.status), Some(401));
    assert_eq!(seen.ids(), [1, 2]);
    assert_eq!(Request::get("/").through(&ruleset, &block(&ruleset)).ids(), [1]);
}

#[test]
fn allow_ends_what_it_says_it_ends() {
    let text = |allow: &str| {
        format!(
            r#"
            SecAction "id:1,phase:1,{allow}"
            SecAction "id:2,phase:1,deny"
            SecAction "id:3,phase:2,pass"
            SecAction "id:4,phase:3,pass"
            SecAction "id:5,phase:5,pass"
        "#
        )
    };
    let ids = |allow: &str| Request::get("/").against(&text(allow)).ids();
    assert_eq!(ids("allow"), [1, 5]);
    assert_eq!(ids("allow:request"), [1, 4, 5]);
    assert_eq!(ids("allow:phase"), [1, 3, 4, 5]);
}

#[test]
fn captures_belong_to_the_rule_that_asks_for_them() {
    let text = r#"
        SecRule ARGS:a "@rx ^(\w+)-(\w+)" "id:1,phase:1,pass,capture,logdata:'%{tx.0}|%{tx.1}|%{tx.2}'"
        SecRule ARGS:a "@rx ^(\d+)" "id:2,phase:1,pass,msg:'%{tx.1}'"
        SecRule ARGS:a "@rx ^." "id:3,phase:1,pass,capture,msg:'%{tx.0}|%{tx.1}'"
    "#;
    let seen = Request::get("/?a=12-ab").against(text);
    assert_eq!(seen.record.matches[0].data, "12-ab|12|ab");
    assert_eq!(seen.record.matches[1].message, "12");
    assert_eq!(seen.record.matches[2].message, "1|");
}

#[test]
fn multi_match_looks_at_every_form_on_the_way() {
    let text = |multi: &str| {
        format!(
            r#"SecRule ARGS:a "@rx ^A B$" "id:1,phase:1,pass,{multi}t:none,t:lowercase,t:removeWhitespace""#
        )
    };
    assert_eq!(Request::get("/?a=A+B").against(&text("")).ids(), Vec::<u32>::new());
    assert_eq!(Request::get("/?a=A+B").against(&text("multiMatch,")).ids(), [1]);
}

#[test]
fn default_transformations_apply_unless_forgotten() {
    let text = r#"
        SecDefaultAction "phase:1,pass,log,t:lowercase"
        SecRule ARGS:a "@streq x y" "id:1,phase:1,t:compressWhitespace"
        SecRule ARGS:a "@streq x y" "id:2,phase:1,t:none,t:compressWhitespace"
    "#;
    assert_eq!(Request::get("/?a=X++Y").against(text).ids(), [1]);
}

#[test]
fn matched_variables_add_up_along_a_chain_and_start_anew() {
    let text = r#"
        SecRule ARGS:a|ARGS:b "@rx x" "id:1,phase:1,pass,chain"
            SecRule MATCHED_VARS "@streq xb" "chain"
            SecRule MATCHED_VARS_NAMES "@streq ARGS:a"
        SecRule ARGS:c "@rx ." "id:2,phase:1,pass,chain"
            SecRule &MATCHED_VARS "@eq 1"
    "#;
    assert_eq!(Request::get("/?a=x&b=xb&c=1").against(text).ids(), [1, 2]);
}

#[test]
fn controls_remove_rules_and_targets_for_one_transaction() {
    let text = r#"
        SecRule ARGS:off "@streq ids" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10-11"
        SecRule ARGS:off "@streq tag" "id:2,phase:1,pass,nolog,ctl:ruleRemoveByTag=noisy"
        SecRule ARGS:off "@streq target" "id:3,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;ARGS:a"
        SecRule ARGS:off "@streq pattern" "id:4,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=noisy;ARGS:/^[ab]$/"
        SecRule ARGS:off "@streq engine" "id:5,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecRule ARGS:off "@streq detect" "id:6,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
        SecRule ARGS "@streq x" "id:10,phase:1,pass,tag:noisy"
        SecRule ARGS "@streq x" "id:12,phase:1,deny"
    "#;
    let seen = |off: &str| {
        let seen = Request::get(&format!("/?a=x&off={off}")).against(text);
        (seen.status, seen.ids())
    };
    assert_eq!(seen("nothing"), (403, vec![10, 12]));
    for off in ["ids", "tag", "target", "pattern"] {
        assert_eq!(seen(off), (403, vec![12]), "{off}");
    }
    assert_eq!(seen("engine"), (0, vec![]));
    assert_eq!(seen("detect"), (0, vec![10, 12]));
}

#[test]
fn updates_change_rules_written_elsewhere() {
    let text = r#"
        SecRuleUpdateTargetById 1 "!ARGS:a"
        SecRuleUpdateTargetByTag later "!ARGS:/^b/"
        SecRuleUpdateActionById 3 "deny,status:410"
        SecRuleUpdateTargetById 5 "REQUEST_METHOD" "ARGS"
        SecRuleRemoveById 4
        SecRule ARGS "@streq x" "id:1,phase:1,pass"
        SecRule ARGS "@streq x" "id:2,phase:1,pass,tag:later"
        SecRule ARGS:c "@streq x" "id:3,phase:1,pass"
        SecRule ARGS "@streq x" "id:4,phase:1,pass"
        SecRule ARGS "@streq GET" "id:5,phase:1,pass"
    "#;
    assert_eq!(Request::get("/?a=x").against(text).ids(), [2, 5]);
    assert_eq!(Request::get("/?bb=x").against(text).ids(), [1, 5]);
    assert_eq!(Request::get("/?c=x").against(text).status, 410);
}

#[test]
fn operators_take_macros() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.limit=3,setvar:'tx.words=|one| |two|'"
        SecRule &ARGS "@gt %{tx.limit}" "id:2,phase:1,pass"
        SecRule ARGS:w "@within %{tx.words}" "id:3,phase:1,pass"
        SecRule REQUEST_HEADERS:Origin "!@endsWith %{request_headers.host}" "id:4,phase:1,pass"
        SecRule ARGS:p "@rx ^%{ARGS.w}+$" "id:5,phase:1,pass"
    "#;
    let request = Request::get("/?a=1&b=2&w=two&p=twooo").header("Host", "example.com");
    assert_eq!(request.clone().header("Origin", "https://example.com").against(text).ids(), [2, 3, 5]);
    assert_eq!(request.header("Origin", "https://example.org").against(text).ids(), [2, 3, 4, 5]);
}

#[test]
fn what_is_known_of_connection_and_request() {
    let text = r#"SecAction "id:1,phase:2,pass,\
        msg:'%{REMOTE_ADDR} %{REMOTE_PORT} %{SERVER_NAME} %{SERVER_PORT} %{UNIQUE_ID} %{REQUEST_METHOD}',\
        logdata:'%{REQUEST_URI} %{REQUEST_FILENAME} %{REQUEST_BASENAME} %{QUERY_STRING} %{REQUEST_LINE} %{RULE.id} \
%{TIME} %{TIME_YEAR} %{ARGS_COMBINED_SIZE} %{REQUEST_COOKIES.b} %{REMOTE_USER} %{AUTH_TYPE}'""#;
    let request = Request::get("http://h/a%20b/c+d.php?x=%41")
        .header("Host", "example.com:8443")
        .header("Cookie", "a=1; b=2")
        .header("Authorization", "Basic dXNlcjpwYXNz");
    let seen = request.against(text);
    assert_eq!(seen.record.matches[0].message, "192.0.2.7 40000 example.com 443 request-1 GET");
    assert_eq!(
        seen.record.matches[0].data,
        "/a b/c+d.php?x=A /a b/c+d.php c+d.php x=%41 GET http://h/a%20b/c+d.php?x=%41 HTTP/1.1 1 12:34:56 2000 2 2 \
         user Basic"
    );
}

#[test]
fn response_bodies_are_looked_at_where_the_rules_say() {
    let text = r#"
        SecResponseBodyAccess On
        SecResponseBodyMimeType text/html
        SecRule RESPONSE_BODY "@contains secret" "id:1,phase:4,deny,status:502"
        SecRule RESPONSE_STATUS "@eq 200" "id:2,phase:3,pass,logdata:'%{RESPONSE_HEADERS.Content-Type}'"
    "#;
    let leak = |content_type: &str| Request::get("/").answered(content_type, "a secret");
    assert_eq!(leak("text/html; charset=utf-8").against(text).status, 502);
    assert_eq!(leak("image/png").against(text).status, 0);
    assert_eq!(leak("image/png").against(text).record.matches[0].data, "image/png");
}

#[test]
fn an_operator_without_answer_refuses() {
    let text = r#"
        SecRule REMOTE_ADDR "@rbl dnsbl.example" "id:1,phase:1,pass"
        SecAction "id:2,phase:1,pass,log"
    "#;
    let ruleset = rules(text);
    let refused = Request::get("/").through(&ruleset, &block(&ruleset));
    assert_eq!((refused.status, refused.ids()), (500, vec![]));
    assert_eq!(refused.record.refused.unwrap().cause, Cause::Internal(Internal::Operator));
    let noted = Request::get("/").through(&ruleset, &detect(&ruleset));
    assert_eq!((noted.status, noted.ids()), (0, vec![2]));
    assert_eq!(noted.record.would_refuse.unwrap().status, 500);
    assert!(noted.record.internal_errors[0].contains("rule 1"), "{:?}", noted.record.internal_errors);
}

#[test]
fn too_many_arguments_refuse_in_the_head_and_fail_the_body() {
    let text = r#"
        SecArgumentsLimit 3
        SecRequestBodyAccess On
        SecRule REQBODY_ERROR "@eq 1" "id:1,phase:2,deny,status:413"
    "#;
    assert_eq!(Request::get("/?a&b&c").against(text).status, 0);
    let refused = Request::get("/?a&b&c&d").against(text);
    assert_eq!(
        (refused.status, refused.record.refused.unwrap().cause),
        (500, Cause::Internal(Internal::Limit))
    );
    let form = Request::post("application/x-www-form-urlencoded", "a&b&c");
    assert_eq!(form.against(text).status, 0);
    assert_eq!(Request { target: "/?d".to_owned(), ..form }.against(text).status, 413);
}

#[test]
fn nolog_keeps_a_match_out_of_the_record_unless_it_refuses() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog"
        SecAction "id:2,phase:1,deny,nolog"
    "#;
    let seen = Request::get("/").against(text);
    assert_eq!((seen.status, seen.ids(), seen.record.matches[0].logged), (403, vec![2], false));
}

#[test]
fn a_transaction_may_end_at_any_step_and_still_logs() {
    use veloflux_waf::{Connection, Transaction};
    let ruleset = rules(r#"SecAction "id:1,phase:5,pass,log""#);
    let overlay = block(&ruleset);
    let address = ([127, 0, 0, 1], 1).into();
    let connection = Connection { client: address, server: address, request_id: "r", now_unix_us: 0 };
    let record = Transaction::begin(&ruleset, &overlay, &connection).finish();
    assert_eq!(record.matches.len(), 1);
}

proptest::proptest! {
    #[test]
    fn a_comparison_is_the_same_alone_and_beside_other_targets(
        number in -3_i64..4,
        operand in -3_i64..4,
        operator in proptest::sample::select(vec!["@eq", "!@eq", "@ge", "!@gt", "@le", "@lt", "!@lt"]),
    ) {
        let text = format!(
            r#"
            SecAction "id:1,phase:1,pass,nolog,setvar:tx.n=0,setvar:tx.n=+{number},setvar:'tx.text={number}'"
            SecRule TX:n "{operator} {operand}" "id:2,phase:1,pass"
            SecRule TX:n|TX:unset "{operator} {operand}" "id:3,phase:1,pass"
            SecRule TX:text "{operator} {operand}" "id:4,phase:1,pass"
            SecRule TX:unset "{operator} {operand}" "id:5,phase:1,pass"
        "#
        );
        let ids = Request::get("/").against(&text).ids();
        proptest::prop_assert!(ids.is_empty() || ids == [2, 3, 4], "{ids:?}");
    }
}

#[test]
fn a_percent_sign_behind_a_macro_belongs_to_it() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1%,setvar:tx.b=%{tx.a}%%{tx.a}"
        SecRule TX:b "@streq 1%1%" "id:2,phase:1,pass,msg:'<%{tx.a}%> %{tx.b}%%{tx.b}'"
    "#;
    let seen = Request::get("/").against(text);
    assert_eq!((seen.ids(), &*seen.record.matches[0].message), (vec![2], "<1%> 1%1%1%1%"));
}

#[test]
fn a_fragment_is_part_of_the_raw_target_only() {
    let text = r#"
        SecRule REQUEST_URI|REQUEST_FILENAME|QUERY_STRING|ARGS "@contains part" "id:1,phase:1,pass"
        SecRule REQUEST_URI_RAW "@contains #part" "id:2,phase:1,pass"
        SecRule ARGS:a "@streq b" "id:3,phase:1,pass"
    "#;
    assert_eq!(Request::get("/x?a=b#part").against(text).ids(), [2, 3]);
}

#[test]
fn a_later_link_may_carry_an_id_which_names_nothing() {
    let text = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,chain"
            SecRule ARGS:b "@streq 2" "id:2"
        SecAction "id:3,phase:1,pass,nolog,ctl:ruleRemoveById=2"
    "#;
    assert_eq!(Request::get("/?a=1&b=2").against(text).ids(), [1]);
    let notes: Vec<_> = rules(text).notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("test.conf:3: id has no effect"), "{notes:?}");
}

#[test]
fn the_engine_and_the_current_rule_can_be_looked_at() {
    let text = r#"
        SecRule RULE:logdata "@streq a %{tx.x}" "id:1,phase:1,pass,nolog"
        SecRule RULE:logdata "@beginsWith a" "id:2,phase:1,pass,logdata:'a %{tx.x}'"
        SecRule MODSEC_BUILD "@rx ^03[0-9]{7}$" "id:3,phase:1,pass"
        SecRule MSC_PCRE_ERROR|MSC_PCRE_LIMITS_EXCEEDED "!@eq 0" "id:4,phase:1,pass"
        SecRule DURATION "@rx ^[0-9]+\.[0-9]{3}$" "id:5,phase:1,pass"
    "#;
    assert_eq!(Request::get("/").against(text).ids(), [2, 3, 5]);
}
