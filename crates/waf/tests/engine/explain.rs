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

#[test]
fn each_step_is_told_in_order() {
    let steps = explained(RULES, "/?q=A%42%20").steps;
    let forms = vec![("lowercase", b"ab ".to_vec()), ("trim", b"ab".to_vec())];
    let judged =
        |rule_id, variable: &str, argument: Option<&str>, before: &str, forms, matched| Step::Judged {
            rule_id,
            link: 0,
            argument: argument.map(|text| text.as_bytes().to_vec()),
            variable: variable.to_owned(),
            before: before.as_bytes().to_vec(),
            forms,
            matched,
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
            judged(1, "ARGS:q", None, "AB ", forms, true),
            captured(0, b"ab"),
            captured(1, b"a"),
            Step::Set { rule_id: 1, variable: "TX:sum".to_owned(), value: Some(b"2".to_vec()) },
            returned(1, true),
            matched(1, "", "pass"),
            judged(2, "TX:sum", Some("2"), "2", vec![], true),
            returned(2, true),
            Step::Controlled { rule_id: 2, control: "ruleRemove".to_owned() },
            matched(2, "sum 2", "pass"),
            skipped(4, Skip::Jumped),
            skipped(3, Skip::Removed),
            judged(5, "TX:sum", None, "2", vec![], false),
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
