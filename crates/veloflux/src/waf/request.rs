//! The request of `waf eval`: raw HTTP/1 (RFC 9112), or one line of JSON with `Method`, `URI`, `Version`, `Headers`
//! (a list of pairs) and `Body` (Base64).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use veloflux_control::files::read_bounded;

/// Longest request file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) protocol: Vec<u8>,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// A request as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Line {
    #[serde(default, rename = "Name")]
    _name: Option<String>,
    method: String,
    #[serde(rename = "URI")]
    uri: String,
    version: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
}

impl Request {
    /// Reads the request in the file at `path`.
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        let content =
            read_bounded(path, MAX_BYTES).map_err(|error| Failure::file(path, "read the request", &error))?;
        let read = if content.trim_ascii_start().starts_with(b"{") { json(&content) } else { raw(&content) };
        read.map_err(|why| Failure::new(format!("{}: {why}", path.display())))
    }
}

fn json(content: &[u8]) -> Result<Request, String> {
    let line: Line = serde_json::from_slice(content)
        .map_err(|error| format!("not one request as a line of JSON: {error}"))?;
    let body = STANDARD.decode(line.body.unwrap_or_default()).map_err(|error| format!("Body: {error}"))?;
    let headers = line.headers.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes()));
    Ok(Request {
        method: line.method.into_bytes(),
        target: line.uri.into_bytes(),
        protocol: line.version.into_bytes(),
        headers: headers.collect(),
        body,
    })
}

/// Lines may end in LF alone, as editors write them.
fn raw(content: &[u8]) -> Result<Request, String> {
    let mut rest = content;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    };
    let first = line().ok_or("neither a line of JSON nor a request line")?;
    let words: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, protocol] = words[..] else {
        return Err("the first line is not `METHOD TARGET HTTP/1.1`".to_owned());
    };
    let mut headers = Vec::new();
    loop {
        let line = line().ok_or("the headers do not end in an empty line")?;
        if line.is_empty() {
            break;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or_else(|| format!("a header without a colon: {}", line.escape_ascii()))?;
        headers.push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
    }
    let body = body(&headers, rest)?.to_vec();
    Ok(Request {
        method: method.to_vec(),
        target: target.to_vec(),
        protocol: protocol.to_vec(),
        headers,
        body,
    })
}

/// What of `rest` is the body: as much as `Content-Length` says, all of it where nothing says how much.
fn body<'a>(headers: &[(Vec<u8>, Vec<u8>)], rest: &'a [u8]) -> Result<&'a [u8], String> {
    let value = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).map(|(_, value)| value)
    };
    if value("transfer-encoding").is_some() {
        return Err("a body with Transfer-Encoding: write it whole, with Content-Length".to_owned());
    }
    let Some(length) = value("content-length") else { return Ok(rest) };
    let length: usize = std::str::from_utf8(length)
        .ok()
        .and_then(|length| length.parse().ok())
        .ok_or("Content-Length is not a number")?;
    rest.get(..length).ok_or_else(|| format!("the body ends after {} of {length} bytes", rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_request_are_the_same() {
        let text = "POST /a?b=c HTTP/1.1\nHost: h\r\nContent-Length: 3\n\na=1\n";
        let line = r#"{"Name":"x","Method":"POST","URI":"/a?b=c","Version":"HTTP/1.1","Headers":[["Host","h"],["Content-Length","3"]],"Body":"YT0x"}"#;
        let request = raw(text.as_bytes()).unwrap();
        assert_eq!((&request.body[..], request.headers.len()), (&b"a=1"[..], 2));
        assert_eq!(request, json(line.as_bytes()).unwrap());
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (text, why) in [
            ("", "neither"),
            ("GET /\n\n", "first line"),
            ("GET / HTTP/1.1\nHost: h\n", "empty line"),
            ("GET / HTTP/1.1\nHost\n\n", "without a colon"),
            ("GET / HTTP/1.1\nContent-Length: 2\n\na", "1 of 2 bytes"),
            ("GET / HTTP/1.1\nContent-Length: x\n\na", "not a number"),
            ("GET / HTTP/1.1\nTransfer-Encoding: chunked\n\n", "Transfer-Encoding"),
        ] {
            assert!(raw(text.as_bytes()).unwrap_err().contains(why), "{text}");
        }
        assert!(json(b"{}").unwrap_err().contains("missing field"));
        assert!(json(b"{\"Method\":\"GET\"}\n{}").is_err());
    }
}
