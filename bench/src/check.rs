//! Looks at single answers with `curl` before a contender is measured: right status, right length, attacks refused, and
//! each protection at work where it is on and nowhere else.

use std::path::Path;
use std::process::Command;

use crate::protection::{PROTECTIONS, Probe, Protection, SIGN_FIELD, Sign};
use crate::scenario::Scenario;
use crate::workdir::HOST;

/// An SQL injection that the CRS refuses at every level.
const ATTACK: &str = "/256?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-";

/// An error if the contender on `port`, with `protections` on, does not do the scenario's work.
pub(crate) fn works(
    scenario: &Scenario,
    protections: &[Protection],
    port: u16,
    certificate: &Path,
) -> Result<(), String> {
    let asked = Asked { scenario, port, certificate };
    let Answer { status, length, .. } =
        asked.answer(&scenario.request.target, scenario.request.form, None)?;
    if (status, length) != (200, scenario.answer_bytes) {
        return Err(format!("answers {status} with {length} bytes, not 200 with {}", scenario.answer_bytes));
    }
    let expected = if scenario.firewall { 403 } else { 200 };
    let Answer { status, .. } = asked.answer(ATTACK, None, None)?;
    if status != expected {
        return Err(format!("answers an attack with {status}, not {expected}"));
    }
    let every = PROTECTIONS.iter().filter(|_| scenario.protections);
    for (protection, probe) in every.flat_map(|each| each.probes.iter().map(move |probe| (each, probe))) {
        let on = protections.iter().any(|one| one.name == protection.name);
        asked.probe(probe, on).map_err(|error| format!("{}: {error}", protection.name))?;
    }
    Ok(())
}

/// Who is asked, and how.
struct Asked<'a> {
    scenario: &'a Scenario,
    port: u16,
    certificate: &'a Path,
}

/// What is looked at in an answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    length: usize,
    /// Whether it has [`SIGN_FIELD`].
    sign: bool,
}

impl Asked<'_> {
    /// An error if the protection that `probe` belongs to is on and does not show, or is not on and does.
    fn probe(&self, probe: &Probe, on: bool) -> Result<(), String> {
        let target = format!("{}?[1-{}]", self.scenario.request.target, probe.requests);
        let answer = self.answer(&target, None, Some(probe.client))?;
        let (shows, served) = match probe.sign {
            Sign::Status(status) => (answer.status == status, answer.status == 200),
            Sign::Header => (answer.sign, answer.status == 200 && !answer.sign),
        };
        if on && shows || !on && served {
            return Ok(());
        }
        let state = if on { "on" } else { "off" };
        Err(format!("is {state}, and a client at {} is answered {answer:?}", probe.client))
    }

    /// The last answer to a request for `target`, of which there may be several, as in `/256?[1-9]`, from `client` as a
    /// proxy would say it.
    fn answer(&self, target: &str, form: Option<&str>, client: Option<&str>) -> Result<Answer, String> {
        let Self { scenario, port, certificate } = self;
        let scheme = if scenario.tls { "https" } else { "http" };
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "10", "--output", "/dev/null"])
            .args(["--write-out", &format!("%{{http_code}} %{{size_download}} %header{{{SIGN_FIELD}}}\n")])
            .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(certificate)
            .arg(format!("{scheme}://{HOST}:{port}{target}"));
        for (name, value) in scenario.request.headers {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        if let Some(client) = client {
            curl.args(["--header", &format!("X-Forwarded-For: {client}")]);
        }
        if let Some(form) = form {
            curl.args(["--data-raw", form]);
        }
        let output = curl.output().map_err(|error| format!("curl: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = text.lines().last().and_then(read);
        answer.ok_or_else(|| format!("curl: {text} {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Reads a line of what `curl` was told to write.
fn read(line: &str) -> Option<Answer> {
    let mut parts = line.splitn(3, ' ');
    let (status, length, field) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Answer { status: status.parse().ok()?, length: length.parse().ok()?, sign: !field.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_and_without_the_sign() {
        let answer = |sign| Some(Answer { status: 200, length: 256, sign });
        assert_eq!(read("200 256 "), answer(false));
        assert_eq!(read("200 256 nosniff"), answer(true));
        assert_eq!(read("000 0"), None);
    }
}
