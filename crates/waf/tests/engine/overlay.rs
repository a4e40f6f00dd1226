//! One rule set, many tenants: levels, thresholds, exclusions.

use veloflux_waf::{
    Condition, Exclusion, Levels, Mode, OverlayError, OverlaySettings, Part, PathCondition, RuleMode,
    RuleSelector, Ruleset, Tuning, limits,
};

use crate::common::{Request, block, detect, rules, settings};

/// The shape of CRS: rules of two levels that score, and one that decides.
const SCORING: &str = r#"
    SecRule &TX:blocking_paranoia_level "@eq 0" "id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=4"
    SecAction "id:2,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=1000"
    SecRule ARGS|REQUEST_COOKIES "@rx evil" "id:10,phase:2,pass,tag:words,setvar:tx.blocking_inbound_anomaly_score=+5"
    SecRule TX:blocking_paranoia_level "@lt 2" "id:11,phase:2,pass,nolog,skipAfter:END"
    SecRule ARGS|REQUEST_COOKIES "@rx odd" "id:20,phase:2,pass,tag:words,setvar:tx.blocking_inbound_anomaly_score=+5"
    SecMarker END
    SecRule TX:blocking_inbound_anomaly_score "@ge %{tx.inbound_anomaly_score_threshold}" \
        "id:30,phase:2,deny,msg:'score %{tx.blocking_inbound_anomaly_score}'"
"#;

fn status(ruleset: &Ruleset, settings: &OverlaySettings, request: &Request) -> u16 {
    request.through(ruleset, &ruleset.overlay(settings).unwrap()).status
}

fn with(exclusion: Exclusion) -> OverlaySettings {
    OverlaySettings { exclusions: vec![exclusion], ..settings(Mode::Block) }
}

fn ids(first: u32, last: u32) -> RuleSelector {
    RuleSelector::Ids { first, last }
}

fn tag(tag: &str) -> RuleSelector {
    RuleSelector::Tag(tag.to_owned())
}

fn exclude(rules: RuleSelector) -> Exclusion {
    Exclusion { rules, target: None, when: Condition::default() }
}

fn exclude_target(rules: RuleSelector, target: &str) -> Exclusion {
    Exclusion { target: Some(target.to_owned()), ..exclude(rules) }
}

#[test]
fn levels_and_thresholds_are_the_tenants_whatever_rules_set() {
    let ruleset = rules(SCORING);
    let at = |paranoia, inbound_threshold| {
        let levels = Levels { paranoia, inbound_threshold, outbound_threshold: 4 };
        OverlaySettings { levels, ..settings(Mode::Block) }
    };
    let (evil, odd, both) = (Request::get("/?a=evil"), Request::get("/?a=odd"), Request::get("/?a=evil+odd"));
    assert_eq!(status(&ruleset, &at(1, 5), &evil), 403);
    assert_eq!(status(&ruleset, &at(1, 5), &odd), 0);
    assert_eq!(status(&ruleset, &at(2, 5), &odd), 403);
    assert_eq!(status(&ruleset, &at(2, 10), &odd), 0);
    assert_eq!(status(&ruleset, &at(2, 10), &both), 403);
    let record = both.through(&ruleset, &ruleset.overlay(&at(2, 10)).unwrap()).record;
    assert_eq!(record.inbound_score, 10);
    assert_eq!(record.matches.last().unwrap().message, "score 10");
}

#[test]
fn exclusions_reach_exactly_what_they_name() {
    let ruleset = rules(SCORING);
    let (argument, cookie) = (Request::get("/?a=evil"), Request::get("/").header("Cookie", "a=evil"));
    let statuses = |exclusion: Exclusion| {
        let settings = with(exclusion);
        (status(&ruleset, &settings, &argument), status(&ruleset, &settings, &cookie))
    };
    let target = |target: &str| exclude_target(ids(10, 10), target);
    assert_eq!(statuses(exclude(ids(10, 10))), (0, 0));
    assert_eq!(statuses(exclude(ids(15, 25))), (403, 403));
    assert_eq!(statuses(exclude(tag("words"))), (0, 0));
    assert_eq!(statuses(target("ARGS:A")), (0, 403));
    assert_eq!(statuses(target("REQUEST_COOKIES:/^a$/")), (403, 0));
    assert_eq!(statuses(target("ARGS:b")), (403, 403));
    assert_eq!(statuses(target("ARGS")), (0, 403));
    assert_eq!(statuses(exclude_target(tag("words"), "ARGS:a")), (0, 403));
    assert_eq!(statuses(exclude_target(RuleSelector::All, "ARGS:a")), (0, 403));
}

#[test]
fn an_exclusion_applies_to_the_requests_that_it_names() {
    let ruleset = rules(SCORING);
    let when = Condition {
        methods: vec!["GET".to_owned()],
        path: Some(PathCondition::Prefix("/search".to_owned())),
        hosts: vec!["shop.test".to_owned()],
    };
    let exclusions = vec![
        Exclusion { when: when.clone(), ..exclude(ids(10, 10)) },
        Exclusion { when: when.clone(), ..exclude_target(ids(20, 20), "ARGS:a") },
        Exclusion { when, ..exclude(ids(20, 20)) },
        exclude_target(ids(10, 10), "REQUEST_COOKIES:free"),
    ];
    let settings = OverlaySettings { exclusions, ..settings(Mode::Block) };
    let request = |target: &str, host: &str| Request::get(target).header("Host", host);
    for (request, expected) in [
        (request("/search?q=evil", "shop.test"), 0),
        (request("/search/x?q=evil", "SHOP.test:8443"), 0),
        (request("/searches?q=evil", "shop.test"), 403),
        (request("/search/..%2fadmin?q=evil", "shop.test"), 403),
        (request("/search?q=evil", "other.test"), 403),
        (Request { method: "POST".to_owned(), ..request("/search?q=evil", "shop.test") }, 403),
        (request("/", "other.test").header("Cookie", "free=evil"), 0),
        (request("/", "other.test").header("Cookie", "other=evil"), 403),
    ] {
        assert_eq!(status(&ruleset, &settings, &request), expected, "{request:?}");
    }
}

#[test]
fn a_rule_may_have_a_mode_of_its_own() {
    let ruleset = rules(SCORING);
    let (evil, clean) = (Request::get("/?a=evil"), Request::get("/"));
    let seen = |mode, rule_mode, request: &Request| {
        let settings = OverlaySettings { rule_modes: vec![(ids(10, 10), rule_mode)], ..settings(mode) };
        request.through(&ruleset, &ruleset.overlay(&settings).unwrap())
    };
    let detected = seen(Mode::Block, RuleMode::Detect, &evil);
    assert_eq!((detected.status, detected.ids(), detected.record.inbound_score), (0, vec![10], 0));
    let off = seen(Mode::Block, RuleMode::Off, &evil);
    assert_eq!((off.status, off.ids()), (0, vec![]));
    let blocked = seen(Mode::Detect, RuleMode::Block, &evil);
    assert_eq!((blocked.status, blocked.ids()), (403, vec![10]));
    assert_eq!(seen(Mode::Detect, RuleMode::Block, &clean).status, 0);
    // What was set before is there again; what was not is gone.
    let chain = rules(
        r#"SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=7"
        SecRule ARGS:x "@rx (.*)" "id:2,phase:1,deny,capture,setvar:tx.a=+1,setvar:tx.b=1,chain,ctl:ruleEngine=Off"
        SecRule TX:a "@eq 8" ""
        SecRule TX:a "!@eq 7" "id:3,phase:1,deny"
        SecRule &TX:b|&TX:1 "!@eq 0" "id:4,phase:1,deny"
        SecAction "id:5,phase:1,pass,nolog,setsid:x,setvar:ip.a=1"
        SecRule SESSIONID "@streq x" "id:6,phase:1,deny"
        SecRule &IP:a "!@eq 0" "id:7,phase:1,deny""#,
    );
    let settings = OverlaySettings {
        rule_modes: vec![(ids(2, 2), RuleMode::Detect), (ids(5, 5), RuleMode::Detect)],
        ..settings(Mode::Block)
    };
    let seen = Request::get("/?x=y").through(&chain, &chain.overlay(&settings).unwrap());
    assert_eq!((seen.status, seen.ids()), (0, vec![2]));
}

#[test]
fn phase_5_of_a_refused_request_runs_whole_whatever_modes_there_are() {
    let ruleset = rules(
        "SecAction \"id:1,phase:1,pass\"\nSecAction \"id:2,phase:5,pass\"\nSecAction \"id:3,phase:5,pass\"",
    );
    let settings =
        OverlaySettings { rule_modes: vec![(ids(1, 2), RuleMode::Block)], ..settings(Mode::Block) };
    let seen = Request::get("/").through(&ruleset, &ruleset.overlay(&settings).unwrap());
    assert_eq!((seen.status, seen.ids()), (403, vec![1, 2, 3]));
}

#[test]
fn a_tenant_tunes_what_its_operator_leaves_to_it() {
    let ruleset = rules(SCORING);
    let tunable = |tunable: &[RuleSelector], pinned: &[RuleSelector]| {
        ruleset.tunable(&Tuning { tunable: tunable.to_vec(), pinned: pinned.to_vec() })
    };
    let words = tunable(&[tag("words")], &[ids(20, 20)]);
    let error = |exclusion| match ruleset.tenant_overlay(&with(exclusion), &words) {
        Ok(_) => None,
        Err(errors) => Some(errors.0),
    };
    let pinned = |id| Some(vec![(Part::Exclusion(0), OverlayError::Pinned(id))]);
    assert_eq!(error(exclude(ids(10, 10))), None);
    assert_eq!(error(exclude_target(RuleSelector::All, "ARGS")), None);
    assert_eq!(error(exclude(ids(20, 20))), pinned(20));
    assert_eq!(error(exclude(ids(10, 30))), pinned(11));
    assert_eq!(error(exclude_target(ids(30, 30), "TX")), pinned(30));
    assert_eq!(error(exclude(tag("words"))), pinned(20));
    for (mode, refused) in [(RuleMode::Off, true), (RuleMode::Detect, true), (RuleMode::Block, false)] {
        let settings = OverlaySettings { rule_modes: vec![(ids(30, 30), mode)], ..settings(Mode::Block) };
        assert_eq!(ruleset.tenant_overlay(&settings, &words).is_err(), refused, "{mode:?}");
    }
    // `All` means those that may be tuned.
    let all = ruleset.tenant_overlay(&with(exclude_target(RuleSelector::All, "ARGS")), &words).unwrap();
    assert_eq!(Request::get("/?a=evil").through(&ruleset, &all).status, 0);
    // Unless the operator says otherwise, only detection rules of the CRS may be.
    let errors = ruleset.tenant_overlay(&with(exclude(ids(10, 10))), &tunable(&[], &[])).unwrap_err();
    assert_eq!(errors.to_string(), "rule 10 is pinned by the operator");
    let other = rules(SCORING);
    let errors = other.tenant_overlay(&settings(Mode::Block), &words).unwrap_err();
    assert_eq!(errors.0, [(Part::Settings, OverlayError::OtherRuleset)]);
}

#[test]
fn what_cannot_be_is_refused() {
    let ruleset = rules(SCORING);
    let error = |settings: OverlaySettings| ruleset.overlay(&settings).unwrap_err().0.remove(0).1;
    let levels = |paranoia, inbound_threshold| OverlaySettings {
        levels: Levels { paranoia, inbound_threshold, outbound_threshold: 4 },
        ..settings(Mode::Block)
    };
    assert_eq!(error(levels(0, 5)), OverlayError::Paranoia(0));
    assert_eq!(error(levels(5, 5)), OverlayError::Paranoia(5));
    assert_eq!(error(levels(1, 0)), OverlayError::ZeroThreshold);
    assert_eq!(error(with(exclude(ids(99, 99)))).to_string(), "no rule has the id 99");
    assert_eq!(error(with(exclude(tag("x")))), OverlayError::UnknownTag("x".to_owned()));
    for target in ["NOPE", "ARGS|TX:x", "&ARGS", "ARGS:/(/"] {
        let exclusion = exclude_target(ids(10, 10), target);
        assert!(matches!(error(with(exclusion)), OverlayError::Target(text, _) if text == target));
    }
    let exclusions = |count, target: &str| OverlaySettings {
        exclusions: vec![exclude_target(ids(10, 10), target); count],
        ..settings(Mode::Block)
    };
    assert!(ruleset.overlay(&exclusions(limits::EXCLUSIONS, "ARGS:a")).is_ok());
    let too_many = limits::EXCLUSIONS + 1;
    assert_eq!(error(exclusions(too_many, "ARGS:a")), OverlayError::TooManyExclusions(too_many));
    assert!(ruleset.overlay(&exclusions(limits::EXCLUSION_PATTERNS, "ARGS:/a$/")).is_ok());
    assert_eq!(error(exclusions(limits::EXCLUSION_PATTERNS + 1, "ARGS:/a$/")), OverlayError::TooManyPatterns);
}

#[test]
fn no_rule_makes_a_tenants_detection_block() {
    let ruleset = rules("SecAction \"id:1,phase:1,deny,ctl:ruleEngine=On\"");
    let seen = Request::get("/").through(&ruleset, &detect(&ruleset));
    assert_eq!((seen.status, seen.record.would_refuse.is_some()), (0, true));
}

#[test]
fn the_rule_sets_own_engine_setting_counts_where_the_tenant_blocks() {
    let detecting = rules("SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny\"");
    assert_eq!(Request::get("/").through(&detecting, &block(&detecting)).status, 0);
    let raised = rules("SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny,ctl:ruleEngine=On\"");
    assert_eq!(Request::get("/").through(&raised, &block(&raised)).status, 403);
    let off = rules("SecRuleEngine Off\nSecAction \"id:1,phase:1,deny\"");
    assert_eq!(Request::get("/").through(&off, &block(&off)).ids(), Vec::<u32>::new());
}

#[test]
fn rule_sets_and_transactions_cross_threads() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Ruleset>();
    is_shared::<veloflux_waf::Overlay>();
    is_sent::<veloflux_waf::Transaction<'_, veloflux_waf::stage::RequestBody>>();
}
