//! One rule set, many tenants: levels, thresholds, exclusions.

use veloflux_waf::{Exclusion, Levels, Mode, OverlayError, OverlaySettings, Ruleset};

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
    let target = |target: &str| Exclusion::TargetOfIds { first: 10, last: 10, target: target.to_owned() };
    assert_eq!(statuses(Exclusion::RuleIds { first: 10, last: 10 }), (0, 0));
    assert_eq!(statuses(Exclusion::RuleIds { first: 15, last: 25 }), (403, 403));
    assert_eq!(statuses(Exclusion::RuleTag("words".to_owned())), (0, 0));
    assert_eq!(statuses(target("ARGS:A")), (0, 403));
    assert_eq!(statuses(target("REQUEST_COOKIES:/^a$/")), (403, 0));
    assert_eq!(statuses(target("ARGS:b")), (403, 403));
    assert_eq!(statuses(target("ARGS")), (0, 403));
    let by_tag = Exclusion::TargetOfTag { tag: "words".to_owned(), target: "ARGS:a".to_owned() };
    assert_eq!(statuses(by_tag), (0, 403));
}

#[test]
fn what_cannot_be_is_refused() {
    let ruleset = rules(SCORING);
    let error = |settings: OverlaySettings| ruleset.overlay(&settings).unwrap_err();
    let levels = |paranoia, inbound_threshold| OverlaySettings {
        levels: Levels { paranoia, inbound_threshold, outbound_threshold: 4 },
        ..settings(Mode::Block)
    };
    assert_eq!(error(levels(0, 5)), OverlayError::Paranoia(0));
    assert_eq!(error(levels(5, 5)), OverlayError::Paranoia(5));
    assert_eq!(error(levels(1, 0)), OverlayError::ZeroThreshold);
    assert_eq!(error(with(Exclusion::RuleIds { first: 99, last: 99 })).to_string(), "no rule has the id 99");
    assert_eq!(error(with(Exclusion::RuleTag("x".to_owned()))), OverlayError::UnknownTag("x".to_owned()));
    for target in ["NOPE", "ARGS|TX:x", "&ARGS", "ARGS:/(/"] {
        let exclusion = Exclusion::TargetOfIds { first: 10, last: 10, target: target.to_owned() };
        assert!(matches!(error(with(exclusion)), OverlayError::Target(text, _) if text == target));
    }
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
