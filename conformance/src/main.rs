//! `veloflux-conformance [SUITE...]`: runs the named suites, or all of them; ends with one line per suite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use veloflux_conformance::{
    Miss, SuiteResult, crs, differential, http11probe, language, libinjection, modsecurity, shared, tls_scan,
};

/// Checked-in bars; see the file.
const BARS: &str = include_str!("../bars.yaml");
/// For a suite without a row in the file: everything passes or has a reason.
const NO_BAR: f64 = 0.0;

/// How much of an expectation or a finding is printed, in characters.
const SHOWN_CHARS: usize = 600;

/// The folder of the language suites' data.
const LANGUAGE: &str = "secrules-language-tests";

type Suite = fn() -> SuiteResult;

/// Every suite, in the order in which they run.
const SUITES: &[(&str, Suite)] = &[
    (crs::engine::NAME, || over(crs::engine::NAME, shared::data("crs-4.28.0"), crs::engine::run)),
    (crs::edge::NAME, || over(crs::edge::NAME, shared::data("crs-4.28.0"), crs::edge::run)),
    (crs::crs3::NAME, || over(crs::crs3::NAME, shared::debian_crs(), crs::crs3::run)),
    (language::OPERATORS, || over(language::OPERATORS, shared::data(LANGUAGE), language::operators)),
    (language::TRANSFORMATIONS, || {
        over(language::TRANSFORMATIONS, shared::data(LANGUAGE), language::transformations)
    }),
    (libinjection::NAME, || {
        over(libinjection::NAME, shared::data("libinjection-fixtures"), libinjection::run)
    }),
    (modsecurity::NAME, || over(modsecurity::NAME, shared::data("modsecurity-regression"), modsecurity::run)),
    (differential::NAME, || over(differential::NAME, shared::data("crs-4.28.0"), differential::run)),
    (tls_scan::NAME, || over(tls_scan::NAME, tls_scan::scanner(), tls_scan::run)),
    (http11probe::NAME, || over(http11probe::NAME, shared::data("http11probe"), http11probe::run)),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(stranger) = wanted.iter().find(|name| !SUITES.iter().any(|(known, _)| known == name)) {
        let known: Vec<_> = SUITES.iter().map(|(name, _)| *name).collect();
        eprintln!("no suite {stranger}; there are: {}", known.join(" "));
        return ExitCode::FAILURE;
    }
    let bars: BTreeMap<String, f64> = match serde_saphyr::from_str(BARS) {
        Ok(bars) => bars,
        Err(error) => {
            eprintln!("bars.yaml: {error}");
            return ExitCode::FAILURE;
        }
    };

    let mut results = Vec::new();
    for (name, suite) in SUITES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let start = Instant::now();
            let found = suite();
            eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
            report(&found);
            results.push(found);
        }
    }

    let mut faults = Vec::new();
    for result in &results {
        faults.extend(result.faults(bars.get(&result.name).copied().unwrap_or(NO_BAR)));
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    for result in &results {
        println!("{}", result.line());
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a suite over the folder of its data; a suite that cannot run at all counts as one failed case.
fn over(
    name: &str,
    data: Result<PathBuf, String>,
    run: fn(&Path) -> Result<SuiteResult, String>,
) -> SuiteResult {
    match data {
        Ok(folder) => run(&folder).unwrap_or_else(|error| broken(name, error)),
        Err(reason) => SuiteResult::absent(name, reason),
    }
}

fn broken(name: &str, error: String) -> SuiteResult {
    let miss = Miss { case: "whole suite".into(), expected: "a run".into(), got: error, reason: None };
    SuiteResult { name: name.into(), failed: 1, misses: vec![miss], ..SuiteResult::default() }
}

fn report(result: &SuiteResult) {
    for line in &result.per_file {
        println!("{}: {line}", result.name);
    }
    for miss in &result.misses {
        let reason = miss.reason.as_deref().unwrap_or("NO REASON");
        let (expected, got) = (shortened(&miss.expected), shortened(&miss.got));
        println!("{}: {}: expected {expected}; got {got} ({reason})", result.name, miss.case);
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
