//! Changes to a whole request that some suite holds.

use fastrand::Rng;

use super::encode::{changed, choose, damage};
use super::place::line;
use super::request::Request;

const TYPES: &[&str] = &[
    "application/x-www-form-urlencoded",
    "application/json",
    "text/xml",
    "multipart/form-data; boundary=x",
    "text/plain",
    "APPLICATION/JSON",
    "application/x-www-form-urlencoded; charset=utf-7",
    "application/json;charset=ibm037",
    "",
    "multipart/form-data",
    "application/xml, text/html",
    "multipart/form-data; boundary=\"x\"; boundary=y",
];
const METHODS: &[&str] = &["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "get", "PROPFIND", "CONNECT"];
const VERSIONS: &[&str] = &["1.0", "1.1", "2", "0.9", "3.0", "1.2"];

/// Changes `request` once, in one of its parts.
pub(super) fn once(rng: &mut Rng, request: &mut Request, payload: &[u8]) {
    match rng.u8(..14) {
        0 | 1 => {
            let mut target = request.target.clone();
            damage(rng, &mut target);
            request.target = word(&target);
        }
        2 => request.target = word(&with_changed_piece(rng, &request.target)),
        3..6 => damage(rng, &mut request.body),
        6 => request.body = with_changed_piece(rng, &request.body),
        7 => {
            if let Some(at) = some_header(rng, request) {
                let mut value = request.headers[at].1.clone();
                damage(rng, &mut value);
                request.headers[at].1 = line(&value);
            }
        }
        8 => {
            if let Some(at) = some_header(rng, request) {
                request.headers[at].1 = line(&changed(rng, &request.headers[at].1.clone(), 1));
            }
        }
        9 => {
            if let Some(at) = some_header(rng, request) {
                let twin = (request.headers[at].0.to_ascii_uppercase(), line(payload));
                request.headers.push(twin);
            }
        }
        10 => {
            if let Some(at) = some_header(rng, request) {
                request.headers.remove(at);
            }
        }
        11 => request.set_header("Content-Type", *choose(rng, TYPES)),
        12 => {
            request.method = choose(rng, METHODS).as_bytes().to_vec();
            request.version = (*choose(rng, VERSIONS)).to_owned();
        }
        _ => {
            let separator = if request.target.contains(&b'?') { &b"&q="[..] } else { &b"?q="[..] };
            request.target = word(&[&request.target, separator, payload].concat());
        }
    }
}

/// `bytes` without what would end a word of the request line.
fn word(bytes: &[u8]) -> Vec<u8> {
    let kept: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\0\r\n ".contains(byte)).collect();
    if kept.is_empty() { b"/".to_vec() } else { kept }
}

fn with_changed_piece(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let start = rng.usize(..=bytes.len());
    let end = (start + rng.usize(..60)).min(bytes.len());
    let piece = changed(rng, &bytes[start..end], 1);
    [&bytes[..start], &piece, &bytes[end..]].concat()
}

fn some_header(rng: &mut Rng, request: &Request) -> Option<usize> {
    (!request.headers.is_empty()).then(|| rng.usize(..request.headers.len()))
}
