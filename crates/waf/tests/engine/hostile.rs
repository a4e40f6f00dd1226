//! Requests that nobody sends by mistake: nothing panics, nothing is left unjudged.

use proptest::prelude::*;
use veloflux_waf::{Cause, Internal, MemFiles, Ruleset, Source, WorkBudget, base_config};

use crate::common::{Request, Seen, block, detect, rules};

/// Looks at everything with everything.
const EVERYTHING: &str = r#"
    SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_COOKIES_NAMES|REQUEST_HEADERS|REQUEST_HEADERS_NAMES|REQUEST_URI|REQUEST_URI_RAW|REQUEST_LINE|REQUEST_BODY|FULL_REQUEST|XML:/*|XML://@*|FILES|FILES_NAMES|MULTIPART_PART_HEADERS "@rx (?i)(union|script).*?(.)$" \
        "id:1000,phase:2,pass,capture,multiMatch,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:removeNulls,logdata:'%{TX.0} %{MATCHED_VAR}',setvar:'tx.%{MATCHED_VAR_NAME}=%{TX.2}'"
    SecRule ARGS|REQUEST_BASENAME|REQUEST_FILENAME|QUERY_STRING|TX|MATCHED_VARS|REMOTE_USER|SERVER_NAME "@detectSQLi" "id:1001,phase:2,pass,t:utf8toUnicode,t:cmdLine,t:normalizePathWin,t:base64DecodeExt"
    SecRule ARGS|REQUEST_HEADERS|&ARGS|&TX "@detectXSS" "id:1002,phase:2,pass,t:escapeSeqDecode,t:sqlHexDecode,t:replaceComments,t:compressWhitespace"
    SecRule RESPONSE_BODY|RESPONSE_HEADERS "@pm secret token" "id:1003,phase:4,pass"
"#;

fn everything() -> Ruleset {
    let source = Source { name: "everything.conf".to_owned(), text: EVERYTHING.to_owned() };
    Ruleset::compile(&[base_config(), source], &MemFiles::new()).unwrap()
}

fn spiced() -> impl Strategy<Value = String> {
    r#"([a-z0-9]|[/?&=;:%+.,'"<>(){}\[\]\\ #-]|%[0-9a-f]{2}|%u00[0-9a-f]{2}|&#x?[0-9]{1,4};|union|script|--XX|\r\n|é|😀){0,40}"#
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_request_makes_the_engine_fail(
        target in spiced(),
        header in spiced(),
        cookie in spiced(),
        body in spiced(),
        content_type in prop::sample::select(vec![
            "application/x-www-form-urlencoded",
            "application/json",
            "text/xml",
            "multipart/form-data; boundary=XX",
            "multipart/form-data",
            "text/plain",
        ]),
        body_complete: bool,
    ) {
        let ruleset = everything();
        let request = Request::post(content_type, body.into_bytes())
            .header("Cookie", &cookie)
            .header("Host", &header)
            .header("Authorization", &format!("Basic {header}"))
            .header(&header, &cookie);
        let request = Request { target, body_complete, ..request };
        let seen = request.through(&ruleset, &detect(&ruleset));
        prop_assert_eq!(seen.record.internal_errors, Vec::<String>::new());
        prop_assert_eq!(seen.status, 0);
    }
}

#[test]
fn an_overlay_of_another_rule_set_refuses() {
    let (one, other) = (rules(r#"SecAction "id:1,phase:1,pass""#), everything());
    let seen = Request::get("/").through(&one, &block(&other));
    assert_eq!((seen.status, seen.record.refused.unwrap().cause), (500, Cause::Internal(Internal::Overlay)));
}

#[test]
fn harmless_matches_do_not_blind_a_chain() {
    let text = r#"
        SecRule ARGS "@rx ^v" "id:1,phase:2,deny,chain"
            SecRule MATCHED_VARS "@streq v-evil"
    "#;
    let harmless = "a=v&".repeat(4_000);
    assert_eq!(
        Request::post("application/x-www-form-urlencoded", format!("{harmless}a=v-evil"))
            .against(text)
            .status,
        403
    );
    assert_eq!(Request::post("application/x-www-form-urlencoded", harmless).against(text).status, 0);
}

#[test]
fn padding_does_not_blind_a_rule_that_looks_at_a_copy() {
    let text = r#"
        SecRule ARGS:a "@rx ^(.*)$" "id:1,phase:2,pass,capture,setvar:'tx.copy=%{MATCHED_VAR}'"
        SecRule TX:copy "@endsWith evil" "id:2,phase:2,pass"
        SecRule TX:1 "@endsWith evil" "id:3,phase:2,pass"
    "#;
    let padded = format!("a={}evil", "x".repeat(1 << 20));
    assert_eq!(Request::post("application/x-www-form-urlencoded", padded).against(text).ids(), [1, 2, 3]);
}

/// Where the work budget stops nothing, the limits of memory do.
fn without_budget(request: &Request, text: &str) -> Seen {
    let ruleset = rules(text);
    request.through(&ruleset, &block(&ruleset).with_work_budget(WorkBudget::percent(u32::MAX)))
}

#[test]
fn a_variable_that_grows_without_end_is_stopped() {
    let text = r#"SecRule ARGS "@rx ." "id:1,phase:2,pass,nolog,setvar:'tx.all=%{tx.all}%{MATCHED_VAR}'""#;
    let form = format!("a={}&", "x".repeat(1_000)).repeat(1_000);
    let seen = without_budget(&Request::post("application/x-www-form-urlencoded", form), text);
    assert_eq!((seen.status, seen.record.refused.unwrap().cause), (500, Cause::Internal(Internal::Limit)));
}

#[test]
fn a_chain_that_multiplies_its_matches_is_stopped() {
    let links = "SecRule MATCHED_VARS \"@rx .\" \"chain\"\n".repeat(20);
    let text = format!("SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,chain\"\n{links}SecRule ARGS \"@rx .\"");
    let seen = without_budget(&Request::get(&format!("/?{}", "a=1&".repeat(100))), &text);
    assert_eq!((seen.status, seen.record.refused.unwrap().cause), (500, Cause::Internal(Internal::Limit)));
}

#[test]
fn records_are_bounded() {
    let text = r#"
        SecRule ARGS "@rx ." "id:1,phase:1,deny,logdata:'%{MATCHED_VAR}',setvar:'tx.copy=%{MATCHED_VAR}'"
    "#;
    let seen = Request::get(&format!("/?a={}", "x".repeat(1 << 20))).against(text);
    let found = &seen.record.matches[0];
    assert_eq!(found.value.len(), veloflux_waf::limits::RECORDED_BYTES);
    assert_eq!(found.data.len(), veloflux_waf::limits::RECORDED_BYTES);
}

#[test]
fn nothing_of_a_request_shows_in_debug_output() {
    use veloflux_waf::{Connection, RequestHead, Transaction};
    let ruleset = everything();
    let overlay = block(&ruleset);
    let address = ([127, 0, 0, 1], 1).into();
    let connection = Connection { client: address, server: address, request_id: "r", now_unix_us: 0 };
    let head =
        RequestHead { method: b"GET", target: b"/?password=hunter2", protocol: b"HTTP/1.1", headers: &[] };
    let verdict = Transaction::begin(&ruleset, &overlay, &connection).request_head(&head);
    assert!(!format!("{verdict:?}").contains("hunter2"));
}
