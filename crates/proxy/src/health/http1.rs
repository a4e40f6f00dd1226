//! A check's GET over HTTP/1.1 (RFC 9112), on a connection of its own.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::probe::{MAX_BODY_BYTES, ProbeError, Question, Reply};

pub(super) const USER_AGENT: &str = "veloflux-health";

/// Longest response head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Most bytes read for one check: head, body, and room for the framing of chunks.
const MAX_RESPONSE_BYTES: usize = MAX_HEAD_BYTES + 2 * MAX_BODY_BYTES;

pub(super) async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &Question<'_>,
) -> Result<Reply, ProbeError> {
    const READ_BYTES: usize = 8 * 1024;
    let Question { host, path, .. } = question;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut received = Vec::with_capacity(READ_BYTES);
    loop {
        let ended = stream.read_buf(&mut received).await? == 0;
        if let Some(reply) = parse(&received, ended || received.len() >= MAX_RESPONSE_BYTES, question)? {
            return Ok(reply);
        }
    }
}

/// The reply, if `received` holds enough of it; `ended`: no more will come, or no more is read.
fn parse(received: &[u8], ended: bool, question: &Question<'_>) -> Result<Option<Reply>, ProbeError> {
    let mut unread = received;
    let (status, head, rest) = loop {
        let Some(head_len) = memchr::memmem::find(unread, b"\r\n\r\n") else {
            return if ended || unread.len() > MAX_HEAD_BYTES {
                Err(ProbeError::Protocol("no complete response head"))
            } else {
                Ok(None)
            };
        };
        let (head, rest) = (&unread[..head_len], &unread[head_len + 4..]);
        let status = status(head).ok_or(ProbeError::Protocol("not an HTTP/1 response"))?;
        // Interim responses (RFC 9110 section 15.2) say nothing.
        if status >= 200 {
            break (status, head, rest);
        }
        unread = rest;
    };
    if !question.wants_body || matches!(status, 204 | 304) {
        return Ok(Some(Reply { status, body: Vec::new() }));
    }
    let (mut body, complete) = if field(head, b"transfer-encoding").is_some() {
        dechunk(rest).ok_or(ProbeError::Protocol("malformed chunks"))?
    } else if let Some(length) = field(head, b"content-length") {
        let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
        let length: usize = length.ok_or(ProbeError::Protocol("malformed Content-Length"))?;
        (rest[..rest.len().min(length)].to_vec(), rest.len() >= length)
    } else {
        (rest.to_vec(), ended)
    };
    if complete || body.len() >= MAX_BODY_BYTES {
        body.truncate(MAX_BODY_BYTES);
        return Ok(Some(Reply { status, body }));
    }
    if ended { Err(ProbeError::Protocol("the body was cut short")) } else { Ok(None) }
}

/// `HTTP/1.x NNN`, and then nothing or a blank.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (&[minor, blank], rest) = rest.split_first_chunk()?;
    let (digits, rest) = rest.split_first_chunk::<3>()?;
    let separated = blank == b' ' && matches!(rest.first(), None | Some(b' ' | b'\r'));
    if !minor.is_ascii_digit() || !separated || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (status >= 100).then_some(status)
}

/// The first value of a header field.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let at = memchr::memchr(b':', line)?;
        line[..at].eq_ignore_ascii_case(name).then(|| line[at + 1..].trim_ascii())
    })
}

/// The data of the chunks received so far (RFC 9112 section 7.1), and whether the last one is among them. `None`:
/// malformed.
fn dechunk(mut rest: &[u8]) -> Option<(Vec<u8>, bool)> {
    const MAX_SIZE_LINE: usize = 256;
    let mut body = Vec::new();
    loop {
        let Some(line_len) = memchr::memmem::find(&rest[..rest.len().min(MAX_SIZE_LINE)], b"\r\n") else {
            return (rest.len() < MAX_SIZE_LINE).then_some((body, false));
        };
        let size = rest[..line_len].split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some((body, true));
        }
        rest = &rest[line_len + 2..];
        body.extend_from_slice(&rest[..rest.len().min(size)]);
        let Some(after) = rest.get(size..) else { return Some((body, false)) };
        match after {
            [b'\r', b'\n', next @ ..] => rest = next,
            [] | [b'\r'] => return Some((body, false)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WANTS_BODY: Question<'_> = Question { scheme: "http", host: "h", path: "/", wants_body: true };

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.into() }
    }

    fn whole(response: &str) -> Reply {
        // Whatever its pieces, a response reads the same, and is not taken for whole too early.
        let bytes = response.as_bytes();
        let first = (0..bytes.len()).find_map(|end| parse(&bytes[..end], false, &WANTS_BODY).unwrap());
        let last = parse(bytes, true, &WANTS_BODY).unwrap().unwrap();
        if let Some(first) = first {
            assert_eq!(first, last);
        }
        last
    }

    #[test]
    fn bodies_in_every_framing() {
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), reply(200, "ok"));
        assert_eq!(whole("HTTP/1.0 200 OK\r\n\r\nto the end"), reply(200, "to the end"));
        let chunked = "HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), reply(503, "abc0123456789"));
        assert_eq!(whole("HTTP/1.1 204 none\r\n\r\n"), reply(204, ""));
        assert_eq!(whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\nx"), reply(200, "x"));
    }

    #[test]
    fn the_head_is_enough_where_the_body_is_not_wanted() {
        let question = Question { wants_body: false, ..WANTS_BODY };
        let parsed = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab", false, &question).unwrap();
        assert_eq!(parsed, Some(reply(200, "")));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert!(parse(bad.as_bytes(), true, &WANTS_BODY).is_err(), "{bad:?}");
        }
        assert!(parse(&vec![b'a'; MAX_HEAD_BYTES + 1], false, &WANTS_BODY).is_err());
    }

    #[test]
    fn many_interim_responses_are_survived() {
        let response = format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 100\r\n\r\n".repeat(9_000));
        assert_eq!(parse(response.as_bytes(), true, &WANTS_BODY).unwrap(), Some(reply(200, "")));
    }

    #[test]
    fn a_long_body_is_cut() {
        let response = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY_BYTES + 5));
        let reply = parse(response.as_bytes(), false, &WANTS_BODY).unwrap().unwrap();
        assert_eq!(reply.body.len(), MAX_BODY_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(start in "(HTTP/1\\.1 200 OK\r\n)?((Transfer-Encoding: chunked|Content-Length: 5)\r\n)?(\r\n)?", rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [start.as_bytes(), &rest].concat();
            let _ = parse(&bytes, true, &WANTS_BODY);
            let _ = parse(&bytes, false, &WANTS_BODY);
        }
    }
}
