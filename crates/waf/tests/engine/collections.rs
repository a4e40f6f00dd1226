//! Persistent collections through the engine's public door: rules that count over transactions, with a clock of the
//! test's.

use std::sync::Arc;

use veloflux_waf::collections::{Collections, ProcessCollections, TenantCollections};
use veloflux_waf::{
    Connection, Mode, Overlay, Record, RequestHead, RuleMode, RuleSelector, Ruleset, Transaction, Verdict,
};

use crate::common::{block, compile, detect, rules, settings};

const START_S: u64 = 1_000_000;

/// Rules, the collections of one tenant, and a clock.
struct Site {
    ruleset: Ruleset,
    overlay: Overlay,
    store: TenantCollections,
    now_s: u64,
}

impl Site {
    fn new(text: &str) -> Self {
        Self::beside(&Arc::default(), text)
    }

    /// A tenant of a process that has `all`.
    fn beside(all: &Arc<ProcessCollections>, text: &str) -> Self {
        let ruleset = rules(text);
        let overlay = block(&ruleset);
        Self { ruleset, overlay, store: all.tenant(), now_s: START_S }
    }

    /// Sends `GET target` from `192.0.2.client`; the status, 0 if it passed, and the record.
    fn ask(&self, client: u8, target: &str) -> (u16, Record) {
        ask(&self.ruleset, &self.overlay, Some(&self.store), client, target, self.now_s)
    }

    /// Statuses of `count` requests in a row.
    fn statuses(&self, client: u8, target: &str, count: usize) -> Vec<u16> {
        (0..count).map(|_| self.ask(client, target).0).collect()
    }

    /// Messages of the matches of one request.
    fn says(&self, client: u8, target: &str) -> Vec<String> {
        self.ask(client, target).1.matches.into_iter().map(|found| found.message).collect()
    }
}

fn ask(
    ruleset: &Ruleset,
    overlay: &Overlay,
    store: Option<&dyn Collections>,
    client: u8,
    target: &str,
    now_s: u64,
) -> (u16, Record) {
    let connection = Connection {
        client: ([192, 0, 2, client], 40_000).into(),
        server: ([198, 51, 100, 1], 443).into(),
        request_id: "request-1",
        now_unix_us: now_s * 1_000_000 + 999_999,
    };
    let head = RequestHead { method: b"GET", target: target.as_bytes(), protocol: b"HTTP/1.1", headers: &[] };
    let mut transaction = Transaction::begin(ruleset, overlay, &connection);
    if let Some(store) = store {
        transaction = transaction.with_collections(store);
    }
    let transaction = match transaction.request_head(&head) {
        Verdict::Pass(transaction) => transaction,
        Verdict::Refuse(refused) => return (refused.status(), refused.finish()),
    };
    match transaction.request_body(b"", true) {
        Verdict::Pass(transaction) => (0, transaction.finish()),
        Verdict::Refuse(refused) => (refused.status(), refused.finish()),
    }
}

/// Ten requests within a minute, then none for five.
const FLOOD: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
    SecRule IP:blocked "@eq 1" "id:2,phase:1,deny,status:429"
    SecRule &IP:requests "@eq 0" "id:3,phase:1,pass,nolog,setvar:ip.requests=0,expirevar:ip.requests=60"
    SecAction "id:4,phase:1,pass,nolog,setvar:ip.requests=+1"
    SecRule IP:requests "@gt 10" "id:5,phase:1,deny,setvar:ip.blocked=1,expirevar:ip.blocked=300,setvar:!ip.requests"
"#;

#[test]
fn a_client_over_the_limit_is_refused_until_its_time_is_over() {
    let mut site = Site::new(FLOOD);
    assert_eq!(site.statuses(1, "/", 10), [0; 10]);
    assert_eq!(site.statuses(1, "/", 3), [403, 429, 429]);
    assert_eq!(site.statuses(2, "/", 10), [0; 10], "another client counts by itself");
    site.now_s += 299;
    assert_eq!(site.ask(1, "/").0, 429);
    site.now_s += 1;
    assert_eq!(site.statuses(1, "/", 11)[9..], [0, 403]);
}

#[test]
fn a_window_ends_when_it_was_said_to_whatever_is_counted_until_then() {
    let mut site = Site::new(FLOOD);
    for _ in 0..3 {
        assert_eq!(site.statuses(1, "/", 5), [0; 5]);
        site.now_s += 30;
        assert_eq!(site.statuses(1, "/", 5), [0; 5]);
        site.now_s += 30;
    }
}

#[test]
fn failed_logins_of_a_user_decay() {
    let mut site = Site::new(
        r#"
        SecAction "id:1,phase:2,pass,nolog,setuid:%{ARGS.user}"
        SecAction "id:2,phase:2,pass,nolog,deprecatevar:user.failures=2/60"
        SecRule USER:failures "@ge 5" "id:3,phase:2,deny,msg:'%{USERID} has %{user.failures}'"
        SecRule ARGS:failed "@eq 1" "id:4,phase:2,pass,nolog,setvar:user.failures=+1"
        "#,
    );
    assert_eq!(site.statuses(1, "/?user=anna&failed=1", 6), [0, 0, 0, 0, 0, 403]);
    let refused = site.ask(2, "/?user=anna").1;
    assert_eq!(refused.matches[0].message, "anna has 5");
    assert_eq!(site.ask(1, "/?user=ben&failed=1").0, 0);
    site.now_s += 59;
    assert_eq!(site.ask(1, "/?user=anna").0, 403);
    site.now_s += 1;
    assert_eq!(site.statuses(1, "/?user=anna&failed=1", 3), [0, 0, 403]);
    site.now_s += 3_000;
    assert_eq!(site.statuses(1, "/?user=anna&failed=1", 6), [0, 0, 0, 0, 0, 403]);
}

#[test]
fn tenants_do_not_see_each_other() {
    let all = Arc::default();
    let (one, other) = (Site::beside(&all, FLOOD), Site::beside(&all, FLOOD));
    assert_eq!(one.statuses(1, "/", 12)[9..], [0, 403, 429]);
    assert_eq!(other.statuses(1, "/", 10), [0; 10]);
    assert_eq!((one.store.usage().entries(), other.store.usage().entries()), (1, 1));
}

#[test]
fn detection_counts_too() {
    let mut site = Site::new(FLOOD);
    site.overlay = detect(&site.ruleset);
    assert_eq!(site.statuses(1, "/", 12), [0; 12]);
    assert!(site.ask(1, "/").1.would_refuse.is_some());
}

#[test]
fn a_rule_that_only_detects_leaves_nothing_behind() {
    let mut site = Site::new(
        r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.all=+1"
        SecAction "id:2,phase:1,pass,nolog,setvar:ip.watched=+1,setsid:x,setvar:session.n=+1"
        SecAction "id:3,phase:1,pass,msg:'%{ip.all} %{ip.watched} %{session.n}'"
        "#,
    );
    let mut settings = settings(Mode::Block);
    settings.rule_modes = vec![(RuleSelector::Ids { first: 2, last: 2 }, RuleMode::Detect)];
    site.overlay = site.ruleset.overlay(&settings).unwrap();
    assert_eq!((site.says(1, "/"), site.says(1, "/")), (vec!["1  ".to_owned()], vec!["2  ".to_owned()]));
    assert_eq!(site.store.usage().entries(), 1);
}

#[test]
fn racing_requests_pass_exactly_up_to_the_limit() {
    let site = Site::new(
        r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:global=all,setvar:global.n=+1"
        SecRule GLOBAL:n "@gt 500" "id:2,phase:1,deny"
        "#,
    );
    let passed = std::thread::scope(|scope| {
        let count = || site.statuses(1, "/", 200).into_iter().filter(|status| *status == 0).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(passed, 500);
    assert_eq!(site.ask(1, "/").0, 403);
}

#[test]
fn every_collection_takes_every_kind_of_change_and_macro() {
    for (bind, name) in [
        ("initcol:global=%{ARGS.k}", "global"),
        ("initcol:ip=%{ARGS.k}", "ip"),
        ("initcol:resource=%{ARGS.k}", "resource"),
        ("setrsc:%{ARGS.k}", "resource"),
        ("setsid:%{ARGS.k}", "session"),
        ("initcol:session=%{ARGS.k}", "session"),
        ("setuid:%{ARGS.k}", "user"),
        ("initcol:user=%{ARGS.k}", "user"),
    ] {
        let site = Site::new(&format!(
            r#"
            SecAction "id:1,phase:1,pass,nolog,{bind}"
            SecRule ARGS:do "@streq set" "id:2,phase:1,pass,nolog,setvar:'{name}.a_%{{ARGS.k}}=%{{ARGS.v}} x',setvar:{name}.n=7"
            SecRule ARGS:do "@streq take" "id:3,phase:1,pass,nolog,setvar:{name}.n=-%{{ARGS.v}}"
            SecRule ARGS:do "@streq drop" "id:4,phase:1,pass,nolog,setvar:!{name}.n"
            SecAction "id:5,phase:1,pass,msg:'%{{{name}.a_K1}}|%{{{name}.n}}'"
            SecRule &{name}:n "@eq 0" "id:6,phase:1,pass,msg:'none'"
            SecRule {name}:/^a_/ "@contains x" "id:7,phase:1,pass,msg:'%{{MATCHED_VAR_NAME}}'"
            "#
        ));
        let listed = format!("{}:a_k1", name.to_ascii_uppercase());
        assert_eq!(site.says(1, "/?k=K1&do=set&v=v"), ["v x|7", listed.as_str()], "{bind}");
        assert_eq!(site.says(1, "/?k=K1&do=take&v=9"), ["v x|-2", listed.as_str()]);
        assert_eq!(site.says(2, "/?k=K1&do=drop"), ["v x|", "none", listed.as_str()]);
        assert_eq!(site.says(1, "/?k=K2"), ["|", "none"]);
    }
}

#[test]
fn a_collection_tells_about_itself() {
    let mut site = Site::new(
        r#"
        SecCollectionTimeout 600
        SecRule ARGS:k "@rx ." "id:1,phase:1,pass,nolog,initcol:ip=%{MATCHED_VAR}"
        SecRule ARGS:change "@eq 1" "id:2,phase:1,pass,nolog,setvar:ip.a=+1,setvar:ip.b=+1"
        SecAction "id:3,phase:1,pass,msg:'%{ip.key} %{ip.is_new} %{ip.create_time} %{ip.last_update_time} %{ip.timeout} %{ip.update_counter} %{ip.update_rate}'"
        SecRule IP "@rx ." "id:4,phase:1,pass,msg:'%{MATCHED_VAR_NAME}'"
        "#,
    );
    let said = |site: &Site, target| site.says(1, target).remove(0);
    assert_eq!(said(&site, "/?k=x"), "x 1 1000000  600 0 0");
    assert_eq!(said(&site, "/?k=x&change=1"), "x 1 1000000  600 0 0", "reading made no entry");
    assert_eq!(said(&site, "/?k=x&change=1"), "x 0 1000000 1000000 600 1 0");
    site.now_s += 10;
    assert_eq!(said(&site, "/?k=x&change=1"), "x 0 1000000 1000000 600 2 12");
    assert_eq!(said(&site, "/?k=x"), "x 0 1000000 1000010 600 3 18");
    assert_eq!(site.says(1, "/?k=x")[1..], ["IP:b"], "only what rules set is listed");
    site.now_s += 599;
    assert!(said(&site, "/?k=x").starts_with("x 0"));
    site.now_s += 1;
    assert!(said(&site, "/?k=x").starts_with("x 1"), "an entry ends when nothing changes it");
}

#[test]
fn rules_say_how_long_an_entry_lives() {
    let mut site = Site::new(
        r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
        SecRule ARGS:set "@eq 1" "id:2,phase:1,pass,nolog,setvar:ip.a=1,setvar:ip.timeout=30"
        SecAction "id:3,phase:1,pass,msg:'%{ip.a} %{ip.timeout}'"
        "#,
    );
    assert_eq!(site.says(1, "/?set=1"), ["1 30"]);
    site.now_s += 29;
    assert_eq!(site.says(1, "/"), ["1 30"]);
    site.now_s += 1;
    assert_eq!(site.says(1, "/"), [" 3600"]);
}

#[test]
fn an_application_has_entries_of_its_own() {
    let text = |app: &str| {
        format!("{app}\nSecAction \"id:1,phase:1,pass,initcol:ip=x,setvar:ip.n=+1,msg:'%{{ip.n}}'\"")
    };
    let mut site = Site::new(&text("SecWebAppId shop"));
    assert_eq!((site.says(1, "/"), site.says(1, "/")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    for (app, expected) in [("SecWebAppId blog", "1"), ("", "1"), ("SecWebAppId shop", "3")] {
        site.ruleset = rules(&text(app));
        site.overlay = block(&site.ruleset);
        assert_eq!(site.says(1, "/"), [expected], "{app}");
    }
}

#[test]
fn what_is_not_bound_ends_with_its_transaction() {
    let text = r#"
        SecRule ARGS:k "@rx ^" "id:1,phase:1,pass,nolog,setsid:%{MATCHED_VAR}"
        SecAction "id:2,phase:1,pass,setvar:session.n=+1,msg:'%{session.n}'"
        SecRule ARGS:again "@rx ." "id:3,phase:1,pass,setsid:%{MATCHED_VAR},msg:'%{session.n} %{SESSIONID}'"
    "#;
    let site = Site::new(text);
    for target in ["/", "/", "/?k=", "/?k="] {
        assert_eq!(site.says(1, target), ["1"], "nobody in particular: {target}");
    }
    assert_eq!((site.says(1, "/?k=a"), site.says(1, "/?k=a")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    assert_eq!(site.says(1, "/?k=b&again=a"), ["1", "2 a"], "the last key counts");
    let without = ask(&site.ruleset, &site.overlay, None, 1, "/?k=a", START_S).1;
    assert_eq!(without.matches[0].message, "1");
}

#[test]
fn what_is_too_much_is_refused_and_not_forgotten() {
    let site = Site::new(
        r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{ARGS.k}"
        SecRule ARGS:n "@rx ." "id:2,phase:1,pass,nolog,setvar:ip.%{MATCHED_VAR}=1"
        SecRule ARGS:v "@rx ." "id:3,phase:1,pass,nolog,setvar:ip.v=%{MATCHED_VAR}"
        "#,
    );
    let long = "x".repeat(5_000);
    for target in [format!("/?k={long}"), format!("/?k=k&n={long}"), format!("/?k=k&v={long}")] {
        let (status, record) = site.ask(1, &target);
        assert_eq!((status, record.internal_errors.len()), (500, 1), "{:?}", record.internal_errors);
    }
    let statuses: Vec<u16> = (0..65).map(|number| site.ask(1, &format!("/?k=k&n=n{number}")).0).collect();
    assert_eq!(statuses[..64], [0; 64]);
    assert_eq!(statuses[64], 500);
}

#[test]
fn rules_that_ask_for_what_there_is_not_do_not_compile() {
    for (action, said) in [
        ("initcol:ip", "collection=key"),
        ("initcol:tx=1", "a persistent collection is"),
        ("initcol:none=1", "there is no variable"),
        ("expirevar:tx.a=60", "ends with its transaction"),
        ("expirevar:ip.a", "collection.name=seconds"),
        ("expirevar:ip.a=soon", "no number"),
        ("deprecatevar:ip.a=60", "amount/seconds"),
        ("deprecatevar:args.a=1/60", "ends with its transaction"),
        ("setvar:ip.is_new=1", "cannot be set"),
        ("setvar:ip.timeout=+1", "number of seconds"),
        ("setsid", "needs a value"),
    ] {
        let errors = compile(&format!("SecAction \"id:1,phase:1,pass,{action}\"")).unwrap_err().to_string();
        assert!(errors.contains(said), "{action}: {errors}");
    }
    assert!(compile("SecCollectionTimeout soon").is_err());
}
