//! The backend that the cases assume: it answers what the request tells it to.
//!
//! Behaviour of the CRS project's test backend as its description says: `POST /reflect` with a JSON document
//! answers with the document's `status`, `headers` and `body` (or `encodedBody`, in Base64); everything else is
//! answered 200 without a body.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What the backend answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, `Content-Length` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wish {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: String,
    encoded_body: String,
}

/// The answer to a request.
pub fn answer(method: &[u8], target: &[u8], body: &[u8]) -> Answer {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if method != b"POST" || !(path == b"/reflect" || path.starts_with(b"/reflect/")) {
        return build(200, BTreeMap::new(), Vec::new());
    }
    match serde_json::from_slice::<Wish>(body) {
        Ok(wish) => reflect(wish),
        Err(error) => refuse(&error.to_string()),
    }
}

fn reflect(wish: Wish) -> Answer {
    let body = if wish.body.is_empty() {
        match STANDARD.decode(&wish.encoded_body) {
            Ok(body) => body,
            Err(error) => return refuse(&error.to_string()),
        }
    } else {
        wish.body.into_bytes()
    };
    match wish.status.unwrap_or(200) {
        status @ 200..600 => build(status, wish.headers, body),
        status => refuse(&format!("status {status} cannot be answered")),
    }
}

fn refuse(why: &str) -> Answer {
    build(400, BTreeMap::new(), why.as_bytes().to_vec())
}

fn build(status: u16, wished: BTreeMap<String, String>, body: Vec<u8>) -> Answer {
    let mut headers: Vec<_> =
        wished.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length")).collect();
    if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Type")) {
        headers.push(("Content-Type".into(), "text/plain; charset=utf-8".into()));
    }
    headers.push(("Content-Length".into(), body.len().to_string()));
    Answer { status, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_answered() {
        let wish = br#"{"status": 503, "headers": {"Content-Type": "text/html"}, "body": "sorry"}"#;
        let answer = answer(b"POST", b"/reflect?x", wish);
        assert_eq!((answer.status, &answer.body[..]), (503, &b"sorry"[..]));
        let expected = [("Content-Type", "text/html"), ("Content-Length", "5")];
        assert_eq!(answer.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_encoded_body_is_decoded() {
        assert_eq!(answer(b"POST", b"/reflect", br#"{"encodedBody": "AAEC"}"#).body, [0, 1, 2]);
    }

    #[test]
    fn everything_else_is_an_empty_200() {
        for (method, target) in [(&b"GET"[..], &b"/reflect"[..]), (b"POST", b"/reflection"), (b"PUT", b"/")] {
            let answer = answer(method, target, b"{}");
            assert_eq!((answer.status, answer.body.len()), (200, 0));
        }
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        for wish in [&br#"{"status": 99}"#[..], br#"{"encodedBody": "*"}"#, b"no json"] {
            assert_eq!(answer(b"POST", b"/reflect", wish).status, 400);
        }
    }
}
