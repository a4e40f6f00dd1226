//! A request that both engines are shown.

use std::fmt;

use serde::Deserialize;
use veloflux_reference as reference;

/// What stands before the number in a request's protocol; the reference library is told the number alone.
const PROTOCOL: &str = "HTTP/";

/// A request as a firewall is shown it; its bytes may be anything that [`Request::is_tellable`] allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
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

/// A request as tables write it: one character per byte, U+0000 to U+00FF.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default = "get")]
    method: String,
    #[serde(default = "slash")]
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

impl Written {
    /// The request; `None` where a character is no byte.
    pub(super) fn request(&self) -> Option<Request> {
        let field =
            |(name, value): &(String, String)| Some((reference::bytes(name)?, reference::bytes(value)?));
        Some(Request {
            method: reference::bytes(&self.method)?,
            target: reference::bytes(&self.target)?,
            version: "1.1".to_owned(),
            headers: self.headers.iter().map(field).collect::<Option<_>>()?,
            body: reference::bytes(&self.body)?,
        })
    }
}

impl Request {
    /// The protocol as the request line has it.
    pub fn protocol(&self) -> String {
        format!("{PROTOCOL}{}", self.version)
    }

    /// The first value of the header field `name`; empty where there is none.
    pub fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        found.map_or(&b""[..], |(_, value)| value)
    }

    /// Sets the header field `name`, in place of the first of that name if there is one.
    pub fn set_header(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let found = self.headers.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        match found {
            Some((_, old)) => *old = value.into(),
            None => self.headers.push((name.as_bytes().to_vec(), value.into())),
        }
    }

    /// Whether the reference library can be told this request: its head takes texts of C, which a NUL ends, and no
    /// server would show a firewall a head with a line end inside a field or a blank inside method or target.
    pub fn is_tellable(&self) -> bool {
        let word = |bytes: &[u8]| !bytes.is_empty() && !bytes.iter().any(|byte| b"\0\r\n ".contains(byte));
        let line = |bytes: &[u8]| !bytes.iter().any(|byte| b"\0\r\n".contains(byte));
        let field = |(name, value): &(Vec<u8>, Vec<u8>)| {
            word(name) && !name.contains(&b':') && line(value) && value.trim_ascii() == value.as_slice()
        };
        word(&self.method) && word(&self.target) && self.headers.iter().all(field)
    }

    /// The same as the reference library's process reads it.
    pub fn told(&self) -> reference::Request {
        let field = |(name, value): &(Vec<u8>, Vec<u8>)| (reference::text(name), reference::text(value));
        reference::Request {
            method: reference::text(&self.method),
            target: reference::text(&self.target),
            version: self.version.clone(),
            headers: self.headers.iter().map(field).collect(),
            body: reference::text(&self.body),
        }
    }
}

/// For people: one line per line of the message, what is not printable escaped.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.method.escape_ascii(), self.target.escape_ascii(), self.protocol())?;
        for (name, value) in &self.headers {
            writeln!(f, "{}: {}", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(f, "\n{}", self.body.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_c_would_cut_cannot_be_told() {
        let request = Written { method: get(), target: slash(), headers: Vec::new(), body: "\0".into() };
        let request = request.request().unwrap();
        assert!(request.is_tellable());
        assert!(!Request { target: b"/\0".to_vec(), ..request.clone() }.is_tellable());
        assert!(!Request { headers: vec![(b"A".to_vec(), b"b\n".to_vec())], ..request }.is_tellable());
    }
}
