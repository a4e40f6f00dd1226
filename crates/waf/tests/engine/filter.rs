//! Leaving out what cannot match changes nothing: a rule set and its unfiltered self leave the same records.

use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use veloflux_waf::{Levels, Mode, Overlay, OverlaySettings, Record, Ruleset, WorkDone};

use crate::common::{Request, rules, settings};
use crate::crs;
use crate::release::{self, shared};

/// Of the release's own cases, every so many-th: a run of all takes minutes without optimisation.
const EVERY: usize = 9;

/// The same rules with and without the filter.
pub(crate) struct Pair([(Ruleset, Overlay); 2]);

impl Pair {
    pub(crate) fn new(compile: impl Fn() -> Ruleset, settings: &OverlaySettings) -> Self {
        Self([compile(), compile().unfiltered()].map(|ruleset| {
            let overlay = ruleset.overlay(settings).unwrap();
            (ruleset, overlay)
        }))
    }

    /// What both leave behind, written out. The filtered one is asked twice: the second time it remembers.
    pub(crate) fn records(&self, request: &Request) -> [String; 2] {
        let [filtered, unfiltered] = &self.0;
        let record = |(ruleset, overlay): &(Ruleset, Overlay)| {
            // What they cost is what differs.
            let record = Record { work: WorkDone::default(), ..request.through(ruleset, overlay).record };
            format!("{record:#?}")
        };
        let first = record(filtered);
        assert_eq!(first, record(filtered), "what is remembered changes the verdict");
        [first, record(unfiltered)]
    }
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    input: Value,
}

/// The request of a case, as far as its parts go; whole encoded requests are left to the conformance suite.
fn request(input: &Value) -> Option<Request> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let mut request = Request::get(text("uri").unwrap_or("/"));
    text("method").unwrap_or("GET").clone_into(&mut request.method);
    for (name, value) in input.get("headers").and_then(Value::as_object)? {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    text("data").unwrap_or_default().as_bytes().clone_into(&mut request.body);
    Some(request.answered("text/html", text("data").unwrap_or_default()))
}

pub(crate) fn cases(folder: &Path) -> Vec<Request> {
    let mut requests = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            requests.append(&mut cases(&entry.path()));
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            // A file may be all comments.
            let cases: Option<Cases> = serde_saphyr::from_str(&text).ok();
            let stages = cases.iter().flat_map(|cases| &cases.tests).flat_map(|case| &case.stages);
            requests.extend(stages.filter_map(|stage| request(&stage.input)));
        }
    }
    requests
}

#[test]
fn crs_4_leaves_the_same_records() {
    let (Some(release), Some(traffic)) = (shared("crs-4.28.0"), shared("waf-traffic")) else { return };
    let pairs = [1, 4].map(|paranoia| {
        let levels = Levels { paranoia, inbound_threshold: 5, outbound_threshold: 4 };
        Pair::new(|| release::compile(&release), &OverlaySettings { levels, ..settings(Mode::Detect) })
    });
    let mut requests: Vec<Request> =
        cases(&release.join("tests/regression/tests")).into_iter().step_by(EVERY).collect();
    assert!(requests.len() > 400, "{}", requests.len());
    for file in ["benign.jsonl", "attack.jsonl"] {
        requests.append(&mut crs::samples(&traffic, file));
    }
    for (request, pair) in requests.iter().zip(pairs.iter().cycle()) {
        let [filtered, unfiltered] = pair.records(request);
        assert_eq!(filtered, unfiltered, "{} {}", request.method, request.target);
    }
}

/// What the filter treats in its own ways: chains, negation, several stages, captures, members taken away, counts,
/// variables that rules set.
const RULES: &str = r#"
SecRequestBodyAccess On
SecRule ARGS|!ARGS:b|REQUEST_HEADERS "@rx (?i)(union)\s*(select)?" "id:1,phase:2,pass,capture,log,t:urlDecodeUni,t:lowercase,multiMatch,setvar:tx.n=+1,setvar:'tx.w=%{TX.1}',logdata:'%{MATCHED_VAR}'"
SecRule ARGS "!@rx ^[a-z]+$" "id:2,phase:2,pass,log,t:removeWhitespace,setvar:tx.n=+1"
SecRule ARGS:/^a/|ARGS_NAMES "@pm <script or= union" "id:3,phase:2,pass,log,t:htmlEntityDecode,t:compressWhitespace,chain"
SecRule MATCHED_VARS "@contains or" "setvar:tx.hit=%{MATCHED_VAR}"
SecRule TX:w|ARGS "@streq union" "id:4,phase:2,pass,log,t:lowercase"
SecRule &ARGS "@gt 1" "id:5,phase:2,pass,log,chain"
SecRule ARGS "@validateByteRange 32-126" "t:none"
SecRule ARGS "@detectXSS" "id:6,phase:2,pass,log,capture,t:jsDecode,ctl:ruleRemoveTargetById=7;ARGS:a"
SecRule ARGS|REQUEST_URI "@rx ['\";]|--" "id:7,phase:2,pass,log,t:base64Decode,multiMatch,t:replaceComments"
SecRule ARGS "@detectSQLi" "id:8,phase:2,pass,log,capture,t:removeNulls"
SecRule TX:n "@ge 2" "id:9,phase:2,pass,log"
"#;

proptest! {
    #[test]
    fn any_query_leaves_the_same_records(
        values in prop::collection::vec(
            prop::collection::vec(
                prop::sample::select(vec![
                    "union", "UNION", "%20", "select", "or=", "OR", "<script", "%3C", "%00", "%27", "--", "/*", "*/", "a", "1",
                    "%2527", "+", "=", "%26lt;", ";", "dW5pb24=", "J29yIA==", "%C3%A9", "'", "\\x3c", "onload", "onload%3D1",
                ]),
                0..6,
            ),
            0..4,
        ),
    ) {
        let pair = Pair::new(|| rules(RULES), &settings(Mode::Detect));
        let arguments: Vec<String> =
            values.iter().zip(["a", "b", "c", "union"]).map(|(value, name)| format!("{name}={}", value.concat())).collect();
        let request = Request::get(&format!("/x?{}", arguments.join("&"))).header("X-Y", "Union  selecT");
        let [filtered, unfiltered] = pair.records(&request);
        prop_assert_eq!(filtered, unfiltered);
    }
}
