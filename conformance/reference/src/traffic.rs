//! Requests as they come to web servers, benign and hostile: a file with one of them a line, in JSON.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// One request of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What it is a sample of, such as `get-page`.
    pub name: String,
    /// As sent.
    pub method: Vec<u8>,
    /// As sent.
    pub target: Vec<u8>,
    /// The protocol's number: `1.1`.
    pub version: String,
    /// Names and values in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Empty: none.
    pub body: Vec<u8>,
}

/// Reads the file `path`; an error says at which line.
pub fn traffic(path: &Path) -> Result<Vec<Sample>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().zip(1..);
    lines
        .map(|(line, number)| sample(line).map_err(|error| format!("{}:{number}: {error}", path.display())))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    name: String,
    method: String,
    #[serde(rename = "URI")]
    target: String,
    version: String,
    headers: Vec<(String, String)>,
    /// In Base64.
    body: String,
}

fn sample(line: &str) -> Result<Sample, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let headers = line.headers.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes()));
    Ok(Sample {
        name: line.name,
        method: line.method.into_bytes(),
        target: line.target.into_bytes(),
        version: line.version.trim_start_matches("HTTP/").to_owned(),
        headers: headers.collect(),
        body: STANDARD.decode(&line.body).map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_and_an_error_has_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let line = r#"{"Name":"n","Method":"POST","URI":"/?a","Version":"HTTP/1.1","Headers":[["A","b"]],"Body":"AP8="}"#;
        std::fs::write(&path, line).unwrap();
        let read = traffic(&path).unwrap();
        assert_eq!((read.len(), &*read[0].target, &*read[0].version), (1, &b"/?a"[..], "1.1"));
        assert_eq!((&read[0].headers[0].1[..], &read[0].body[..]), (&b"b"[..], &[0, 0xff][..]));
        std::fs::write(&path, format!("{line}\n{{}}")).unwrap();
        assert!(traffic(&path).unwrap_err().contains("x.jsonl:2: missing field"));
    }
}
