//! Counting: this program once more, under valgrind's callgrind, which collects inside of [`counted`] alone and writes
//! a part each time that [`row`] returns.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use tempfile::TempDir;
use veloflux_bench_waf::corpus::{self, Sample};
use veloflux_bench_waf::{ATTACK, Level, Ours, Raw, data};
use veloflux_reference::Request;
use veloflux_waf::forget_values;

use crate::{RELEASE, TRAFFIC};

/// The functions, as callgrind names them.
const COUNTED: &str = "veloflux_instructions::callgrind::counted";
const ROW: &str = "veloflux_instructions::callgrind::row";
/// Walks through a class before the one that is counted: caches fill, lazily built automata are built.
const WARM_UP_WALKS: usize = 3;
/// Requests that are counted of each row, at least: in which values chance finds room moves a single one by some per cent.
const COUNTED_REQUESTS: usize = 72;
/// Walks through a class that are counted, at least.
const COUNTED_WALKS: usize = 12;

/// Walks through a class of so many requests that are counted.
fn counted_walks(requests: usize) -> usize {
    COUNTED_REQUESTS.div_ceil(requests.max(1)).max(COUNTED_WALKS)
}

/// Why counting is not possible here.
pub(crate) fn unable() -> Option<String> {
    if !avx2() {
        return Some("the baseline holds counts of a processor with AVX2".into());
    }
    let valgrind = Command::new("valgrind").arg("--version").output();
    if valgrind.is_ok_and(|output| output.status.success()) {
        None
    } else {
        Some("valgrind is not installed".into())
    }
}

/// Instructions per transaction, by row.
pub(crate) fn count() -> Result<BTreeMap<String, u64>, String> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let parts = folder.path().join("parts");
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--combine-dumps=no"])
        .arg(format!("--callgrind-out-file={}", parts.display()))
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={ROW}"))
        .arg(program)
        .arg("judge")
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let samples = corpus::read(&data(TRAFFIC)?)?;
    let mut counts = BTreeMap::new();
    for (index, kind) in kinds(&samples).into_iter().enumerate() {
        let part = format!("{}.{}", parts.display(), index + 1);
        let judged = kind.requests.len() * counted_walks(kind.requests.len());
        counts.insert(kind.name(), instructions(Path::new(&part))? / judged as u64);
    }
    Ok(counts)
}

/// Judges every row in order; what runs under callgrind.
pub(crate) fn judge() -> Result<ExitCode, String> {
    let ours = Ours::compile(&data(RELEASE)?)?;
    let samples = corpus::read(&data(TRAFFIC)?)?;
    for kind in kinds(&samples) {
        let requests: Option<Vec<Raw>> = kind.requests.iter().map(|request| Raw::read(request)).collect();
        let requests = requests.ok_or("a character that is no byte")?;
        for _ in 0..WARM_UP_WALKS {
            for raw in &requests {
                ours.refuses(raw, kind.level, kind.is_attack());
            }
        }
        let (refused, judged) =
            (row(&ours, &requests, &kind), requests.len() * counted_walks(requests.len()));
        if refused != if kind.is_attack() { judged } else { 0 } {
            return Err(format!("{}: {refused} of {judged} refused", kind.name()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What makes a row of the baseline.
struct Kind<'a> {
    class: &'a str,
    requests: Vec<&'a Request>,
    level: Level,
    /// Whether all values are forgotten before each request; else all are remembered.
    cold: bool,
}

impl Kind<'_> {
    fn name(&self) -> String {
        format!("{}/{}{}", self.class, self.level.name(), if self.cold { "-cold" } else { "" })
    }

    fn is_attack(&self) -> bool {
        self.class == ATTACK
    }
}

/// Every row, in the order in which they are judged.
fn kinds(samples: &[Sample]) -> Vec<Kind<'_>> {
    let mut kinds = Vec::new();
    for (class, requests) in corpus::classes(samples) {
        for level in Level::ALL {
            for cold in [false, true] {
                kinds.push(Kind { class, requests: requests.clone(), level, cold });
            }
        }
    }
    kinds
}

/// How many of a row's requests were refused.
#[inline(never)]
fn row(ours: &Ours, requests: &[Raw], kind: &Kind<'_>) -> usize {
    let mut refused = 0;
    for _ in 0..counted_walks(requests.len()) {
        if !kind.cold {
            // Which of many values find room in the memory is chance: each walk has keys of its own.
            forget_values();
            for raw in requests.iter().chain(requests) {
                ours.refuses(raw, kind.level, kind.is_attack());
            }
        }
        for raw in requests {
            if kind.cold {
                forget_values();
            }
            refused += usize::from(counted(ours, raw, kind));
        }
    }
    refused
}

#[inline(never)]
fn counted(ours: &Ours, raw: &Raw, kind: &Kind<'_>) -> bool {
    ours.refuses(raw, kind.level, kind.is_attack())
}

/// The total of a part that callgrind wrote.
fn instructions(part: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(part).map_err(|error| format!("{}: {error}", part.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok()).filter(|total| *total > 0);
    total.ok_or_else(|| format!("{}: callgrind counted nothing", part.display()))
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> bool {
    false
}
