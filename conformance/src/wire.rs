//! HTTP/1 messages, read leniently.
//!
//! The engine suite hands a case's bytes to the firewall without a server in between, and some cases hold what a
//! strict server refuses. This reader takes what can be taken at all; what no server could make a request of is
//! `None`.

/// A header field's name and value.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// A request as a firewall is shown it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// As sent.
    pub method: &'a [u8],
    /// As sent.
    pub target: &'a [u8],
    /// As sent: `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// In order; values without surrounding blanks.
    pub headers: Vec<Field<'a>>,
    /// With its transfer coding undone.
    pub body: Vec<u8>,
}

/// Reads the request at the start of `bytes`. A length beside a transfer coding is dropped, as RFC 9112 section 6.3
/// demands of whoever passes the request on.
pub fn request(bytes: &[u8]) -> Option<Request<'_>> {
    let (head, rest) = split_head(bytes)?;
    let mut lines = lines(head);
    let mut parts = lines.next()?.splitn(3, |byte| *byte == b' ');
    let (method, target, protocol) = (parts.next()?, parts.next()?, parts.next()?);
    let mut headers = lines.map(field).collect::<Option<Vec<_>>>()?;
    let body = body(&headers, rest)?;
    if header(&headers, "Transfer-Encoding").is_some() {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"Content-Length"));
    }
    (!method.is_empty() && !target.is_empty()).then_some(Request { method, target, protocol, headers, body })
}

/// The first value of the header field `name`.
pub fn header<'a>(headers: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
}

/// Splits a message after the empty line that ends its head.
pub fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[start..start + length];
        if line.is_empty() || line == b"\r" {
            return Some((&bytes[..start], &bytes[start + length + 1..]));
        }
        start += length + 1;
    }
    None
}

/// The lines of a head, without their ends.
pub fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// Reads one header line.
pub fn field(line: &[u8]) -> Option<Field<'_>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    (colon > 0).then(|| (&line[..colon], line[colon + 1..].trim_ascii()))
}

fn body(headers: &[Field<'_>], rest: &[u8]) -> Option<Vec<u8>> {
    if let Some(coding) = header(headers, "Transfer-Encoding") {
        let (body, _) = dechunk(rest).filter(|_| coding.eq_ignore_ascii_case(b"chunked"))?;
        return Some(body);
    }
    let Some(length) = header(headers, "Content-Length") else { return Some(Vec::new()) };
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    Some(rest[..length.min(rest.len())].to_vec())
}

/// Undoes the chunked coding (RFC 9112 section 7.1): the body, and the length of what held it, trailer fields
/// included. `None` where it is broken or cut short.
pub fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut rest = bytes;
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            let (_, after) = split_head(rest)?;
            return Some((body, bytes.len() - after.len()));
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        let bytes = b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nEmpty:\r\n\r\nabcdef";
        let request = request(bytes).unwrap();
        assert_eq!(
            (request.method, request.target, request.protocol),
            (&b"POST"[..], &b"/a?b"[..], &b"HTTP/1.1"[..])
        );
        assert_eq!(header(&request.headers, "host"), Some(&b"h"[..]));
        assert_eq!(header(&request.headers, "empty"), Some(&b""[..]));
        assert_eq!(request.body, b"abc");
    }

    #[test]
    fn a_length_beside_a_coding_is_dropped() {
        let bytes =
            b"POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
        let request = request(bytes).unwrap();
        assert_eq!((&request.body[..], header(&request.headers, "Content-Length")), (&b"x"[..], None));
    }

    #[test]
    fn blanks_inside_a_target_stay_with_the_protocol() {
        let parsed = request(b"GET /a b HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((parsed.target, parsed.protocol), (&b"/a"[..], &b"b HTTP/1.1"[..]));
    }

    #[test]
    fn what_no_server_could_read_is_none() {
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost: h\r\n",
            b" GET / HTTP/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3;\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(request(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        assert_eq!(
            dechunk(b"3\r\nHi \r\n3;x=y\r\nCRS\r\n0\r\nT: 1\r\n\r\nnext"),
            Some((b"Hi CRS".to_vec(), 31))
        );
        assert_eq!(dechunk(b"3\r\nHi \r\n0\r\n"), None);
    }
}
