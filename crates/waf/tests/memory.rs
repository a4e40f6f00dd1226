//! What a rule set and ten thousand tenants cost: bytes, counted by the allocator, and time.
//!
//! One test in a binary of its own, for the allocator counts everything that its process allocates. Without the CRS beside the
//! repository it says that it is skipped.

#![allow(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "support/release.rs"]
mod release;

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};
use veloflux_waf::{
    Condition, Exclusion, Levels, Mode, Overlay, OverlaySettings, PathCondition, RuleMode, RuleSelector,
    Ruleset, Source, Tunable, Tuning,
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that the compiled CRS may take.
const RULESET_BYTES: usize = 40_000_000;
/// Distinct overlays, and the bytes that one, and all, may take.
const OVERLAYS: usize = 10_000;
const OVERLAY_BYTES: usize = 32_000;
const OVERLAYS_BYTES: usize = 320_000_000;
/// Time of this thread's CPU in which a tenant's change is compiled.
const CHANGE: Duration = Duration::from_millis(10);
/// The same for as many own rules, each with a pattern, as there may be; unoptimised builds take thrice the time of
/// those that serve.
const LARGEST_CHANGE: Duration = Duration::from_millis(30);
/// Changes that are timed.
const CHANGES: usize = 101;

#[test]
fn a_rule_set_and_ten_thousand_tenants_fit_and_a_change_is_quick() {
    let Some(release) = release::shared("crs-4.28.0") else { return };
    let (ruleset, bytes) = measured(|| release::compile(&release));
    println!("memory: the compiled CRS, {} rules: {bytes} bytes", ruleset.rule_count());
    assert!(bytes <= RULESET_BYTES, "{bytes}");

    let tunable = ruleset.tunable(&Tuning::default());
    let overlay = |number| ruleset.tenant_overlay(&typical(number), &tunable).unwrap();
    // What is made once for the process, at the first use, and what all tenants of a level share belongs to none.
    let (one_of_each_level, bytes) = measured(|| (1..=4).map(overlay).collect::<Vec<Overlay>>());
    println!("memory: the first overlays of each level: {bytes} bytes");
    let (one, bytes) = measured(|| overlay(0));
    println!("memory: one typical overlay: {bytes} bytes");
    assert!(bytes <= OVERLAY_BYTES, "{bytes}");
    drop((one, one_of_each_level));

    let (all, bytes) = measured(|| (0..OVERLAYS).map(overlay).collect::<Vec<Overlay>>());
    println!("memory: {OVERLAYS} distinct typical overlays: {bytes} bytes");
    assert!(bytes <= OVERLAYS_BYTES, "{bytes}");
    black_box(all);

    time_changes(&ruleset, &tunable, "typical", typical, CHANGE);
    time_changes(&ruleset, &tunable, "100 own rules", many_rules, LARGEST_CHANGE);
}

/// Compiles changed settings again and again; the median may take `most`.
fn time_changes(
    ruleset: &Ruleset,
    tunable: &Tunable,
    what: &str,
    settings: fn(usize) -> OverlaySettings,
    most: Duration,
) {
    let mut times: Vec<Duration> = (0..CHANGES)
        .map(|number| {
            let begun = thread_time();
            black_box(ruleset.tenant_overlay(&settings(number), tunable).unwrap());
            thread_time().saturating_sub(begun)
        })
        .collect();
    times.sort_unstable();
    let (median, worst) = (times[CHANGES / 2], times[CHANGES - 1]);
    println!("time: a tenant's change, {what}: median {median:?}, worst {worst:?}");
    assert!(median <= most, "{what}: {median:?}");
}

/// What a tenant with some false positives and a few wishes writes; no two are the same.
fn typical(number: usize) -> OverlaySettings {
    let ids = |first: u32, last: u32| RuleSelector::Ids { first, last };
    let exclusion =
        |rules: RuleSelector, target: Option<String>, when: Condition| Exclusion { rules, target, when };
    let always = Condition::default;
    let api = Condition {
        methods: vec!["POST".to_owned(), "PUT".to_owned()],
        path: Some(PathCondition::Prefix(format!("/api/v{number}/documents"))),
        hosts: vec![format!("api.tenant-{number}.example")],
    };
    let editor = Condition { path: Some(PathCondition::Exact(format!("/editor/{number}"))), ..always() };
    let levels = Levels { paranoia: 1 + (number % 4) as u8, inbound_threshold: 5, outbound_threshold: 4 };
    let rules = format!(
        r#"SecRule REQUEST_FILENAME "@beginsWith /admin-{number}" \
            "id:10000,phase:1,deny,status:404,msg:'Administration from outside',chain"
        SecRule REMOTE_ADDR "!@ipMatch 192.0.2.0/24,2001:db8::/32,10.0.{}.0/24" ""
        SecRule REQUEST_HEADERS:User-Agent "@pm badbot-{number} crawler scraper" "id:10001,phase:1,deny"
        SecRule REQUEST_FILENAME "@rx ^/wp-(?:login|admin)-{number}\.php$" "id:10002,phase:1,deny"
        SecRule REQUEST_FILENAME "@endsWith /webhook" \
            "id:10003,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=attack-sqli;ARGS:payload-{number}""#,
        number % 256
    );
    OverlaySettings {
        exclusions: vec![
            exclusion(ids(942_100, 942_100), Some(format!("ARGS:query{number}")), always()),
            exclusion(ids(942_000, 942_999), Some("ARGS:comment".to_owned()), always()),
            exclusion(
                RuleSelector::Tag("attack-xss".to_owned()),
                Some(format!("ARGS:html{number}")),
                editor.clone(),
            ),
            exclusion(ids(932_000, 932_999), None, editor),
            exclusion(ids(920_420, 920_420), None, api.clone()),
            exclusion(RuleSelector::Tag("language-php".to_owned()), None, api),
            exclusion(RuleSelector::All, Some(format!("REQUEST_COOKIES:/^_ga_{number}/")), always()),
            exclusion(RuleSelector::All, Some("REQUEST_COOKIES:session".to_owned()), always()),
            exclusion(ids(930_120, 930_130), Some("REQUEST_HEADERS:Referer".to_owned()), always()),
            exclusion(ids(913_100, 913_100), None, always()),
        ],
        rule_modes: vec![(ids(933_000, 933_999), RuleMode::Detect)],
        rules: vec![Source { name: format!("tenant-{number}"), text: rules }],
        ..OverlaySettings::new(Mode::Block, levels)
    }
}

/// As many own rules as there may be, each with a pattern.
fn many_rules(number: usize) -> OverlaySettings {
    let rule = |index: usize| {
        format!(
            "SecRule ARGS|REQUEST_FILENAME \"@rx ^/(?:a|b{number})/[a-z]+-{index}\\.php$\" \"id:{},phase:2,deny\"\n",
            10_000 + index
        )
    };
    let text = (0..veloflux_waf::limits::OWN_RULES).map(rule).collect();
    OverlaySettings { rules: vec![Source { name: "many".to_owned(), text }], ..typical(number) }
}

fn measured<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.allocated();
    let made = make();
    (made, ALLOCATOR.allocated().saturating_sub(before))
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
