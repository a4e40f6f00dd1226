//! What a case sends, byte for byte.
//!
//! Follows the observable behaviour of the go-ftw runner, for which the cases are written: defaults of the request
//! line, header completion, and its best-effort encoding of form bodies.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::case::Input;

const FORM: &str = "application/x-www-form-urlencoded";

/// An input that cannot be turned into bytes.
#[derive(Debug)]
pub enum RequestError {
    /// `encoded_request` is not Base64.
    Encoding(base64::DecodeError),
    /// `data` holds a template that this runner does not know.
    Template(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(error) => write!(f, "encoded_request: {error}"),
            Self::Template(template) => write!(f, "data: unknown template {template:?}"),
        }
    }
}

impl std::error::Error for RequestError {}

/// The bytes that `input` puts on the wire.
pub fn bytes(input: &Input) -> Result<Vec<u8>, RequestError> {
    if let Some(encoded) = &input.encoded_request {
        let encoded: String = encoded.split_ascii_whitespace().collect();
        return STANDARD.decode(encoded).map_err(RequestError::Encoding);
    }
    let method = input.method.as_deref().unwrap_or("GET");
    let mut headers = Headers::of(input);
    let mut body = input.data.as_deref().map(expand_templates).transpose()?.unwrap_or_default();

    let complete = input.autocomplete_headers.unwrap_or(true);
    if complete && !body.is_empty() {
        if !headers.has("Content-Type") {
            headers.add("Content-Type", FORM);
        }
        if headers.any("Content-Type", |value| value.eq_ignore_ascii_case(FORM)) {
            body = encode_form(body);
        }
    }
    // Parts end in CRLF (RFC 2046 section 5.1.1), block scalars of YAML in LF.
    if headers.any("Content-Type", |value| value.to_ascii_lowercase().contains("multipart/form-data;")) {
        body = body.replace('\n', "\r\n");
    }
    if complete {
        if !headers.has("Connection") {
            headers.add("Connection", "close");
        }
        if !headers.has("Content-Length") && (!body.is_empty() || may_have_body(method)) {
            headers.add("Content-Length", &body.len().to_string());
        }
    }

    let target = input.uri.as_deref().unwrap_or("/");
    let version = input.version.as_deref().unwrap_or("HTTP/1.1");
    let mut bytes = format!("{method} {target} {version}\r\n").into_bytes();
    for (name, value) in &headers.0 {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    Ok(bytes)
}

/// Header fields in the order in which they are sent.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn of(input: &Input) -> Self {
        let fields = input.headers.iter().flatten();
        Self(fields.map(|(name, value)| (name.clone(), value.clone().unwrap_or_default())).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.any(name, |_| true)
    }

    fn any(&self, name: &str, test: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(found, value)| found.eq_ignore_ascii_case(name) && test(value))
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

/// Whether the runner announces a body of zero bytes for `method`. It looks for parts of the name, so that a case
/// with a made-up method such as `APUTB` is sent the same here.
fn may_have_body(method: &str) -> bool {
    method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE")
}

/// Percent-encodes names and values of a form body that has no encoding yet; one that has stays as it is. An empty
/// last pair is dropped.
fn encode_form(body: String) -> String {
    if body.contains(['%', '+']) {
        return body;
    }
    let pairs = body.strip_suffix('&').unwrap_or(&body).split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", encode(name), encode(value)),
        None => encode(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// Expands `{{ "x" | repeat N }}`, the one template that cases use.
fn expand_templates(data: &str) -> Result<String, RequestError> {
    let mut out = String::with_capacity(data.len());
    let mut rest = data;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let (template, after) = rest[start + 2..]
            .split_once("}}")
            .ok_or_else(|| RequestError::Template(rest[start..].chars().take(60).collect()))?;
        out.push_str(&expand(template).ok_or_else(|| RequestError::Template(template.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn expand(template: &str) -> Option<String> {
    let (text, count) = template.split_once("| repeat ")?;
    let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    let count = count.trim().parse().ok()?;
    Some(text.repeat(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(input: &str) -> String {
        let input: Input = serde_saphyr::from_str(input).unwrap();
        String::from_utf8(bytes(&input).unwrap()).unwrap()
    }

    #[test]
    fn defaults_make_a_whole_request() {
        assert_eq!(
            sent("headers: {Host: localhost}"),
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_announced_typed_and_encoded() {
        let bytes = sent("{method: POST, headers: {Host: h}, data: 'a=b c&d=<e>&f'}");
        assert!(bytes.contains("\r\nContent-Type: application/x-www-form-urlencoded\r\n"), "{bytes}");
        assert!(bytes.contains("\r\nContent-Length: 17\r\n"), "{bytes}");
        assert!(bytes.ends_with("\r\n\r\na=b+c&d=%3Ce%3E&f"), "{bytes}");
    }

    #[test]
    fn a_body_with_escapes_or_another_type_stays_as_it_is() {
        assert!(sent("{method: POST, data: 'a=%20<b>'}").ends_with("\r\n\r\na=%20<b>"));
        let json = sent("{method: POST, headers: {content-type: application/json}, data: '{\"a\": 1}'}");
        assert!(json.ends_with("\r\n\r\n{\"a\": 1}"), "{json}");
    }

    #[test]
    fn nothing_is_added_where_the_case_says_so() {
        let bytes = sent("{method: POST, autocomplete_headers: false, headers: {Host: h}, data: 'a=<b>'}");
        assert_eq!(bytes, "POST / HTTP/1.1\r\nHost: h\r\n\r\na=<b>");
    }

    #[test]
    fn multipart_lines_end_in_crlf() {
        let input = "{method: POST, headers: {Content-Type: 'multipart/form-data; boundary=x'}, data: \"--x\\n\\n1\"}";
        let bytes = sent(input);
        assert!(bytes.ends_with("\r\n\r\n--x\r\n\r\n1"), "{bytes}");
        assert!(bytes.contains("Content-Length: 8\r\n"), "{bytes}");
    }

    #[test]
    fn an_empty_body_is_announced_for_methods_that_have_one() {
        assert!(sent("{method: PUT}").contains("Content-Length: 0\r\n"));
        assert!(!sent("{method: HEAD}").contains("Content-Length"));
    }

    #[test]
    fn templates_expand_and_unknown_ones_are_errors() {
        assert!(
            sent("{method: POST, headers: {Content-Type: text/plain}, data: 'a{{ \"xy\" | repeat 3 }}b'}")
                .ends_with("axyxyxyb")
        );
        let input = Input { data: Some("{{ now }}".into()), ..Input::default() };
        assert!(matches!(bytes(&input), Err(RequestError::Template(_))));
    }

    #[test]
    fn a_whole_request_is_sent_as_it_is() {
        assert_eq!(sent("encoded_request: 'R0VUIC8gSFRUUC8wLjkKCg=='"), "GET / HTTP/0.9\n\n");
        assert_eq!(sent("encoded_request: |-\n  R0VUIC8g\n  SFRUUC8wLjkKCg=="), "GET / HTTP/0.9\n\n");
    }
}
