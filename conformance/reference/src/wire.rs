//! The lines that are spoken with an engine: JSON, in which a string of a request holds one character per byte, U+0000
//! to U+00FF, so that any bytes can be told.

use serde::{Deserialize, Serialize};

/// The first line: who answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greeting {
    /// Name and version, as in `ModSecurity v3.0.15 (Linux)`.
    pub engine: String,
}

/// A request to judge. Build its strings with [`text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method, as in `GET`.
    pub method: String,
    /// The target, as in the request line.
    pub target: String,
    /// The version's number alone, as in `1.1`.
    pub version: String,
    /// Names and values of header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: String,
}

/// What an engine found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Ids of the rules that matched and log, in the order in which they did; repeated when they matched again.
    pub matched: Vec<u64>,
    /// The status with which it refused; `None`: it passed.
    pub status: Option<u16>,
    /// The rule that refused, where it logs.
    pub rule: Option<u64>,
    /// CPU time of the judging thread for the whole transaction, in nanoseconds.
    pub cpu_ns: u64,
}

/// An engine's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// It was judged.
    Judged(Judged),
    /// The engine could not judge it.
    Failed {
        /// What it said.
        error: String,
    },
}

/// `bytes` as a string of a [`Request`].
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a string of a [`Request`], the reverse of [`text`]; `None` where a character is no byte.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(&text(&all)), Some(all));
        assert_eq!(bytes("\u{100}"), None);
    }

    #[test]
    fn answers_are_told_apart() {
        let judged = r#"{"matched":[942100,949110],"status":403,"rule":949110,"cpu_ns":7}"#;
        let Ok(Answer::Judged(judged)) = serde_json::from_str(judged) else { panic!("not judged") };
        assert_eq!((judged.status, judged.matched.len()), (Some(403), 2));
        let failed = serde_json::from_str::<Answer>(r#"{"error":"no"}"#);
        assert!(matches!(failed, Ok(Answer::Failed { error }) if error == "no"));
    }
}
