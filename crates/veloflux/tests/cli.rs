//! The command line as people meet it: help texts (`UPDATE_GOLDEN=1` writes them anew), exit codes, messages.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn veloflux(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_veloflux")).args(args).current_dir(folder).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn help_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help").join(format!("{name}.txt"))
}

#[test]
fn help_texts_are_as_checked_in() {
    let commands = [
        "",
        "certificates",
        "check",
        "schema",
        "crs",
        "crs install",
        "crs list",
        "crs activate",
        "serve",
        "demo-upstream",
        "dev-ca",
        "demo",
        "waf",
        "waf eval",
        "waf top",
    ];
    for command in commands {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let output = veloflux(Path::new("."), &args);
        assert_eq!(code(&output), Some(0));
        let name = if command.is_empty() { "veloflux".to_owned() } else { command.replace(' ', "-") };
        let path = help_file(&name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, stdout(&output)).unwrap();
        }
        assert_eq!(stdout(&output), fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &[][..],
        &["sevre"],
        &["schema"],
        &["schema", "other"],
        &["crs", "install"],
        &["waf", "eval", "--request", "r"],
        &["waf", "eval", "--rules", "r", "--request", "r", "--level", "5"],
        &["crs", "activate", "../x"],
        &["dev-ca", "--dir", "d", "--host", "Not A Host"],
    ] {
        assert_eq!(code(&veloflux(Path::new("."), args)), Some(2), "{args:?}");
    }
}

#[test]
fn schemas_are_those_checked_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    for name in ["process", "state"] {
        let output = veloflux(Path::new("."), &["schema", name]);
        assert_eq!(stdout(&output), fs::read_to_string(folder.join(format!("{name}.schema.json"))).unwrap());
    }
}

const PROCESS: &str = "data_directory: data\nlisteners: [{address: \"127.0.0.1:0\", protocol: http}]\n";

#[test]
fn check_says_what_serve_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    let check = || veloflux(folder.path(), &["check"]);

    assert!(stderr(&check()).starts_with("veloflux.yaml: the file cannot be read: "));
    write("veloflux.yaml", PROCESS);
    write(
        "state.yaml",
        "tenants:\n  - name: acme\n    firewall: {mode: off}\n    domains: [{host: a.localhost}]\n",
    );
    let good = check();
    assert_eq!((code(&good), stdout(&good).as_str()), (Some(0), "ok: 1 tenants\n"), "{}", stderr(&good));

    write("state.yaml", "tenants:\n  - name: acme\n    firewal: {mode: off}\n");
    let bad = check();
    assert_eq!((code(&bad), stdout(&bad).as_str()), (Some(1), ""));
    assert_eq!(stderr(&bad), "state.yaml:3:5: unknown key `firewal`\n    did you mean `firewall`?\n");

    // What the state names is checked too: here a certificate and a rule set.
    write(
        "state.yaml",
        "tenants:\n  - name: acme\n    domains: [{host: a.localhost}]\n    certificates: [{name: c, cert_file: c.pem, key_file: c.key}]\n",
    );
    let bad = stderr(&check());
    assert!(bad.contains("state.yaml:4:41: the cert_file `c.pem` cannot be read"), "{bad}");
    assert!(bad.contains("state.yaml:2:11: the firewall is on, but no rule set is active"), "{bad}");

    // So is what the process file names to order certificates with.
    write(
        "veloflux.yaml",
        &format!(
            "{PROCESS}acme:\n  terms_of_service_agreed: true\n  directories: [{{url: 'https://ca.example/dir', \
             external_account: {{kid: k, hmac_key_file: eab.key}}}}]\n"
        ),
    );
    assert!(stderr(&check()).contains("eab.key: No such file"), "{}", stderr(&check()));
    write("eab.key", "not base64url!");
    assert!(stderr(&check()).contains("eab.key: the file does not hold an HMAC key"), "{}", stderr(&check()));

    // Both files are judged, whichever is wrong.
    write("veloflux.yaml", "listeners: []\n");
    write("state.yaml", "tenants: 1\n");
    let bad = stderr(&veloflux(folder.path(), &["check", "--state", "state.yaml"]));
    assert!(
        bad.contains("veloflux.yaml: there are 0 listeners") && bad.contains("state.yaml:1:10: "),
        "{bad}"
    );
}

/// A rule set in the layout of the CRS, with one rule.
fn release(folder: &Path, name: &str, operator: &str) -> String {
    let root = folder.join(name);
    fs::create_dir_all(root.join("rules")).unwrap();
    fs::write(root.join("crs-setup.conf.example"), "").unwrap();
    let signature = "SecComponentSignature \"OWASP_CRS/9.1.0\"\n";
    let rule = format!("{signature}SecRule ARGS \"{operator} evil\" \"id:9100,phase:2,deny,tag:'t'\"\n");
    fs::write(root.join("rules/REQUEST-900.conf"), rule).unwrap();
    root.to_str().unwrap().to_owned()
}

#[test]
fn rule_sets_are_installed_listed_and_activated() {
    let folder = tempfile::tempdir().unwrap();
    let crs = |args: &[&str]| veloflux(folder.path(), &[&["crs", "--data-dir", "data"], args].concat());
    let good = release(folder.path(), "good", "@contains");
    let bad = release(folder.path(), "bad", "@contians");

    let refused = crs(&["install", "--from", &bad]);
    assert_eq!(code(&refused), Some(1));
    assert!(stderr(&refused).contains("rules/REQUEST-900.conf:2:") && stderr(&refused).contains("contians"));
    assert_eq!(stdout(&crs(&["list"])), "");

    let installed = crs(&["install", "--from", &good]);
    assert!(stdout(&installed).starts_with("9.1.0 installed"), "{}", stderr(&installed));
    assert!(stdout(&crs(&["install", "--from", &good])).starts_with("9.1.0 was installed already"));
    assert_eq!(code(&crs(&["install", "--from", &good, "--name", "other"])), Some(0));
    assert_eq!(stdout(&crs(&["list"])), "  9.1.0\n* other\n");
    assert_eq!(code(&crs(&["activate", "9.1.0"])), Some(0));
    assert_eq!(stdout(&crs(&["list"])), "* 9.1.0\n  other\n");
    assert_eq!(code(&crs(&["activate", "9.2.0"])), Some(1));
    for version in ["10.0.0", "9.28.0", "9.9.0"] {
        assert_eq!(code(&crs(&["install", "--from", &good, "--name", version])), Some(0));
    }
    assert_eq!(stdout(&crs(&["list"])), "  9.1.0\n* 9.9.0\n  9.28.0\n  10.0.0\n  other\n");
}

#[test]
fn a_policy_finds_the_active_rule_set_and_its_exclusions_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let good = release(folder.path(), "good", "@contains");
    veloflux(folder.path(), &["crs", "--data-dir", "data", "install", "--from", &good]);
    fs::write(folder.path().join("veloflux.yaml"), PROCESS).unwrap();
    let state = |rule: u32| {
        format!(
            "baseline: {{tunable: [{{rules: 9000-9999}}]}}\ntenants:\n  - name: acme\n    \
                 firewall: {{exclusions: [{{rule: {rule}}}]}}\n"
        )
    };
    fs::write(folder.path().join("state.yaml"), state(9100)).unwrap();
    assert_eq!(stderr(&veloflux(folder.path(), &["check"])), "");
    fs::write(folder.path().join("state.yaml"), state(9101)).unwrap();
    let refused = stderr(&veloflux(folder.path(), &["check"]));
    assert!(refused.starts_with("state.yaml:4:36: no rule has the id 9101"), "{refused}");
}

#[test]
fn waf_eval_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    let eval = |rules: &str, request: &str, more: &[&str]| {
        let args = ["waf", "eval", "--rules", rules, "--request", request];
        veloflux(folder.path(), &[&args[..], more].concat())
    };
    let release = release(folder.path(), "good", "@contains");
    write("attack.http", "GET /?q=an+evil+thing HTTP/1.1\nHost: h\n\n");
    write(
        "harmless.json",
        r#"{"Method":"GET","URI":"/?q=good","Version":"HTTP/1.1","Headers":[["Host","h"]]}"#,
    );
    write(
        "more.conf",
        "SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,pass,t:lowercase,msg:'%{TX.0}',capture,setvar:tx.score=+3\"\n",
    );
    write("words.data", "thing\n");

    let refused = eval(&release, "attack.http", &[]);
    assert_eq!((code(&refused), stderr(&refused).as_str()), (Some(0), ""));
    let text = stdout(&refused);
    for part in
        ["OWASP_CRS/9.1.0: ", "refused with 403 by rule 9100 in phase 2", "ARGS:q is \"an evil thing\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(stdout(&eval(&release, "harmless.json", &[])).contains("verdict  passed"));

    let seen = eval("more.conf", "attack.http", &["--json"]);
    let seen: serde_json::Value = serde_json::from_str(&stdout(&seen)).unwrap();
    assert_eq!(seen["verdict"]["refused"], false);
    assert_eq!(seen["matches"][0]["message"], "thing");
    assert_eq!(seen["matches"][0]["on"][0]["transformations"], serde_json::json!(["lowercase"]));
    let change = serde_json::json!([{"rule": 1, "variable": "TX:score", "before": 0, "after": 3}]);
    assert_eq!(seen["arithmetic"], change);

    for (rules, request, why) in [
        ("nowhere.conf", "attack.http", "nowhere.conf"),
        ("more.conf", "nowhere.http", "nowhere.http: cannot read the request"),
        ("more.conf", "words.data", "words.data: the first line is not"),
    ] {
        let failed = eval(rules, request, &[]);
        assert_eq!(code(&failed), Some(1));
        assert!(stderr(&failed).contains(why), "{}", stderr(&failed));
    }
    write("more.conf", "SecRule NOPE \"@rx x\" \"id:1\"\n");
    let failed = eval("more.conf", "attack.http", &[]);
    assert!(stderr(&failed).contains("more.conf:1:9: there is no variable NOPE"), "{}", stderr(&failed));
}
