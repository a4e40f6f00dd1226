//! Explained transactions: the steps tell what was done, and change nothing.

use crate::common::{Request, rules};
use veloflux_waf::{
    Connection, Levels, Mode, OverlaySettings, Record, RequestHead, Skip, Step, Transaction, Verdict,
};

/// Phase 1 of `GET target` through `text`, explained.
fn explained(text: &str, target: &str) -> Record {
    let ruleset = rules(text);
    let levels = Levels { paranoia: 1, inbound_threshold: 5, outbound_threshold: 4 };
    let settings = OverlaySettings::new(Mode::Block, levels);
    let overlay = ruleset.overlay(&settings).unwrap();
    let address = ([192, 0, 2, 7], 443).into();
    let connection = Connection { client: address, server: address, request_id: "1", now_unix_us: 0 };
    let head = RequestHead { method: b"GET", target: target.as_bytes(), protocol: b"HTTP/1.1", headers: &[] };
    match Transaction::begin(&ruleset, &overlay, &connection).explained().request_head(&head) {
        Verdict::Pass(transaction) => transaction.finish(),
        Verdict::Refuse(refused) => refused.finish(),
    }
}

const RULES: &str = r#"
    SecRule ARGS:q "@rx ^(a)b$" "id:1,phase:1,pass,nolog,t:lowercase,t:trim,capture,setvar:tx.sum=+2"
    SecRule TX:sum "@ge %{tx.sum}" "id:2,phase:1,pass,nolog,ctl:ruleRemoveById=3,skip:1,msg:'sum %{tx.sum}'"
    SecAction "id:4,phase:1,pass"
    SecAction "id:3,phase:1,pass"
    SecRule TX:sum "@eq 9" "id:5,phase:1,deny"
    SecAction "id:6,phase:1,allow"
    SecAction "id:7,phase:1,deny"
"#;

/// Spans and places of a value that matches.
type Found = (Vec<std::ops::Range<usize>>, Vec<std::ops::Range<usize>>);

#[test]
fn each_step_is_told_in_order() {
    let steps = explained(RULES, "/?q=A%42%20").steps;
    let place = std::iter::once(8..15).collect();
    let forms = vec![("lowercase", b"ab ".to_vec()), ("trim", b"ab".to_vec())];
    let judged =
        |rule_id, variable: &str, argument: Option<&str>, before: &str, forms, found: Option<Found>| {
            let matched = found.is_some();
            let (spans, places) = found.unwrap_or_default();
            Step::Judged {
                rule_id,
                link: 0,
                argument: argument.map(|text| text.as_bytes().to_vec()),
                variable: variable.to_owned(),
                before: before.as_bytes().to_vec(),
                forms,
                matched,
                spans,
                places,
            }
        };
    let returned = |rule_id, matched| Step::Returned { rule_id, link: 0, matched };
    let matched = |rule_id, message: &str, outcome| Step::Matched {
        rule_id,
        message: message.to_owned(),
        data: String::new(),
        outcome,
    };
    let skipped = |rule_id, why| Step::Skipped { rule_id, why };
    let captured = |number, value: &[u8]| Step::Captured { rule_id: 1, number, value: value.to_vec() };
    assert_eq!(
        steps,
        [
            judged(1, "ARGS:q", None, "AB ", forms, Some((vec![0..2, 0..1], place))),
            captured(0, b"ab"),
            captured(1, b"a"),
            Step::Set { rule_id: 1, variable: "TX:sum".to_owned(), value: Some(b"2".to_vec()) },
            returned(1, true),
            matched(1, "", "pass"),
            judged(2, "TX:sum", Some("2"), "2", vec![], Some((vec![], vec![]))),
            returned(2, true),
            Step::Controlled { rule_id: 2, control: "ruleRemove".to_owned() },
            matched(2, "sum 2", "pass"),
            skipped(4, Skip::Jumped),
            skipped(3, Skip::Removed),
            judged(5, "TX:sum", None, "2", vec![], None),
            returned(5, false),
            returned(6, true),
            matched(6, "", "allow"),
            skipped(7, Skip::Allowed),
        ]
    );
}

#[test]
fn an_explanation_changes_no_verdict() {
    for (target, ids) in [("/?q=A%42%20", vec![6]), ("/", vec![4, 3, 6])] {
        let record = explained(RULES, target);
        let plain = Request::get(target).against(RULES);
        assert_eq!(record.matches.iter().map(|found| found.rule_id).collect::<Vec<_>>(), ids);
        assert_eq!((plain.ids(), plain.status, record.refused), (ids, 0, None));
        assert!(plain.record.steps.is_empty() && record.dropped_steps == 0);
    }
}

/// What each judged value of the request is, where the operator found something in it, and where it stands.
fn found(rules: &str, head: &RequestHead<'_>, body: &[u8]) -> Vec<String> {
    let ruleset = crate::common::rules(rules);
    let overlay = crate::common::detect(&ruleset);
    let address = ([192, 0, 2, 7], 443).into();
    let connection = Connection { client: address, server: address, request_id: "1", now_unix_us: 0 };
    let begun = Transaction::begin(&ruleset, &overlay, &connection).explained();
    let Verdict::Pass(transaction) = begun.request_head(head) else { panic!("refused") };
    let Verdict::Pass(transaction) = transaction.request_body(body, true) else { panic!("refused") };
    let mut written = [head.method, b" ", head.target, b" ", head.protocol, b"\n"].concat();
    for (name, value) in head.headers {
        written.extend([*name, b": ", *value, b"\n"].concat());
    }
    written.extend([b"\n", body].concat());
    let text = |range: &std::ops::Range<usize>| String::from_utf8_lossy(&written[range.clone()]).into_owned();
    let told = transaction.finish().steps.into_iter().filter_map(|step| match step {
        Step::Judged { variable, spans, places, matched: true, .. } => {
            let places = places.iter().map(text).collect::<Vec<_>>();
            Some(format!("{variable} {spans:?} {}", places.join("|")))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn places_are_those_of_the_request_written_out() {
    let form = RequestHead {
        method: b"POST",
        target: b"http://h/p%41th/x?a=1&b%62=v%20w#f",
        protocol: b"HTTP/1.1",
        headers: &[
            (b"Content-Type", b"application/x-www-form-urlencoded"),
            (b"Cookie", b" c=d ; e=f"),
            (b"Authorization", b"Basic dTpw"),
        ],
    };
    let look = |targets: &str| {
        found(
            &format!("SecRule {targets} \"@unconditionalMatch\" \"id:1,phase:2,pass,nolog\""),
            &form,
            b"k=%31&l=",
        )
    };
    assert_eq!(
        look("REQUEST_LINE|REQUEST_METHOD|REQUEST_PROTOCOL")[1..],
        ["REQUEST_METHOD [] POST", "REQUEST_PROTOCOL [] HTTP/1.1",]
    );
    assert_eq!(
        look("REQUEST_URI|REQUEST_FILENAME|REQUEST_BASENAME|QUERY_STRING"),
        [
            "REQUEST_URI [] /p%41th/x?a=1&b%62=v%20w",
            "REQUEST_FILENAME [] /p%41th/x",
            "REQUEST_BASENAME [] x",
            "QUERY_STRING [] a=1&b%62=v%20w",
        ]
    );
    assert_eq!(
        look("ARGS|ARGS_NAMES|ARGS_COMBINED_SIZE"),
        [
            "ARGS:a [] 1",
            "ARGS:bb [] v%20w",
            "ARGS:k [] %31",
            "ARGS:l [] ",
            "ARGS_NAMES:a [] a",
            "ARGS_NAMES:bb [] b%62",
            "ARGS_NAMES:k [] k",
            "ARGS_NAMES:l [] l",
            "ARGS_COMBINED_SIZE [] a|1|b%62|v%20w|k|%31|l|",
        ]
    );
    assert_eq!(
        look("REQUEST_COOKIES|REQUEST_COOKIES_NAMES|REQUEST_HEADERS:cookie|AUTH_TYPE|REMOTE_USER"),
        [
            "REQUEST_COOKIES:c [] d ",
            "REQUEST_COOKIES:e [] f",
            "REQUEST_COOKIES_NAMES:c [] c",
            "REQUEST_COOKIES_NAMES:e [] e",
            "REQUEST_HEADERS:Cookie []  c=d ; e=f",
            "AUTH_TYPE [] Basic",
            "REMOTE_USER [] Basic dTpw",
        ]
    );
    assert_eq!(
        look("REQUEST_BODY|REQUEST_BODY_LENGTH|&ARGS|TIME"),
        ["REQUEST_BODY [] k=%31&l=", "REQUEST_BODY_LENGTH [] k=%31&l=", "&ARGS [] ", "TIME [] ",]
    );
}

#[test]
fn places_in_a_multipart_body() {
    let head = RequestHead {
        method: b"POST",
        target: b"/",
        protocol: b"HTTP/1.1",
        headers: &[(b"Content-Type", b"multipart/form-data; boundary=B")],
    };
    let body = "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nvalue\r\n--B\r\nContent-Disposition: \
        form-data; name=\"up\"; filename=\"f.txt\"\r\n\r\ncontent\r\n--B--\r\n";
    let rules = "SecRule ARGS|FILES|FILES_NAMES|FILES_SIZES|FILES_TMP_CONTENT|MULTIPART_FILENAME \"@rx .\" \
        \"id:1,phase:2,pass,nolog\"";
    assert_eq!(
        found(rules, &head, body.as_bytes()),
        [
            "ARGS:n [0..1] value",
            "FILES:up [0..1] f.txt",
            "FILES_NAMES:up [0..1] up",
            "FILES_SIZES:up [0..1] content",
            "FILES_TMP_CONTENT:up [0..1] content",
            "MULTIPART_FILENAME:up [0..1] f.txt",
        ]
    );
}

#[test]
fn operators_tell_where_they_find_their_argument() {
    let head = RequestHead { method: b"GET", target: b"/?a=x1y1", protocol: b"HTTP/1.1", headers: &[] };
    for (operator, span) in [
        ("@contains 1", "[1..2]"),
        ("@containsWord 1", "[]"),
        ("@endsWith y1", "[2..4]"),
        ("@beginsWith %{REQUEST_PROTOCOL}", "[]"),
        ("@beginsWith x", "[0..1]"),
        ("!@streq z", "[]"),
    ] {
        let rules = format!("SecRule ARGS \"{operator}\" \"id:1,phase:1,pass,nolog\"");
        let expected = format!("ARGS:a {span} x1y1");
        let seen = found(&rules, &head, b"");
        assert!(seen.is_empty() && span == "[]" || seen == [expected], "{operator}: {seen:?}");
    }
}
