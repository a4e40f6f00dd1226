//! What judging costs: no request takes much more work than its budget before it is stopped.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use veloflux_waf::{
    Connection, Levels, MemFiles, Mode, Overlay, OverlaySettings, RequestHead, Ruleset, Transaction, Verdict,
    WorkBudget, crs,
};

/// The CRS beside the repository, at its highest level, where everything is only recorded and so all rules run.
static JUDGE: LazyLock<Option<(Ruleset, Overlay)>> = LazyLock::new(|| {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let release = std::env::var_os("VELOFLUX_SHARED").map_or(beside, PathBuf::from).join("data/crs-4.28.0");
    let files = read(&release).ok()?;
    let sources = crs::sources(&files, "crs").ok()?;
    let ruleset = Ruleset::compile(&sources, &files).unwrap_or_else(|errors| panic!("{errors}"));
    let levels = Levels { paranoia: 4, inbound_threshold: 5, outbound_threshold: 4 };
    let overlay =
        ruleset.overlay(&OverlaySettings::new(Mode::Detect, levels)).unwrap_or_else(|e| panic!("{e}"));
    Some((ruleset, overlay))
});

/// Judges a request of which the first byte of `input` says what kind it is, the rest being its query or body.
pub fn cost(input: &[u8]) {
    const KINDS: [&[u8]; 6] = [
        b"application/x-www-form-urlencoded",
        b"application/json",
        b"text/xml",
        b"multipart/form-data; boundary=b",
        b"text/plain",
        b"",
    ];
    let (Some((ruleset, overlay)), Some((kind, content))) = (&*JUDGE, input.split_first()) else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let query = [b"/?", content].concat();
    let (method, target, body): (&[u8], &[u8], _) =
        if kind.is_empty() { (b"GET", &query, &[][..]) } else { (b"POST", b"/", content) };
    let headers = [(&b"Host"[..], &b"h.test"[..]), (b"User-Agent", b"f/1"), (b"Content-Type", kind)];
    let address = ([127, 0, 0, 1], 1).into();
    let connection = Connection { client: address, server: address, request_id: "f", now_unix_us: 0 };
    veloflux_waf::forget_values();
    let begun = Transaction::begin(ruleset, overlay, &connection);
    let head = begun.request_head(&RequestHead { method, target, protocol: b"HTTP/1.1", headers: &headers });
    let record = match head {
        Verdict::Refuse(refused) => refused.finish(),
        Verdict::Pass(transaction) => match transaction.request_body(body, true) {
            Verdict::Refuse(refused) => refused.finish(),
            Verdict::Pass(transaction) => transaction.finish(),
        },
    };
    let carried: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let carried = carried + method.len() + target.len() + b"HTTP/1.1".len() + body.len();
    let allowed = WorkBudget::default().units(carried as u64);
    note_dearest(record.work.units * 100 / allowed, carried, kind);
    // Single steps that are taken once the last unit is spent, and the logging rules, come on top.
    assert!(record.work.units <= 2 * allowed, "{} units of {allowed}", record.work.units);
}

/// Says so when a request goes further towards its budget than any before.
fn note_dearest(percent: u64, bytes: usize, kind: &[u8]) {
    static DEAREST: AtomicU64 = AtomicU64::new(0);
    if DEAREST.fetch_max(percent, Relaxed) < percent {
        eprintln!("dearest so far: {percent} % of the budget, {bytes} bytes, {}", kind.escape_ascii());
    }
}

/// Rules and data files of a release.
fn read(release: &Path) -> std::io::Result<MemFiles> {
    let mut files = MemFiles::new();
    for folder in ["", "rules", "plugins"] {
        for entry in std::fs::read_dir(release.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = format!("crs/{folder}/{}", entry.file_name().to_string_lossy()).replace("//", "/");
                files = files.with(&name, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}
