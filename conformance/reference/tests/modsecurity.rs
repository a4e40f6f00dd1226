//! The reference library judges, through its driver, any bytes.

#![allow(clippy::unwrap_used)]

use veloflux_reference::{Answer, EngineError, Judged, Request, modsecurity, text};

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:X "@rx ^\x00\xff$" "id:1,phase:1,pass,log,t:none"
SecRule ARGS "@rx ^\xfe$" "id:2,phase:2,pass,log,t:none"
SecRule ARGS "@streq bad" "id:3,phase:2,deny,status:418,log,t:none"
"#;

#[test]
fn any_bytes_are_judged_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.conf");
    std::fs::write(&rules, RULES).unwrap();
    let mut engine = match modsecurity(&[&rules]) {
        Ok(engine) => engine,
        Err(error @ EngineError::Absent { .. }) => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(engine.name().starts_with("ModSecurity v3"), "{}", engine.name());

    let form = |body: &[u8]| Request {
        method: "POST".into(),
        target: "/".into(),
        version: "1.1".into(),
        headers: vec![
            ("Host".into(), "a.example".into()),
            ("Content-Type".into(), "application/x-www-form-urlencoded".into()),
            ("X".into(), text(b"\x00\xff")),
        ],
        body: text(body),
    };
    let answers = engine.judge(&[form(b"a=\xfe"), form(b"a=bad"), form(b"")]).unwrap();
    let found: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Judged(Judged { matched, status, rule, cpu_ns }) => {
                assert!(cpu_ns > 0);
                (matched, status, rule)
            }
            Answer::Failed { error } => panic!("{error}"),
        })
        .collect();
    assert_eq!(found, [(vec![1, 2], None, None), (vec![1, 3], Some(418), Some(3)), (vec![1], None, None)]);
}

#[test]
fn rules_that_do_not_load_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.conf");
    std::fs::write(&rules, "SecNoSuchThing On\n").unwrap();
    assert!(matches!(modsecurity(&[&rules]), Err(EngineError::Ended | EngineError::Absent { .. })));
}
