//! The rule set's own limits on bodies.

use crate::common::{Request, Seen};
use veloflux_waf::Cause;

const SHOW: &str = r#"
    SecResponseBodyAccess On
    SecAction "id:2,phase:2,pass,log,msg:'%{INBOUND_DATA_ERROR} %{REQUEST_BODY} %{REQBODY_ERROR_MSG}'"
    SecAction "id:4,phase:4,pass,log,msg:'%{OUTBOUND_DATA_ERROR} %{RESPONSE_BODY}'"
"#;

fn send(rules: &str, request: &Request) -> Seen {
    request.against(&format!("{rules}\n{SHOW}"))
}

fn messages(seen: &Seen) -> Vec<&str> {
    seen.record.matches.iter().map(|found| found.message.as_str()).collect()
}

fn form() -> Request {
    Request::post("application/x-www-form-urlencoded", "a=12345").answered("text/html", "abcdef")
}

#[test]
fn a_body_that_is_too_long_is_refused_cut_or_flagged() {
    for (rules, status, expected) in [
        ("SecRequestBodyLimit 7\nSecResponseBodyLimit 6", 0, vec!["0 a=12345 ", "0 abcdef"]),
        ("SecRequestBodyLimit 6\nSecResponseBodyLimit 5", 0, vec!["1 a=12345 ", "1 abcdef"]),
        (
            "SecRequestBodyLimit 6\nSecRequestBodyLimitAction ProcessPartial\n\
             SecResponseBodyLimit 5\nSecResponseBodyLimitAction ProcessPartial",
            0,
            vec!["1 a=1234 ", "1 abcde"],
        ),
        ("SecRequestBodyLimit 6\nSecRequestBodyLimitAction Reject", 403, vec![]),
        ("SecResponseBodyLimit 5\nSecResponseBodyLimitAction Reject", 403, vec!["0 a=12345 "]),
        (
            "SecRequestBodyAccess Off\nSecRequestBodyLimit 6\nSecRequestBodyLimitAction Reject",
            0,
            vec!["0  ", "0 abcdef"],
        ),
    ] {
        let seen = send(rules, &form());
        assert_eq!((seen.status, messages(&seen)), (status, expected), "{rules}");
        if status != 0 {
            assert_eq!(seen.record.refused.unwrap().cause, Cause::BodyLimit);
        }
    }
}

#[test]
fn detection_goes_on_where_reject_would_refuse() {
    let rules = "SecRuleEngine DetectionOnly\nSecRequestBodyLimit 6\nSecRequestBodyLimitAction Reject";
    let seen = send(rules, &form());
    assert_eq!(messages(&seen), ["1 a=12345 ", "0 abcdef"]);
    assert_eq!(seen.record.would_refuse.unwrap().cause, Cause::BodyLimit);
}

#[test]
fn uploads_do_not_count_where_files_are_left_out() {
    const WHY: &str = "Request body excluding files is bigger than the maximum expected.";
    let body =
        "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n0123456789\r\n--B--\r\n";
    let upload = Request::post("multipart/form-data; boundary=B", body);
    let rest = "Content-Disposition: form-data; name=\"f\"; filename=\"f\"".len();
    let message = |limit: usize, request: &Request| {
        let seen = send(&format!("SecRequestBodyNoFilesLimit {limit}"), request);
        seen.record.matches[0].message.clone()
    };
    assert_eq!(message(rest, &upload), "0  ");
    assert_eq!(message(rest - 1, &upload), format!("1 {body} {WHY}"));
    assert_eq!(message(7, &form()), "0 a=12345 ");
    assert_eq!(message(6, &form()), format!("1 a=12345 {WHY}"));
}

#[test]
fn a_limit_is_a_number_and_an_action_a_word() {
    for (rules, why) in [
        ("SecRequestBodyLimit many", "expected a number"),
        ("SecResponseBodyLimitAction Perhaps", "expected Reject or ProcessPartial"),
    ] {
        assert!(crate::common::compile(rules).unwrap_err().to_string().contains(why));
    }
}
