//! The OWASP CRS, where it is on this machine: compiles whole, refuses attacks, lets benign traffic pass.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use veloflux_waf::{Levels, Mode, OverlaySettings};

use crate::common::{Request, block, settings};
use crate::release::{compile, shared};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    method: String,
    #[serde(rename = "URI")]
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sample {
    fn request(self) -> Request {
        Request {
            method: self.method,
            headers: self.headers,
            body: STANDARD.decode(self.body).unwrap(),
            ..Request::get(&self.target)
        }
    }
}

pub(crate) fn samples(traffic: &Path, file: &str) -> Vec<Request> {
    let text = std::fs::read_to_string(traffic.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str::<Sample>(line).unwrap().request()).collect()
}

#[test]
fn crs_4_compiles_whole_and_tells_attacks_from_traffic() {
    let (Some(release), Some(traffic)) = (shared("crs-4.28.0"), shared("waf-traffic")) else { return };
    let ruleset = compile(&release);
    assert_eq!(ruleset.component_signatures(), ["OWASP_CRS/4.28.0"]);
    assert!(ruleset.rule_count() > 600, "{}", ruleset.rule_count());
    let overlay = block(&ruleset);
    let (benign, attacks) = (samples(&traffic, "benign.jsonl"), samples(&traffic, "attack.jsonl"));
    assert_eq!((benign.len(), attacks.len()), (27, 48));
    for request in benign {
        let seen = request.through(&ruleset, &overlay);
        assert_eq!(seen.status, 0, "{} {:?}", request.target, seen.ids());
    }
    for request in attacks {
        let seen = request.through(&ruleset, &overlay);
        assert_eq!(seen.status, 403, "{} {:?}", request.target, seen.ids());
        assert!(
            seen.record.inbound_score >= 5 && seen.record.matches.iter().any(|found| !found.data.is_empty())
        );
    }
}

#[test]
fn higher_levels_of_crs_4_run_more_rules() {
    let Some(release) = shared("crs-4.28.0") else { return };
    let ruleset = compile(&release);
    let score = |paranoia| {
        let levels = Levels { paranoia, inbound_threshold: 5, outbound_threshold: 4 };
        let overlay = ruleset.overlay(&OverlaySettings { levels, ..settings(Mode::Detect) }).unwrap();
        let odd = Request::get("/?q=a%27%20--%20b;(x)")
            .header("Host", "h")
            .header("User-Agent", "u")
            .header("Accept", "*/*");
        odd.through(&ruleset, &overlay).record.inbound_score
    };
    let scores = [1, 2, 3, 4].map(score);
    assert!(scores.is_sorted() && scores[0] < scores[3], "{scores:?}");
}
