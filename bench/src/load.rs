//! The load generator: `wrk`, one thread on its own core, with keep-alive connections.

use std::path::Path;
use std::process::Command;

use crate::machine::LOAD_CORE;
use crate::scenario::Scenario;
use crate::workdir::{HOST, Workdir};
use crate::world::CLIENTS_FILE;

/// Connections kept open and busy.
const CONNECTIONS: usize = 64;
/// How long an answer may take; with the firewall on, all connections wait for one busy core.
const ANSWER_LIMIT: &str = "10s";
/// What a head of an answer may take, in bytes; bounds the check of lengths.
const HEAD_LIMIT: u64 = 1024;

/// Prints what the check needs in one line that begins with this word.
const SUMMARY: &str = r#"
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("totals %d %d %d %d\n", summary.requests, summary.bytes, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Makes every client's request before the first is sent.
const EVERY_CLIENT: &str = r#"
local requests, nth = {}, 0
function init()
    for client in io.lines(clients) do
        wrk.headers["X-Forwarded-For"] = client
        requests[#requests + 1] = wrk.format()
    end
end
function request()
    nth = nth % #requests + 1
    return requests[nth]
end
"#;

/// The client's TLS 1.3 offer, so that every contender does the same cryptography.
const TLS_OFFER: &str = "openssl_conf = settings
[settings]
ssl_conf = modules
[modules]
system_default = offer
[offer]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = P-256
";

/// What one run did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Answers received.
    pub requests: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Sends the scenario's request to `port` for `seconds`; an error if any answer was not what it must be.
pub(crate) fn run(scenario: &Scenario, port: u16, seconds: u64, workdir: &Workdir) -> Result<Load, String> {
    let script = workdir.write("load.lua", script(scenario, &workdir.path(CLIENTS_FILE)))?;
    let offer = workdir.write("openssl.cnf", TLS_OFFER)?;
    let scheme = if scenario.tls { "https" } else { "http" };
    let output = Command::new("taskset")
        .args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1"])
        .args(["-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s"), "--timeout", ANSWER_LIMIT])
        .arg("-s")
        .arg(script)
        .args(["-H", &format!("Host: {HOST}")])
        .arg(format!("{scheme}://{HOST}:{port}{}", scenario.request.target))
        .env("OPENSSL_CONF", offer)
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (load, bytes, errors) = totals(&text).ok_or_else(|| format!("wrk: no totals in {text}"))?;
    if errors > 0 || load.requests == 0 {
        return Err(format!("{errors} errors in {} requests: {text}", load.requests));
    }
    let body = scenario.answer_bytes as u64;
    // An answer may be cut off by the end of the run; its bytes are counted, its request is not.
    let most = (load.requests + CONNECTIONS as u64) * (body + HEAD_LIMIT);
    if bytes < load.requests * body || bytes > most {
        return Err(format!("{bytes} bytes in {} answers of {body}", load.requests));
    }
    Ok(load)
}

/// Method, header fields and body for `wrk`, in Lua; where protections are measured, a request of each of the `clients`
/// in turn.
fn script(scenario: &Scenario, clients: &Path) -> String {
    let mut script = String::new();
    let mut set = |name: &str, value: &str| script.extend(["wrk.", name, " = \"", value, "\"\n"]);
    for (name, value) in scenario.request.headers {
        set(&format!("headers[\"{name}\"]"), value);
    }
    if let Some(form) = scenario.request.form {
        set("method", "POST");
        set("headers[\"Content-Type\"]", "application/x-www-form-urlencoded");
        set("body", form);
    }
    if scenario.protections {
        script.extend([&format!("local clients = {:?}\n", clients.display().to_string()), EVERY_CLIENT]);
    }
    script + SUMMARY
}

fn totals(text: &str) -> Option<(Load, u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals "))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [requests, bytes, microseconds, errors] = numbers[..] else { return None };
    Some((Load { requests, seconds: microseconds as f64 / 1e6 }, bytes, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_among_other_output() {
        let (load, bytes, errors) = totals("Running 3s test\ntotals 100 25600 2000000 3\nDone").unwrap();
        assert_eq!((load.requests, bytes, errors), (100, 25600, 3));
        assert!((load.seconds - 2.0).abs() < 1e-9);
        assert!(totals("totals 100").is_none());
    }
}
