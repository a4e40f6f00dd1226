//! The switch of a tenant: what one change of `mode` does, and for whom it does nothing.

use aws_lc_rs::digest::{SHA256, digest};

use crate::firewall::{ask, id, with_rules};
use crate::harness::{Backend, Client, Edge, Response, forward_to};

/// A request of a client that the trusted proxy in front says to be at `address`.
async fn request(edge: &Edge, line: &str, address: &str, fields: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\nHost: acme.test\r\nX-Forwarded-For: {address}\r\n{fields}\r\n");
    ask(edge, &request).await
}

async fn get(edge: &Edge, path: &str, address: &str) -> Response {
    request(edge, &format!("GET {path}"), address, "Accept: application/json\r\n").await
}

/// What a browser asks for when its user follows a link.
async fn browse(edge: &Edge, path: &str, address: &str, cookie: &str) -> Response {
    let fields = format!("Accept: text/html,*/*;q=0.8\r\nCookie: a=b; {cookie}\r\n");
    request(edge, &format!("GET {path}"), address, &fields).await
}

fn tenant(backend: &Backend, rest: &str) -> String {
    format!("{}\nfirewall: {{mode: 'off'}}\n{rest}", forward_to(&[backend]))
}

async fn edge_with(backend: &Backend, rest: &str) -> Edge {
    let edge = Edge::new().process("trusted_proxies: [127.0.0.1]");
    edge.tenant("acme", "acme.test", &tenant(backend, rest)).start().await
}

async fn switch(edge: &mut Edge, backend: &Backend, rest: &str) {
    edge.set_tenant("acme", &format!("domains: [{{host: acme.test}}]\n{}", tenant(backend, rest)));
    edge.write_state();
    edge.reload().await;
}

const OFFICE: &str = "192.0.2.7";
const STRANGER: &str = "198.51.100.1";

#[tokio::test]
async fn a_site_is_closed_and_opened_by_one_word() {
    let backend = Backend::named("b");
    let settings = "maintenance: {retry_after: 10m, allow: {clients: {addresses: [192.0.2.0/24]}, \
                    paths: [{prefix: /health}]}}";
    let mut edge = edge_with(&backend, settings).await;
    assert_eq!(get(&edge, "/", STRANGER).await.status, 200);

    switch(&mut edge, &backend, &format!("mode: maintenance\n{settings}")).await;
    let said = edge.said("the mode of a tenant").await;
    assert_eq!((&said["tenant"], &said["mode"]), (&"acme".into(), &"maintenance".into()), "{said}");
    let closed = get(&edge, "/", STRANGER).await;
    assert_eq!((closed.status, closed.header("retry-after")), (503, Some("600")));
    assert_eq!(closed.json()["title"], "Service unavailable");
    let page = browse(&edge, "/nowhere", STRANGER, "").await;
    assert_eq!((page.status, page.header("content-type")), (503, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let entry = edge.access(id(&closed)).await;
    assert_eq!(entry["mode"], serde_json::json!({"name": "maintenance", "outcome": "refused"}));
    assert_eq!(entry["termination"], "rejected");
    assert_eq!(backend.count(), 1);

    let through = get(&edge, "/", OFFICE).await;
    assert_eq!(through.text(), "b");
    assert_eq!(edge.access(id(&through)).await["mode"]["outcome"], "spared");
    for (path, status) in
        [("/health", 200), ("/health/x", 200), ("/%68ealth", 200), ("/healthy", 503), ("/health/../x", 503)]
    {
        assert_eq!(get(&edge, path, STRANGER).await.status, status, "{path}");
    }
    edge.metric_becomes("veloflux_maintenance_refused_total{tenant=\"acme\"}", 4.0).await;
    assert_eq!(edge.metric("veloflux_tenant_mode{tenant=\"acme\",mode=\"maintenance\"}").await, Some(1.0));

    let own = "mode: maintenance\nmaintenance: {page: {body: '<h1>Back soon</h1>'}}";
    switch(&mut edge, &backend, own).await;
    let page = get(&edge, "/", OFFICE).await;
    assert_eq!(
        (page.status, page.text(), page.header("retry-after")),
        (503, "<h1>Back soon</h1>", Some("300"))
    );
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("x-request-id").is_some());

    switch(&mut edge, &backend, settings).await;
    assert_eq!(get(&edge, "/", STRANGER).await.status, 200);
    assert_eq!(edge.metric("veloflux_tenant_mode{tenant=\"acme\",mode=\"maintenance\"}").await, None);
    assert_eq!(edge.metric("veloflux_rejected_total{tenant=\"acme\"}").await, Some(0.0));
}

#[tokio::test]
async fn an_attack_lowers_the_limits_of_all_but_those_who_are_spared() {
    let backend = Backend::named("b");
    let usual = "limits: {rates: [{name: wide, key: [client], rate: 3600/h}]}";
    let mut edge = edge_with(&backend, usual).await;
    let spared = "under_attack: {allow: {clients: {addresses: [192.0.2.7]}, paths: [{exact: /api}]}}";
    switch(&mut edge, &backend, &format!("{usual}\nmode: under_attack\n{spared}")).await;
    // 50 at once, whatever path is asked for; nobody's route included.
    let mut refused = 0;
    for nth in 0..80 {
        let answer = get(&edge, &format!("/{nth}"), STRANGER).await;
        refused += usize::from(answer.status == 429);
        assert!(answer.header("ratelimit").unwrap().starts_with("\"client\""), "the stricter rule is told");
    }
    assert!((1..=30).contains(&refused), "{refused} of 80 were refused");
    edge.metric_becomes(
        "veloflux_limited_total{tenant=\"acme\",limit=\"under_attack/client\",outcome=\"rejected\"}",
        refused as f64,
    )
    .await;
    assert_eq!(get(&edge, "/", "198.51.100.2").await.status, 200, "each client by itself");
    for nth in 0..80 {
        let answer = get(&edge, "/", OFFICE).await;
        assert_eq!(answer.status, 200, "{nth}");
        assert!(answer.header("ratelimit").unwrap().starts_with("\"wide\""));
    }
    assert_eq!(get(&edge, "/api", STRANGER).await.status, 200);
    // What was used up before is not given back by the switch, and the usual limits hold beside the new ones.
    switch(&mut edge, &backend, &format!("{usual}\nmode: under_attack\nunder_attack: {{limits: {{}}}}"))
        .await;
    let told = get(&edge, "/", OFFICE).await.header("ratelimit").unwrap().to_owned();
    let left: u32 = told.split([';', '=']).nth(2).unwrap().parse().unwrap();
    // One comes back in a second.
    assert!((3_500..3_560).contains(&left), "{told}");
}

#[tokio::test]
async fn an_attack_raises_the_paranoia_level() {
    let Some(edge) = with_rules() else { return };
    let backend = Backend::named("b");
    // Rule 920230 of level 2: several layers of percent-encoding. 942432 and such need level 3 and 4.
    let suspicious = "/?q=%252527";
    let settings = |mode: &str, rest: &str| {
        format!("{}\nfirewall: {{{rest}, inbound_threshold: 3}}\n{mode}", forward_to(&[&backend]))
    };
    let attack = "mode: under_attack\nunder_attack: {allow: {clients: {addresses: [192.0.2.7]}}}";
    let mut edge = edge
        .process("trusted_proxies: [127.0.0.1]")
        .tenant("acme", "acme.test", &settings("", "mode: block"))
        .start()
        .await;
    let usual = |address: &'static str| {
        format!(
            "GET {suspicious} HTTP/1.1\r\nHost: acme.test\r\nUser-Agent: e2e/1\r\nAccept: */*\r\nX-Forwarded-For: {address}\r\n\r\n"
        )
    };
    assert_eq!(ask(&edge, &usual(STRANGER)).await.status, 200);
    let to = async |edge: &mut Edge, mode: &str, rest: &str| {
        edge.set_tenant("acme", &format!("domains: [{{host: acme.test}}]\n{}", settings(mode, rest)));
        edge.write_state();
        edge.reload().await;
        (ask(edge, &usual(STRANGER)).await.status, ask(edge, &usual(OFFICE)).await.status)
    };
    assert_eq!(to(&mut edge, attack, "mode: block").await, (403, 200));
    let event = edge.event_where("firewall", |event| event["action"] == "blocked").await;
    assert_eq!(event["client"], STRANGER, "{event}");
    let calm = "mode: under_attack\nunder_attack: {raise_paranoia_level: 0}";
    assert_eq!(to(&mut edge, calm, "mode: block").await, (200, 200));
    // Who only detects goes on only detecting, unless the attack is to be blocked.
    assert_eq!(to(&mut edge, attack, "mode: detect").await, (200, 200));
    let block = "mode: under_attack\nunder_attack: {block: true, allow: {clients: {addresses: [192.0.2.7]}}}";
    assert_eq!(to(&mut edge, block, "mode: detect").await, (403, 200));
    assert_eq!(to(&mut edge, block, "mode: 'off'").await, (200, 200));
}

/// What the page asks for: its challenge and how many bits.
fn asked(page: &Response) -> (String, u32) {
    let attribute = |name: &str| {
        let (_, rest) = page.text().split_once(&format!(" data-{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    (attribute("challenge"), attribute("bits").parse().unwrap())
}

/// The cookie of a browser that has done what the page asks.
fn solved(page: &Response) -> String {
    let (challenge, bits) = asked(page);
    let proof = |number: u32| format!("{challenge}.{number}");
    let first_word = |proof: &String| {
        u32::from_be_bytes(digest(&SHA256, proof.as_bytes()).as_ref()[..4].try_into().unwrap())
    };
    let found = (0..u32::MAX).map(proof).find(|proof| first_word(proof).leading_zeros() >= bits).unwrap();
    format!("veloflux_clearance={found}")
}

#[tokio::test]
async fn browsers_prove_their_work_once() {
    let backend = Backend::named("b");
    let attack = "mode: under_attack\nsecurity_headers: {preset: strict}\nunder_attack: {limits: {}, \
                  challenge: {difficulty: 10}, allow: {clients: {addresses: [192.0.2.7]}}}";
    let edge = edge_with(&backend, attack).await;
    let page = browse(&edge, "/shop?id=7", STRANGER, "").await;
    assert_eq!((page.status, page.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policies: Vec<_> = page.fields.all("content-security-policy");
    assert_eq!(policies.len(), 1, "the site's own policy would forbid the page's script: {policies:?}");
    assert!(policies[0].starts_with("default-src 'none'; script-src 'sha256-"), "{policies:?}");
    assert_eq!(page.header("x-frame-options"), Some("DENY"), "the rest of the site's headers is there");
    assert!(page.text().contains(id(&page)));
    assert!(!page.text().contains("/shop"), "nothing of the request is repeated");
    let entry = edge.access(id(&page)).await;
    assert_eq!(entry["mode"], serde_json::json!({"name": "under_attack", "outcome": "challenged"}));
    assert_eq!(backend.count(), 0);

    let proof = solved(&page);
    let through = browse(&edge, "/shop?id=7", STRANGER, &proof).await;
    assert_eq!((through.status, through.text()), (200, "b"));
    assert_eq!(edge.access(id(&through)).await["mode"]["outcome"], "proved");
    assert_eq!(browse(&edge, "/else", STRANGER, &proof).await.status, 200);
    // It is nobody else's, and no cookie that merely looks like one will do.
    assert_eq!(browse(&edge, "/", "198.51.100.2", &proof).await.status, 403);
    assert_eq!(browse(&edge, "/", STRANGER, &format!("{proof}0")).await.status, 403);
    let (challenge, _) = asked(&page);
    assert_eq!(browse(&edge, "/", STRANGER, &format!("veloflux_clearance={challenge}.x")).await.status, 403);

    // Programs are held to limits alone, and who is spared is asked for nothing.
    assert_eq!(get(&edge, "/api", STRANGER).await.status, 200);
    assert_eq!(browse(&edge, "/", OFFICE, "").await.status, 200);
    let form = "Accept: text/html\r\nContent-Length: 3\r\n\r\na=b";
    let mut client = Client::plain(edge.http()).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: acme.test\r\nX-Forwarded-For: {STRANGER}\r\n{form}")).await;
    assert_eq!(client.response().await.status, 200);
    edge.metric_becomes("veloflux_challenged_total{tenant=\"acme\"}", 4.0).await;
    assert_eq!(edge.metric("veloflux_rejected_total{tenant=\"acme\"}").await, Some(0.0));
}

#[tokio::test]
async fn everybody_may_have_to_prove_work() {
    let backend = Backend::named("b");
    let attack = "mode: under_attack\nunder_attack: {limits: {}, challenge: {who: everybody, difficulty: 8}, \
                  allow: {paths: [{prefix: /hooks}]}}";
    let edge = edge_with(&backend, attack).await;
    let program = get(&edge, "/api", STRANGER).await;
    assert_eq!((program.status, program.header("content-type")), (403, Some("application/problem+json")));
    assert_eq!(program.json()["title"], "Browser check required");
    let page = request(&edge, "POST /", STRANGER, "Accept: text/html\r\nContent-Length: 0\r\n").await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains(" data-again=\"false\""), "a form is not sent again by itself");
    let fields = format!("Accept: application/json\r\nCookie: {}\r\n", solved(&page));
    assert_eq!(request(&edge, "GET /api", STRANGER, &fields).await.status, 200);
    assert_eq!(get(&edge, "/hooks/1", STRANGER).await.status, 200);
    let head = request(&edge, "GET /hooks/../api", STRANGER, "").await;
    assert_eq!(head.status, 403);
    assert_eq!(backend.count(), 2);
}

/// The page in a browser: its script runs under its policy, finds the number, and the site appears.
#[tokio::test]
async fn a_browser_gets_through_by_itself() {
    let browser = "chromium-headless-shell";
    let backend = Backend::named("the site");
    let attack =
        "mode: under_attack\nsecurity_headers: {preset: strict}\nunder_attack: {challenge: {difficulty: 14}}";
    let edge = edge_with(&backend, attack).await;
    let profile = edge.path("browser");
    let url = format!("http://acme.test:{}/", edge.http().port());
    let run = tokio::process::Command::new(browser)
        .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--dump-dom"])
        .args(["--virtual-time-budget=60000", "--host-resolver-rules=MAP * 127.0.0.1"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(&url)
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(std::time::Duration::from_mins(1), run).await.expect("the browser ends");
    let run = run.expect("chromium-headless-shell is installed by `make setup`");
    let shown = String::from_utf8_lossy(&run.stdout);
    assert!(shown.contains("the site"), "{shown}\n{}", String::from_utf8_lossy(&run.stderr));
    let asked = backend.requests();
    let page = asked.iter().find(|request| request.target == "/").unwrap();
    assert!(page.header("cookie").unwrap().starts_with("veloflux_clearance="));
}

#[tokio::test]
async fn the_documented_example_does_what_it_says() {
    const DOCUMENT: &str = include_str!("../../../../docs/modes.md");
    let example = DOCUMENT.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let backend = Backend::named("b");
    let example = example.replace("127.0.0.1:8081", &backend.address().to_string());
    let edge = Edge::new().process("reload: {watch: false}").start().await;
    let write = async |text: &str, revision| {
        edge.write_raw_state(&text.replace("    domains:", "    firewall: {mode: off}\n    domains:"));
        edge.signal(libc::SIGHUP);
        edge.metric_becomes("veloflux_revision", revision).await;
    };
    let ask = async |path: &str, accept: &str| {
        ask(&edge, &format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nAccept: {accept}\r\n\r\n")).await
    };
    write(&example, 2.0).await;
    let page = ask("/", "text/html").await;
    assert_eq!((page.status, asked(&page).1), (403, 18));
    assert!(page.text().contains(" data-seconds=\"7200\""));
    let policy = ask("/", "application/json").await.header("ratelimit-policy").unwrap().to_owned();
    assert_eq!(policy, "\"client\";q=5;w=1");
    let hook = ask("/hooks/1", "text/html").await;
    assert_eq!((hook.status, hook.header("ratelimit")), (200, None));

    write(&example.replace("mode: under_attack", "mode: maintenance"), 3.0).await;
    let page = ask("/", "text/html").await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("900")));
    assert!(page.text().contains("moving house"));
    assert_eq!(ask("/health", "text/html").await.status, 200);

    write(&example.replace("    mode: under_attack\n", ""), 4.0).await;
    assert_eq!(ask("/", "text/html").await.status, 200);
}
