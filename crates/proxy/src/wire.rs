//! The HTTP/1 readers, and the readers of limits' keys and of browsers' reports, on bytes alone, one request at a time,
//! for fuzzing and measuring them. A connection feeds the same readers as bytes arrive, which [`read_request`] does too,
//! in pieces of any size.

use std::sync::LazyLock;

use veloflux_snapshot::limit::KeyPart;

use crate::h1::body::{Decoder, Part};
use crate::h1::parse::{self, HeadLimits, HeadScanner};
use crate::head::RequestHead;
pub use crate::headers::{MAX_REPORTS, Report, read_reports};
use crate::limit::{KeyHash, Subject};

/// Bounds of a head here, small so that they are met.
const LIMITS: HeadLimits = HeadLimits { bytes: 2_048, target_bytes: 1_024, fields: 32 };

/// What bytes from a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// So far sound, but not all of it.
    Incomplete,
    /// A whole request.
    Request(Request),
    /// No request that is served: malformed, ambiguous or beyond a bound.
    Refused,
}

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Vec<u8>,
    /// The request target as received.
    pub target: Vec<u8>,
    /// Host and optional port.
    pub authority: Vec<u8>,
    /// Names and values of the header fields, in their order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// How many bytes the request took; what follows is the next one's.
    pub consumed: usize,
}

/// Reads the request at the start of `bytes`, which arrive `piece` (at least one) at a time.
pub fn read_request(bytes: &[u8], piece: usize) -> Reading {
    let mut scanner = HeadScanner::default();
    let mut arrived = 0;
    let head_end = loop {
        arrived = bytes.len().min(arrived + piece.max(1));
        match scanner.scan(&bytes[..arrived], &LIMITS) {
            Err(_) => return Reading::Refused,
            Ok(Some(end)) => break end,
            Ok(None) if arrived == bytes.len() => return Reading::Incomplete,
            Ok(None) => {}
        }
    };
    let mut head = RequestHead::default();
    if parse::request(&bytes[..head_end], &LIMITS, &mut head).is_err() {
        return Reading::Refused;
    }

    let mut decoder = Decoder::new(head.body);
    let (mut body, mut consumed) = (Vec::new(), head_end);
    loop {
        let Ok((skip, part)) = decoder.look(&bytes[consumed..arrived]) else { return Reading::Refused };
        consumed += skip;
        match part {
            Part::End => break,
            Part::Data(n) => {
                body.extend_from_slice(&bytes[consumed..consumed + n]);
                decoder.took(n);
                consumed += n;
            }
            Part::More if arrived == bytes.len() => return Reading::Incomplete,
            Part::More => arrived = bytes.len().min(arrived + piece.max(1)),
        }
    }
    Reading::Request(Request {
        method: head.method().to_vec(),
        target: head.target().to_vec(),
        authority: head.authority().to_vec(),
        fields: head.fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec())).collect(),
        body,
        consumed,
    })
}

/// Where a request has a value that a limit's key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyIn {
    /// A parameter of the query.
    Query,
    /// A cookie.
    Cookie,
}

/// Whether two requests with these queries or Cookie fields are counted together by a limit whose key is what is
/// called `name` there.
pub fn are_counted_together(key_in: KeyIn, name: &str, one: &[u8], other: &[u8]) -> bool {
    static HASH: LazyLock<KeyHash> = LazyLock::new(KeyHash::default);
    let part = match key_in {
        KeyIn::Query => KeyPart::ApiKey { header: None, query: Some(name.into()) },
        KeyIn::Cookie => KeyPart::Cookie(name.into()),
    };
    let [one, other] = [one, other].map(|text| {
        let mut head = RequestHead::default();
        match key_in {
            KeyIn::Query => head.query = head.fields.store(text),
            KeyIn::Cookie => head.fields.push(b"Cookie", text),
        }
        let client = std::net::Ipv4Addr::LOCALHOST.into();
        let subject = Subject { head: &head, path: b"/", readings: &[], route: None, client };
        HASH.key(0, "rule", std::slice::from_ref(&part), &subject)
    });
    one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_the_same_however_it_arrives() {
        let first =
            b"POST /a?b HTTP/1.1\r\nHost: x.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let bytes = [&first[..], b"GET / HTTP/1.1\r\n"].concat();
        for piece in 1..bytes.len() {
            let Reading::Request(request) = read_request(&bytes, piece) else { panic!("{piece}") };
            assert_eq!((&request.target[..], &request.authority[..]), (&b"/a?b"[..], &b"x.test"[..]));
            assert_eq!(
                (&request.body[..], request.consumed, request.fields.len()),
                (&b"abc"[..], first.len(), 2)
            );
            assert_eq!(read_request(&first[..first.len() - 1], piece), Reading::Incomplete);
            assert_eq!(read_request(b"GET / HTTP/1.1\nHost: x\n\n", piece), Reading::Refused);
        }
    }
}
