//! A grammar of whole requests: a browser's head, and values in the places where rules look.

use fastrand::Rng;

use super::encode::{choose, damage, form};
use super::request::Request;

/// Header fields that a value may be put into.
const HEADERS: &[&str] = &[
    "User-Agent",
    "Referer",
    "Accept",
    "Accept-Language",
    "Accept-Encoding",
    "X-Forwarded-For",
    "X-Custom",
    "Range",
    "Cache-Control",
    "Origin",
    "Authorization",
    "Content-Type",
    "Accept-Charset",
    "Host",
    "If-None-Match",
    "Via",
    "X-Original-URL",
    "Content-Encoding",
    "Expect",
    "X.Filename",
];
const METHODS: &[&str] = &["POST", "POST", "POST", "PUT", "PATCH", "GET", "DELETE"];
const NAMES: &[&str] =
    &["q", "id", "a[b]", "user.name", "x", "file", "data", "$a", "a b", "json", "", "PHPSESSID"];
const PATHS: &[&str] = &[
    "/",
    "/index.php",
    "/a/b/../c",
    "/api/v1/items",
    "/.git/config",
    "/x.jsp;a=b",
    "/wp-admin/",
    "/%2e%2e/x",
];
const JSON: &[&str] =
    &["application/json", "application/json; charset=utf-8", "text/json", "application/vnd.api+json"];
const XML: &[&str] = &["text/xml", "application/xml", "application/soap+xml; charset=utf-8"];
const BOUNDARIES: &[&str] = &["----WebKitFormBoundaryABC", "x", "\"quoted\"", "b=c", "0000", "a b"];

/// What a browser sends.
fn page() -> Request {
    let headers = [
        ("Host", "shop.example.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
        ("Accept", "text/html,*/*;q=0.8"),
    ];
    Request {
        method: b"GET".to_vec(),
        target: b"/".to_vec(),
        version: "1.1".to_owned(),
        headers: headers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec(),
        body: Vec::new(),
    }
}

/// A request with `values` in it, each in a place of its own choice.
pub(super) fn request(rng: &mut Rng, values: &[Vec<u8>]) -> Request {
    let mut request = page();
    request.target = choose(rng, PATHS).as_bytes().to_vec();
    let (body, head): (Vec<_>, Vec<_>) = values.iter().partition(|_| rng.u8(..3) > 0);
    for value in head {
        in_head(rng, &mut request, value);
    }
    if !body.is_empty() {
        request.method = choose(rng, METHODS).as_bytes().to_vec();
        in_body(rng, &mut request, &body);
        if rng.u8(..4) == 0 {
            damage(rng, &mut request.body);
        }
        let length = request.body.len();
        if rng.u8(..8) > 0 {
            request.set_header("Content-Length", length.to_string());
        }
    }
    request
}

fn in_head(rng: &mut Rng, request: &mut Request, value: &[u8]) {
    let name = choose(rng, NAMES).as_bytes();
    match rng.u8(..10) {
        0..4 => argument(rng, &mut request.target, name, value),
        4 => argument(rng, &mut request.target, value, b"1"),
        5 => {
            request.target.push(b'/');
            request.target.extend(form(value));
        }
        6 | 7 => {
            let header = *choose(rng, HEADERS);
            request.set_header(header, line(value));
        }
        8 => {
            let name = request.headers.len();
            request.headers.push((format!("X-{name}").into_bytes(), line(value)));
        }
        _ => {
            let cookie =
                [if rng.bool() { b"sid" } else { name }, b"=", &line(value)[..], b"; b=", name].concat();
            request.set_header("Cookie", line(&cookie));
        }
    }
}

fn argument(rng: &mut Rng, target: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    target.push(if target.contains(&b'?') { b'&' } else { b'?' });
    target.extend(form(name));
    target.push(b'=');
    // Some values are put in raw, with whatever they hold but what would end the request line.
    target.extend(if rng.bool() {
        form(value)
    } else {
        line(value).into_iter().filter(|byte| *byte != b' ').collect()
    });
}

/// `value` without what a header cannot hold.
pub(super) fn line(value: &[u8]) -> Vec<u8> {
    let kept: Vec<u8> = value.iter().copied().filter(|byte| !b"\0\r\n".contains(byte)).collect();
    kept.trim_ascii().to_vec()
}

fn in_body(rng: &mut Rng, request: &mut Request, values: &[&Vec<u8>]) {
    let (content_type, body) = match rng.u8(..12) {
        0..4 => ("application/x-www-form-urlencoded".to_owned(), pairs(rng, values)),
        4..7 => ((*choose(rng, JSON)).to_owned(), json(rng, values)),
        7 | 8 => ((*choose(rng, XML)).to_owned(), xml(rng, values)),
        9 | 10 => {
            let boundary = *choose(rng, BOUNDARIES);
            let delimiter = boundary.trim_matches('"');
            (format!("multipart/form-data; boundary={boundary}"), multipart(rng, delimiter, values))
        }
        _ => (
            (*choose(rng, &["text/plain", "application/octet-stream", "", "image/png"])).to_owned(),
            values.iter().flat_map(|value| value.iter().copied()).collect(),
        ),
    };
    if !content_type.is_empty() {
        request.set_header("Content-Type", content_type);
    }
    request.body = body;
}

fn pairs(rng: &mut Rng, values: &[&Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        if !body.is_empty() {
            body.push(if rng.u8(..8) == 0 { b';' } else { b'&' });
        }
        let name = choose(rng, NAMES).as_bytes();
        let (name, value) =
            if rng.u8(..6) == 0 { (value.as_slice(), name) } else { (name, value.as_slice()) };
        body.extend(form(name));
        body.push(b'=');
        body.extend(if rng.u8(..4) == 0 { value.to_vec() } else { form(value) });
    }
    body
}

fn json(rng: &mut Rng, values: &[&Vec<u8>]) -> Vec<u8> {
    let mut members = Vec::new();
    for value in values {
        let name = choose(rng, NAMES).as_bytes();
        let text = json_text(rng, value);
        let (name, text) =
            if rng.u8(..5) == 0 { (text, json_text(rng, name)) } else { (json_text(rng, name), text) };
        let text = match rng.u8(..6) {
            0 => [b"[1,", &text[..], b",null]"].concat(),
            1 => [b"{\"n\":", &text[..], b",\"e\":{}}"].concat(),
            2 => [b"[[", &text[..], b"],true,-1.5e3]"].concat(),
            _ => text,
        };
        members.push([&name[..], b":", &text].concat());
    }
    let members = members.join(&b", "[..]);
    if rng.u8(..6) == 0 {
        [b"[{", &members[..], b"}]\n"].concat()
    } else {
        [b"{", &members[..], b"}"].concat()
    }
}

fn json_text(rng: &mut Rng, value: &[u8]) -> Vec<u8> {
    let mut out = b"\"".to_vec();
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            0..=0x1f => out.extend(format!("\\u{byte:04x}").into_bytes()),
            _ if rng.u8(..20) == 0 => out.extend(format!("\\u{byte:04X}").into_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

fn xml(rng: &mut Rng, values: &[&Vec<u8>]) -> Vec<u8> {
    let mut body = if rng.bool() { b"<?xml version=\"1.0\"?>".to_vec() } else { Vec::new() };
    body.extend(b"<r>");
    for value in values {
        let text: Vec<u8> = value
            .iter()
            .flat_map(|byte| match byte {
                b'<' => b"&lt;".to_vec(),
                b'&' => b"&amp;".to_vec(),
                b'"' => b"&quot;".to_vec(),
                byte => vec![*byte],
            })
            .collect();
        match rng.u8(..5) {
            0 => body.extend([b"<a b=\"", &text[..], b"\"/>"].concat()),
            1 => body.extend([b"<a><![CDATA[", &value[..], b"]]></a>"].concat()),
            2 => body.extend([b"<n:a xmlns:n='urn:x' n:b='1'>", &text[..], b"<!-- c --> t</n:a>"].concat()),
            _ => body.extend([b"<a> ", &text[..], b"</a>\n"].concat()),
        }
    }
    body.extend(b"</r>");
    body
}

fn multipart(rng: &mut Rng, boundary: &str, values: &[&Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        let name = *choose(rng, NAMES);
        body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"").into_bytes());
        match rng.u8(..5) {
            0 => body
                .extend([name.as_bytes(), b"\"; filename=\"", &line(value), b"\"\r\n\r\ncontent"].concat()),
            1 => body.extend(
                [name.as_bytes(), b"\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n", &value[..]]
                    .concat(),
            ),
            2 => body.extend([&line(value)[..], b"\"\r\n\r\n1"].concat()),
            3 => body.extend([name.as_bytes(), b"\"\r\nContent-Type: ", &line(value), b"\r\n\r\n1"].concat()),
            _ => body.extend([name.as_bytes(), b"\"\r\n\r\n", &value[..]].concat()),
        }
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    body
}
