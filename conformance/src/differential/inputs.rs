//! What the suites send: whole requests to change, and single values to put elsewhere.

use std::collections::BTreeSet;
use std::path::Path;

use veloflux_reference::{Sample, traffic};
use veloflux_waf::body::{Limits, urlencoded};

use super::request::Request;
use crate::crs::{case, request as crs_request};
use crate::{modsecurity, wire};

/// Longer bodies are no single values, and not worth the reference library's time.
const MAX_VALUE_BYTES: usize = 600;
/// Requests with longer bodies are left out for the same reason.
const MAX_BODY_BYTES: usize = 16 << 10;

/// Requests and values of all suites, in an order that does not change.
pub(super) struct Inputs {
    pub(super) requests: Vec<Request>,
    pub(super) values: Vec<Vec<u8>>,
}

impl Inputs {
    /// Reads what is there under the folder `data`; a suite that is not there gives nothing but the CRS's own.
    pub(super) fn read(data: &Path, release: &Path) -> Result<Self, String> {
        let mut requests = crs_cases(release)?;
        let scenarios = data.join("modsecurity-regression");
        if scenarios.is_dir() {
            requests.extend(modsecurity::requests(&scenarios)?);
        }
        for file in ["benign.jsonl", "attack.jsonl"].map(|name| data.join("waf-traffic").join(name)) {
            if file.is_file() {
                requests.extend(traffic(&file)?.into_iter().map(from_traffic));
            }
        }
        requests.retain(|request| request.is_tellable() && request.body.len() <= MAX_BODY_BYTES);
        let values: BTreeSet<Vec<u8>> = requests.iter().flat_map(values).collect();
        let values =
            values.into_iter().filter(|value| (2..=MAX_VALUE_BYTES).contains(&value.len())).collect();
        Ok(Self { requests, values })
    }
}

fn crs_cases(release: &Path) -> Result<Vec<Request>, String> {
    let cases = case::load(&release.join("tests/regression/tests")).map_err(|error| error.to_string())?;
    let mut requests = Vec::new();
    for stage in cases.iter().flat_map(|case| &case.stages) {
        let bytes = crs_request::bytes(&stage.input).map_err(|error| error.to_string())?;
        requests.extend(wire::request(&bytes).and_then(|request| from_wire(&request)));
    }
    Ok(requests)
}

fn from_wire(request: &wire::Request<'_>) -> Option<Request> {
    let version = request.protocol.strip_prefix(b"HTTP/")?;
    Some(Request {
        method: request.method.to_vec(),
        target: request.target.to_vec(),
        version: String::from_utf8(version.to_vec()).ok()?,
        headers: request.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        body: request.body.clone(),
    })
}

fn from_traffic(sample: Sample) -> Request {
    let Sample { method, target, version, headers, body, .. } = sample;
    Request { method, target, version, headers, body }
}

/// Values of a request: its arguments, header fields and, where it is short, its body.
fn values(request: &Request) -> Vec<Vec<u8>> {
    let query = request.target.iter().position(|byte| *byte == b'?').map_or(0, |at| at + 1);
    let limits = Limits::default();
    let mut values: Vec<Vec<u8>> = request.headers.iter().map(|(_, value)| value.clone()).collect();
    for text in [&request.target[query..], &request.body] {
        let parsed = urlencoded::parse(text, urlencoded::SEPARATOR, &limits);
        for argument in parsed.arguments.list {
            values.push(argument.name.into_owned());
            values.push(argument.value.into_owned());
        }
    }
    values.push(request.body.clone());
    values
}
