//! What judging costs: in units, which grow with the size of a request and no faster, and in time, which follows them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use veloflux_waf::{Cause, Levels, Mode, Overlay, OverlaySettings, Ruleset, WorkBudget};

use crate::common::{Request, block, detect, rules, settings};
use crate::release::{self, shared};
use crate::{crs, filter};

fn at_level_4(ruleset: &Ruleset) -> Overlay {
    let levels = Levels { paranoia: 4, inbound_threshold: 5, outbound_threshold: 4 };
    ruleset.overlay(&OverlaySettings { levels, ..settings(Mode::Detect) }).unwrap()
}

/// A budget that nothing here spends.
fn boundless() -> WorkBudget {
    WorkBudget::percent(u32::MAX)
}

/// What the engine is shown of a request, in bytes.
fn carried(request: &Request) -> u64 {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (request.method.len() + request.target.len() + headers + request.body.len()) as u64
}

type Kind = (&'static str, fn(usize) -> Request);

/// Kinds of requests that cost much for their size, each as a function of its size in bytes.
const WORST: &[Kind] = &[
    ("one argument of attack tokens", |size| form(&format!("a={}", attack(size)))),
    ("one argument of random bytes", |size| {
        form(&format!("a={}", random(size, |number| format!("%{:02x}", number % 256))))
    }),
    ("one argument of SQL assignments", |size| form(&format!("a={}", "a%3d".repeat(size / 4)))),
    ("one argument of words", |size| form(&format!("a={}", "lorem+ipsum+dolor+".repeat(size / 18)))),
    ("arguments of attack tokens", |size| {
        let argument = format!("a={}&", attack(56));
        form(&argument.repeat(size / argument.len()))
    }),
    ("arguments of one letter", |size| form(&"a=b&".repeat(size / 4))),
    ("nested JSON", |size| json(&nested("[", "1,\"a<b\"", "]", size))),
    ("JSON of many numbers", |size| json(&format!("[{}1]", "1,".repeat(size / 2)))),
    ("JSON under long names", |size| {
        let name = "n".repeat(200);
        json(&format!("{{\"{name}\":{{\"{name}\":[{}1]}}}}", "1,".repeat(size.saturating_sub(500) / 2)))
    }),
    ("nested XML", |size| xml(&nested("<a b=\"1'\">", "x", "</a>", size))),
    ("XML attributes", |size| xml(&format!("<a>{}</a>", "<b c=\"1' or 1=1\"/>".repeat(size / 20)))),
    ("multipart of many parts", |size| {
        let parts = (0..size / 90).map(|number| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"a{number}\"\r\n\r\n1' or 1=1--{number}\r\n"
            )
        });
        Request::post("multipart/form-data; boundary=b", parts.collect::<String>() + "--b--\r\n")
    }),
];

fn form(body: &str) -> Request {
    Request::post("application/x-www-form-urlencoded", body)
}

fn json(body: &str) -> Request {
    Request::post("application/json", body)
}

fn xml(body: &str) -> Request {
    Request::post("text/xml", body)
}

/// `inner` in elements up to the size, at most as deep as parsers go, one such tree behind the other.
fn nested(open: &str, inner: &str, close: &str, size: usize) -> String {
    const DEPTH: usize = 200;
    let tree = format!("{}{inner}{}", open.repeat(DEPTH), close.repeat(DEPTH));
    let (separator, count) = (if open == "[" { "," } else { "" }, (size / tree.len()).max(1));
    format!("{open}{}{close}", vec![tree; count].join(separator))
}

/// What looks like all attacks at once, encoded for a form.
fn attack(size: usize) -> String {
    const TOKENS: &[&str] = &[
        "union+",
        "select+",
        "%27",
        "%22",
        "%3d",
        "%3b",
        "+",
        "%3cscript%3e",
        "%2f*",
        "*%2f",
        "--",
        "(",
        ")",
        "..%2f",
        "etc%2fpasswd",
        "cat+",
        "onload%3d",
        "javascript:",
        "%24(",
        "%60",
        "0x31",
        "or+1",
        "%7b",
        "%7c",
        "%26",
        "sleep(",
        "php:%2f%2f",
        "%0a",
        "exec",
        "${jndi:",
        "admin",
    ];
    random(size, |number| TOKENS[number as usize % TOKENS.len()].to_owned())
}

/// Pieces up to the size, the same every time.
fn random(size: usize, piece: impl Fn(u64) -> String) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut text = String::new();
    while text.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&piece(state >> 11));
    }
    text
}

/// Units, and CPU time of the thread: the least of some runs.
fn cost(request: &Request, ruleset: &Ruleset, overlay: &Overlay) -> (u64, Duration) {
    const RUNS: usize = 3;
    let run = || {
        veloflux_waf::forget_values();
        let begun = cpu_time();
        let seen = request.through(ruleset, overlay);
        (seen.record.work.units, cpu_time().saturating_sub(begun))
    };
    let runs: Vec<_> = (0..RUNS).map(|_| run()).collect();
    // But for values that come twice, and which chance had the memory drop in between.
    let same = |units: u64| units.abs_diff(runs[0].0) * 1_000 <= units;
    assert!(runs.iter().all(|(units, _)| same(*units)), "the same costs the same: {runs:?}");
    (runs[0].0, runs.iter().map(|(_, time)| *time).min().unwrap_or_default())
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// How far the dearest of `requests` goes towards its budget, in per cent; printed as `what`.
fn dearest(what: &str, requests: &[Request], ruleset: &Ruleset) -> f64 {
    let overlay = at_level_4(ruleset);
    let shares = requests.iter().map(|request| {
        veloflux_waf::forget_values();
        let units = request.through(ruleset, &overlay).record.work.units;
        (100.0 * units as f64 / WorkBudget::default().units(carried(request)) as f64, units, request)
    });
    let (share, units, request) = shares.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let target: String = request.target.chars().take(40).collect();
    println!("work {what}: {share:.1} % of the budget, {units} units, {} bytes, {target}", carried(request));
    share
}

#[test]
fn traffic_and_the_rule_sets_own_cases_stay_below_a_tenth_of_the_budget() {
    let (Some(release), Some(traffic)) = (shared("crs-4.28.0"), shared("waf-traffic")) else { return };
    let ruleset = release::compile(&release);
    let cases = filter::cases(&release.join("tests/regression/tests"));
    assert!(cases.len() > 4_000, "{}", cases.len());
    for (what, requests) in [
        ("benign", crs::samples(&traffic, "benign.jsonl")),
        ("attack", crs::samples(&traffic, "attack.jsonl")),
        ("regression", cases),
    ] {
        assert!(dearest(what, &requests, &ruleset) < 10.0, "{what}");
    }
}

#[test]
fn work_grows_with_size_and_no_faster() {
    let Some(release) = shared("crs-4.28.0") else { return };
    let ruleset = release::compile(&release);
    let overlay = at_level_4(&ruleset).with_work_budget(boundless());
    // Other work on the machine shows in time, not in units.
    const UNITS_FACTOR: f64 = 1.5;
    const TIME_FACTOR: f64 = 4.0;
    for (kind, make) in WORST {
        let [small, large] = [8 << 10, 64 << 10].map(make);
        let growth = carried(&large) as f64 / carried(&small) as f64;
        let [(few, short), (many, long)] = [small, large].map(|request| cost(&request, &ruleset, &overlay));
        let in_units = many as f64 / few as f64 / growth;
        let in_time = long.as_secs_f64() / short.as_secs_f64() / growth;
        println!(
            "work {kind}: {growth:.1} times as long, {many} units in {long:?}; per byte {in_units:.2} as many units, {in_time:.2} as much time"
        );
        assert!(in_units < UNITS_FACTOR && in_time < TIME_FACTOR, "{kind}");
    }
}

#[test]
fn the_budget_trips_where_documented() {
    let Some(release) = shared("crs-4.28.0") else { return };
    let ruleset = release::compile(&release);
    let overlay = at_level_4(&ruleset);
    // As docs/operations.md has it. All other kinds stay below the budget, which grows with them.
    let documented = [
        ("JSON under long names", 700),
        ("nested JSON", 130 << 10),
        ("one argument of attack tokens", 370 << 10),
    ];
    const LARGE: usize = 256 << 10;
    for (kind, make) in WORST {
        let is_over = |size| {
            veloflux_waf::forget_values();
            make(size).through(&ruleset, &overlay).record.work.over_budget
        };
        match documented.iter().find(|(known, _)| known == kind) {
            Some((_, size)) => {
                assert_eq!([is_over(size * 3 / 4), is_over(size * 3 / 2)], [false, true], "{kind}");
            }
            None => assert!(!is_over(LARGE), "{kind}"),
        }
    }
}

/// Multiplies its matches from link to link, without end but for the budget.
const MULTIPLYING: &str = r#"
    SecRule ARGS "@rx ." "id:1,phase:1,pass,nolog,chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ." "chain"
        SecRule MATCHED_VARS "@rx ."
    SecRule ARGS "@rx a" "id:2,phase:1,deny,status:406"
    SecRule ARGS "@rx a" "id:3,phase:2,deny,status:406"
    SecRule ARGS "@rx a" "id:5,phase:5,pass,log"
"#;

#[test]
fn a_spent_budget_refuses_and_phase_5_still_runs() {
    let seen = Request::get(&format!("/?{}", "a=a&".repeat(100))).against(MULTIPLYING);
    let refused = seen.record.refused.as_ref().unwrap();
    assert_eq!((seen.status, &refused.cause, refused.phase), (403, &Cause::Budget, 1));
    assert!(seen.record.work.over_budget && seen.record.internal_errors.is_empty());
    assert_eq!(seen.ids(), [5]);
    let dearest = seen.record.work.rules.iter().max_by_key(|rule| rule.units).unwrap();
    assert_eq!(dearest.index, 0);
}

#[test]
fn detection_notes_a_spent_budget_and_asks_no_further_rule() {
    let ruleset = rules(MULTIPLYING);
    let seen = Request::get(&format!("/?{}", "a=a&".repeat(100))).through(&ruleset, &detect(&ruleset));
    assert_eq!((seen.status, seen.record.would_refuse.unwrap().cause), (0, Cause::Budget));
    assert_eq!(seen.record.matches.iter().map(|found| found.rule_id).collect::<Vec<_>>(), [5]);
    assert!(seen.record.work.over_budget);
}

#[test]
fn a_larger_budget_lets_more_work_pass() {
    let ruleset = rules(MULTIPLYING);
    let overlay = block(&ruleset);
    assert_eq!(overlay.work_budget(), WorkBudget::default());
    // Values double from link to link.
    let request = Request::get(&format!("/?{}", "a=a&".repeat(70)));
    assert_eq!(request.through(&ruleset, &overlay).record.refused.unwrap().cause, Cause::Budget);
    let overlay = overlay.with_work_budget(WorkBudget::percent(1_000));
    assert_eq!(request.through(&ruleset, &overlay).status, 406);
}
