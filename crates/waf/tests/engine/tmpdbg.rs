use crate::common::*;
use crate::{
    crs,
    release::{self, shared},
};
#[test]
fn dbg() {
    let (release, traffic) = (shared("crs-4.28.0").unwrap(), shared("waf-traffic").unwrap());
    let ruleset = release::compile(&release);
    let overlay = block(&ruleset);
    let ids: Vec<u32> = ruleset.rules().map(|r| r.id).collect();
    for r in crs::samples(&traffic, "benign.jsonl").iter().take(40) {
        let mut seen = r.through(&ruleset, &overlay);
        for _ in 0..3 {
            seen = r.through(&ruleset, &overlay);
        }
        println!(
            "DBG {} {} : {} {:?}",
            r.method,
            r.target,
            seen.record.work.units,
            seen.record.work.rules.iter().map(|w| (ids[w.index as usize], w.units)).collect::<Vec<_>>()
        );
    }
}
