//! What judging costs: CPU time of the thread per transaction, median per class of requests, at paranoia levels 1
//! and 4.
//!
//! `cost RELEASE TRAFFIC [SECONDS [CLASS]]`: `RELEASE` is an unpacked release of the OWASP Core Rule Set, `TRAFFIC` a folder
//! with `benign.jsonl` and `attack.jsonl`, one request a line. Every benign request must pass and every attack must be
//! refused at level 1, or the run fails. A transaction runs all phases, its answer an empty 200.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use veloflux_waf::{
    Connection, Levels, MemFiles, Mode, Overlay, OverlaySettings, RequestHead, ResponseHead, Ruleset,
    Transaction, Verdict, crs, forget_values,
};

/// Time for each class at each level, by default.
const SECONDS: f64 = 0.5;
/// Transactions of a class that are measured at least, each request in turn.
const ROUNDS: usize = 5;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    name: String,
    method: String,
    #[serde(rename = "URI")]
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [release, traffic, rest @ ..] = &arguments[..] else {
        return Err("usage: cost RELEASE TRAFFIC [SECONDS [CLASS]]".into());
    };
    let seconds = rest.first().map_or(Ok(SECONDS), |text| text.parse())?;
    let before = resident_kilobytes()?;
    let ruleset = compile(Path::new(release))?;
    println!("compiled rules: {} MB", (resident_kilobytes()?.saturating_sub(before)) / 1_024);
    let mut classes = read(&Path::new(traffic).join("benign.jsonl"))?;
    let attacks = read(&Path::new(traffic).join("attack.jsonl"))?.into_values().flatten().collect();
    classes.insert("attack".to_owned(), attacks);
    if let Some(wanted) = rest.get(1) {
        classes.retain(|class, _| class == wanted);
    }
    println!("{:<24} {:>10} {:>10} {:>10} {:>10}  µs", "class", "PL1", "PL1 cold", "PL4", "PL4 cold");
    for (class, requests) in &classes {
        let mut row = format!("{class:<24}");
        for paranoia in [1, 4] {
            let levels = Levels { paranoia, inbound_threshold: 5, outbound_threshold: 4 };
            let overlay = ruleset.overlay(&OverlaySettings::new(Mode::Block, levels))?;
            for request in requests.iter().filter(|_| paranoia == 1) {
                if judge(&ruleset, &overlay, request) != (class == "attack") {
                    return Err(format!("{class}: the wrong verdict on {}", request.target).into());
                }
            }
            // Benign requests that the highest level refuses would be cheap for ending early: they are judged whole.
            let mode = if class == "attack" { Mode::Block } else { Mode::Detect };
            let overlay = ruleset.overlay(&OverlaySettings::new(mode, levels))?;
            for is_cold in [false, true] {
                let median = measure(&ruleset, &overlay, requests, Duration::from_secs_f64(seconds), is_cold);
                write!(row, " {:>10.1}", median.as_secs_f64() * 1e6)?;
            }
        }
        println!("{row}");
    }
    Ok(())
}

/// The median cost of a transaction.
fn measure(
    ruleset: &Ruleset,
    overlay: &Overlay,
    requests: &[Request],
    time: Duration,
    is_cold: bool,
) -> Duration {
    let mut costs = Vec::new();
    let end = cpu_time() + time;
    for round in 0.. {
        for request in requests {
            if is_cold {
                forget_values();
            }
            let start = cpu_time();
            judge(ruleset, overlay, request);
            let cost = cpu_time().saturating_sub(start);
            // The first round warms up.
            if round > 0 {
                costs.push(cost);
            }
        }
        if round >= ROUNDS && cpu_time() > end {
            break;
        }
    }
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// Runs one transaction; whether it was refused.
fn judge(ruleset: &Ruleset, overlay: &Overlay, request: &Request) -> bool {
    let headers: Vec<(&[u8], &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let connection = Connection {
        client: ([192, 0, 2, 7], 40_000).into(),
        server: ([198, 51, 100, 1], 443).into(),
        request_id: "request-1",
        now_unix_us: 951_827_696_000_000,
    };
    macro_rules! pass {
        ($verdict:expr) => {
            match $verdict {
                Verdict::Pass(transaction) => transaction,
                Verdict::Refuse(refused) => {
                    refused.finish();
                    return true;
                }
            }
        };
    }
    let transaction = Transaction::begin(ruleset, overlay, &connection);
    let transaction = pass!(transaction.request_head(&RequestHead {
        method: request.method.as_bytes(),
        target: request.target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
    }));
    let transaction = pass!(transaction.request_body(&request.body, true));
    let head = ResponseHead { status: 200, protocol: b"HTTP/1.1", headers: &[] };
    let transaction = pass!(transaction.response_head(&head));
    let transaction = pass!(transaction.response_body(b"", true));
    transaction.finish();
    false
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn resident_kilobytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn compile(release: &Path) -> Result<Ruleset, Box<dyn Error>> {
    let mut files = MemFiles::new();
    for folder in [".", "rules"] {
        for entry in std::fs::read_dir(release.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name =
                    format!("crs/{folder}/{}", entry.file_name().to_string_lossy()).replace("/./", "/");
                files = files.with(&name, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(Ruleset::compile(&crs::sources(&files, "crs")?, &files)?)
}

fn read(path: &Path) -> Result<BTreeMap<String, Vec<Request>>, Box<dyn Error>> {
    let mut classes: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let Sample { name, method, target, headers, body } = serde_json::from_str(line)?;
        let request = Request { method, target, headers, body: STANDARD.decode(body)? };
        classes.entry(name).or_default().push(request);
    }
    Ok(classes)
}
