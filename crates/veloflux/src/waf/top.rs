//! `veloflux waf top`: what the firewall of a running process spends its work on, read from its metrics listener.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Top;
use crate::failure::{Failure, Outcome};
use crate::load::ProcessFile;

/// Longest answer of a metrics listener, in bytes: some thousand series of tenants and backends.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// For the connection, and for each read and write on it.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(args: &Top) -> Outcome {
    let address = match args.metrics {
        Some(address) => address,
        None => listener(args)?,
    };
    let first = Counters::parse(&scrape(address)?);
    let spent = if args.seconds == 0 {
        first
    } else {
        std::thread::sleep(Duration::from_secs(args.seconds));
        Counters::parse(&scrape(address)?).since(&first)
    };
    let table = Table::new(&spent, args);
    if args.json {
        println!("{}", serde_json::to_string(&table).map_err(|error| Failure::new(error.to_string()))?);
    } else {
        print!("{table}");
    }
    Ok(())
}

/// The metrics listener that the process file names.
fn listener(args: &Top) -> Outcome<SocketAddr> {
    let file = ProcessFile::read(&args.process)?;
    let metrics = file.process.metrics.as_ref().ok_or_else(|| {
        let file = args.process.display();
        Failure::new(format!("{file}: no `metrics` listener; add one, or name the address with --metrics"))
    })?;
    Ok(metrics.address.socket())
}

fn scrape(address: SocketAddr) -> Outcome<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| Failure::new(format!("{address}: {error}")))?;
    match answer.split_once("\r\n\r\n") {
        // The last line says that nothing was cut off.
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") && body.ends_with("# EOF\n") => {
            Ok(body.to_owned())
        }
        _ => Err(Failure::new(format!("{address}: this is no metrics listener of veloflux"))),
    }
}

/// Counters of the firewall's work, by the value of their one label.
#[derive(Debug, Default, PartialEq)]
struct Counters {
    rule_units: BTreeMap<String, u64>,
    rule_runs: BTreeMap<String, u64>,
    tenant_units: BTreeMap<String, u64>,
    tenant_over: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads metrics in Prometheus' text format; lines about anything else are passed by.
    fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let Some((label, value)) = rest.rsplit_once("} ") else { continue };
            let family = match name {
                "veloflux_waf_rule_units_total" => &mut counters.rule_units,
                "veloflux_waf_rule_runs_total" => &mut counters.rule_runs,
                "veloflux_waf_units_total" => &mut counters.tenant_units,
                "veloflux_waf_over_budget_total" => &mut counters.tenant_over,
                _ => continue,
            };
            let Some((_, label)) = label.split_once("=\"") else { continue };
            let (Some(label), Ok(value)) = (label.strip_suffix('"'), value.parse()) else { continue };
            family.insert(label.to_owned(), value);
        }
        counters
    }

    /// What has been added since `before`. What was not listed then began at 0, or had not cost enough to be listed.
    fn since(mut self, before: &Self) -> Self {
        let subtract = |now: &mut BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            for (label, value) in now {
                *value = value.saturating_sub(before.get(label).copied().unwrap_or(0));
            }
        };
        subtract(&mut self.rule_units, &before.rule_units);
        subtract(&mut self.rule_runs, &before.rule_runs);
        subtract(&mut self.tenant_units, &before.tenant_units);
        subtract(&mut self.tenant_over, &before.tenant_over);
        self
    }
}

#[derive(Serialize)]
struct Table {
    /// The time looked at; 0: since the process began.
    seconds: u64,
    /// All work, that which is done for all rules together included.
    units: u64,
    over_budget: u64,
    rules: Vec<RuleRow>,
    tenants: Vec<TenantRow>,
}

#[derive(Serialize)]
struct RuleRow {
    rule: String,
    units: u64,
    share: f64,
    runs: u64,
}

#[derive(Serialize)]
struct TenantRow {
    tenant: String,
    units: u64,
    share: f64,
    over_budget: u64,
}

impl Table {
    fn new(counters: &Counters, args: &Top) -> Self {
        let total: u64 = counters.tenant_units.values().sum();
        let share = |units: u64| if total == 0 { 0.0 } else { units as f64 / total as f64 };
        let of = |family: &BTreeMap<String, u64>, label: &str| family.get(label).copied().unwrap_or(0);
        let rows = |family| largest(family, args.count);
        let rule = |(rule, units): (&String, u64)| RuleRow {
            rule: rule.clone(),
            units,
            share: share(units),
            runs: of(&counters.rule_runs, rule),
        };
        let tenant = |(tenant, units): (&String, u64)| TenantRow {
            tenant: tenant.clone(),
            units,
            share: share(units),
            over_budget: of(&counters.tenant_over, tenant),
        };
        Self {
            seconds: args.seconds,
            units: total,
            over_budget: counters.tenant_over.values().sum(),
            rules: rows(&counters.rule_units).into_iter().map(rule).collect(),
            tenants: rows(&counters.tenant_units).into_iter().map(tenant).collect(),
        }
    }
}

/// Up to `count` of the family, the largest first, without those that are 0.
fn largest(family: &BTreeMap<String, u64>, count: usize) -> Vec<(&String, u64)> {
    let mut rows: Vec<_> =
        family.iter().filter(|(_, units)| **units > 0).map(|(label, units)| (label, *units)).collect();
    rows.sort_by_key(|(_, units)| std::cmp::Reverse(*units));
    rows.truncate(count);
    rows
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            0 => writeln!(f, "{} units since the process began", self.units)?,
            seconds => writeln!(f, "{} units in {seconds} s", self.units)?,
        }
        writeln!(f, "{} requests over budget", self.over_budget)?;
        if !self.rules.is_empty() {
            writeln!(
                f,
                "\n{:<12} {:>14} {:>7} {:>12} {:>10}",
                "rule", "units", "share", "runs", "units/run"
            )?;
        }
        for RuleRow { rule, units, share, runs } in &self.rules {
            let per_run = *units as f64 / (*runs).max(1) as f64;
            writeln!(f, "{rule:<12} {units:>14} {:>6.1}% {runs:>12} {per_run:>10.1}", share * 100.0)?;
        }
        if !self.tenants.is_empty() {
            writeln!(f, "\n{:<24} {:>14} {:>7} {:>12}", "tenant", "units", "share", "over budget")?;
        }
        for TenantRow { tenant, units, share, over_budget } in &self.tenants {
            writeln!(f, "{tenant:<24} {units:>14} {:>6.1}% {over_budget:>12}", share * 100.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP x y\nveloflux_waf_rule_units_total{rule=\"942100\"} 70\n\
        veloflux_waf_rule_units_total{rule=\"941100\"} 20\nveloflux_waf_rule_runs_total{rule=\"942100\"} 7\n\
        veloflux_waf_units_total{tenant=\"a\"} 90\nveloflux_waf_units_total{tenant=\"b\"} 10\n\
        veloflux_waf_over_budget_total{tenant=\"a\"} 3\nveloflux_revision 1\nveloflux_waf_units_total{broken\n";

    fn args(count: usize) -> Top {
        Top { process: "veloflux.yaml".into(), metrics: None, count, seconds: 0, json: false }
    }

    #[test]
    fn the_costliest_come_first() {
        let table = Table::new(&Counters::parse(TEXT), &args(1));
        let rule = &table.rules[0];
        assert_eq!((table.units, table.over_budget, table.rules.len()), (100, 3, 1));
        assert_eq!((&*rule.rule, rule.units, rule.runs), ("942100", 70, 7));
        assert!((rule.share - 0.7).abs() < 1e-9);
        let shown = table.to_string();
        assert!(shown.contains("942100                   70   70.0%            7       10.0\n"), "{shown}");
    }

    #[test]
    fn an_interval_is_the_difference() {
        let before = Counters::parse("veloflux_waf_rule_units_total{rule=\"942100\"} 70\n");
        let spent = Counters::parse(TEXT).since(&before);
        assert_eq!((spent.rule_units["942100"], spent.rule_units["941100"]), (0, 20));
        assert_eq!(Table::new(&spent, &args(9)).rules.len(), 1);
    }
}
