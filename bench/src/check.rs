//! Looks at single answers with `curl` before a contender is measured: right status, right length, attacks refused.

use std::path::Path;
use std::process::Command;

use crate::scenario::Scenario;
use crate::workdir::HOST;

/// An SQL injection that the CRS refuses at every level.
const ATTACK: &str = "/256?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-";

/// An error if the contender on `port` does not do the scenario's work.
pub(crate) fn works(scenario: &Scenario, port: u16, certificate: &Path) -> Result<(), String> {
    let (status, length) = ask(scenario, port, certificate, &scenario.request.target, scenario.request.form)?;
    if (status, length) != (200, scenario.answer_bytes) {
        return Err(format!("answers {status} with {length} bytes, not 200 with {}", scenario.answer_bytes));
    }
    let expected = if scenario.firewall { 403 } else { 200 };
    let (status, _) = ask(scenario, port, certificate, ATTACK, None)?;
    if status == expected { Ok(()) } else { Err(format!("answers an attack with {status}, not {expected}")) }
}

/// Status and body length of the answer to one request.
fn ask(
    scenario: &Scenario,
    port: u16,
    certificate: &Path,
    target: &str,
    form: Option<&str>,
) -> Result<(u16, usize), String> {
    let scheme = if scenario.tls { "https" } else { "http" };
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "10", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code} %{size_download}"])
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(certificate)
        .arg(format!("{scheme}://{HOST}:{port}{target}"));
    for (name, value) in scenario.request.headers {
        curl.args(["--header", &format!("{name}: {value}")]);
    }
    if let Some(form) = form {
        curl.args(["--data-raw", form]);
    }
    let output = curl.output().map_err(|error| format!("curl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers =
        text.split_once(' ').and_then(|(status, length)| Some((status.parse().ok()?, length.parse().ok()?)));
    numbers.ok_or_else(|| format!("curl: {text} {}", String::from_utf8_lossy(&output.stderr)))
}
