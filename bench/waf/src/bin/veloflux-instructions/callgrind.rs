//! Counting: this program once more, under valgrind's callgrind, which collects inside of [`counted`] alone and writes
//! a part each time that it returns.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use tempfile::TempDir;
use veloflux_bench_waf::corpus::{self, Sample};
use veloflux_bench_waf::{ATTACK, Level, Ours, Raw, data};

use crate::{RELEASE, TRAFFIC};

/// The function whose instructions are counted, as callgrind names it.
const COUNTED: &str = "veloflux_instructions::callgrind::counted";
/// Walks through a class before the one that is counted: caches fill, lazily built automata are built.
const WARM_UP_WALKS: usize = 3;
/// Walks that are counted: a hash table's random key moves a single one by up to 2 %.
const COUNTED_WALKS: usize = 4;

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
        .arg(format!("--dump-after={COUNTED}"))
        .arg(program)
        .arg("judge")
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let samples = corpus::read(&data(TRAFFIC)?)?;
    let mut counts = BTreeMap::new();
    for (index, (class, requests, level)) in rows(&samples).into_iter().enumerate() {
        let part = format!("{}.{}", parts.display(), index + 1);
        let judged = requests * COUNTED_WALKS as u64;
        counts.insert(format!("{class}/{}", level.name()), instructions(Path::new(&part))? / judged);
    }
    Ok(counts)
}

/// Judges every row in order; what runs under callgrind.
pub(crate) fn judge() -> Result<ExitCode, String> {
    let ours = Ours::compile(&data(RELEASE)?)?;
    let samples = corpus::read(&data(TRAFFIC)?)?;
    let classes = corpus::classes(&samples);
    for (class, _, level) in rows(&samples) {
        let requests: Option<Vec<Raw>> = classes[class].iter().map(|request| Raw::read(request)).collect();
        let requests = requests.ok_or("a character that is no byte")?;
        for _ in 0..WARM_UP_WALKS {
            ours.run(&requests, level, class == ATTACK);
        }
        let refused = counted(&ours, &requests, level, class == ATTACK);
        let judged = requests.len() * COUNTED_WALKS;
        if refused != if class == ATTACK { judged } else { 0 } {
            return Err(format!("{class}: {refused} of {judged} refused"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Class, number of its requests, and level, in the order in which they are judged.
fn rows(samples: &[Sample]) -> Vec<(&str, u64, Level)> {
    let classes = corpus::classes(samples).into_iter();
    classes
        .flat_map(|(class, requests)| Level::ALL.map(|level| (class, requests.len() as u64, level)))
        .collect()
}

#[inline(never)]
fn counted(ours: &Ours, requests: &[Raw], level: Level, attack: bool) -> usize {
    (0..COUNTED_WALKS).map(|_| ours.run(black_box(requests), level, attack)).sum()
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
