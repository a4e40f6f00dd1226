//! What firewall rules remember from one request to the next: per tenant, whatever is reloaded.

use std::fs;

use crate::harness::{Backend, Edge, forward_to};

/// Three requests of a client, then none.
const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.requests=+1"
SecRule IP:requests "@gt 3" "id:2,phase:1,deny,log,msg:'Too many requests',expirevar:ip.requests=2"
"#;

#[tokio::test]
async fn a_client_is_counted_per_tenant_across_reloads_until_its_time_is_over() {
    let edge = Edge::new();
    let rules = edge.path("counting");
    fs::create_dir_all(rules.join("rules")).unwrap();
    fs::write(rules.join("crs-setup.conf"), "SecComponentSignature \"OWASP_CRS/9.0.0\"\n").unwrap();
    fs::write(rules.join("rules/count.conf"), RULES).unwrap();
    let installed = edge.command(&["crs", "install", "--from", rules.to_str().unwrap()]);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let backend = Backend::echo();
    let policy = format!("{}\nfirewall: {{mode: block}}", forward_to(&[&backend]));
    let edge = edge.tenant("acme", "acme.test", &policy).tenant("other", "other.test", &policy);
    let mut edge = edge.start().await;

    for _ in 0..2 {
        assert_eq!(edge.get("acme.test", "/").await.status, 200);
    }
    edge.set_tenant("new", "domains: [{host: new.test}]\nroutes: [{name: say, respond: {body: new}}]");
    edge.reload().await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
    assert_eq!(edge.get("acme.test", "/").await.status, 403);
    assert_eq!(edge.get("other.test", "/").await.status, 200, "another tenant counts by itself");
    for (tenant, entries) in [("acme", 1.0), ("other", 1.0), ("new", 0.0)] {
        let metric = format!("veloflux_waf_collections_entries{{tenant=\"{tenant}\"}}");
        assert_eq!(edge.metric(&metric).await, Some(entries), "{tenant}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    assert_eq!(edge.get("acme.test", "/").await.status, 200);
}
