//! HTTP/1 message heads: a strict reader.
//!
//! Policy: a message that two parsers could read differently is refused (RFC 9112 sections 3, 5, 6 and 11.2):
//! bare LF or CR, obs-fold, white space before a colon, several or malformed Content-Length values, any
//! Transfer-Encoding other than exactly one `chunked`, Transfer-Encoding beside Content-Length or in HTTP/1.0,
//! none or several Host fields. Nothing is repaired.

use memchr::memchr;

use crate::head::{BodyLength, Field, Known, RequestHead, ResponseHead, Span, Version};

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// Longest head, request line included, in bytes.
    pub(crate) bytes: usize,
    /// Longest request target, in bytes.
    pub(crate) target_bytes: usize,
    /// Most header fields.
    pub(crate) fields: usize,
}

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It breaks the grammar or could be read in two ways; the text says how, for the log.
    Malformed(&'static str),
    /// A protocol version that is not HTTP/1.0 or HTTP/1.1.
    Version,
    /// A transfer coding that the edge does not know.
    TransferCoding,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The head is longer than allowed, or has too many fields.
    TooLarge,
    /// An expectation other than 100-continue (RFC 9110 section 10.1.1).
    Expectation,
    /// It did not arrive whole in time.
    Timeout,
}

/// Finds the end of a head as bytes arrive, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    /// Everything before this has been looked at; it is the start of a line.
    line_start: usize,
    /// Bytes of the current line already searched for LF.
    searched: usize,
}

impl HeadScanner {
    /// Looks for the empty line that ends the head; `Some(n)`: the head is `buf[..n]`.
    pub(crate) fn scan(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        loop {
            let from = self.line_start + self.searched;
            let Some(found) = memchr(b'\n', buf.get(from..).unwrap_or_default()) else {
                self.searched = buf.len() - self.line_start;
                // A request line that runs on without an end is a long target, whatever it will turn out to be.
                return if self.line_start == 0 && buf.len() > limits.target_bytes + MAX_METHOD_BYTES + 16 {
                    Err(HeadError::TargetTooLong)
                } else if buf.len() > limits.bytes {
                    Err(HeadError::TooLarge)
                } else {
                    Ok(None)
                };
            };
            let lf = from + found;
            if lf == self.line_start || buf[lf - 1] != b'\r' {
                return Err(HeadError::Malformed("a line ends in a bare LF"));
            }
            if lf - 1 == self.line_start && self.line_start > 0 {
                return if lf < limits.bytes { Ok(Some(lf + 1)) } else { Err(HeadError::TooLarge) };
            }
            if lf >= limits.bytes {
                let in_request_line = self.line_start == 0;
                return Err(if in_request_line { HeadError::TargetTooLong } else { HeadError::TooLarge });
            }
            self.line_start = lf + 1;
            self.searched = 0;
        }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Longest method name; the longest registered one has 17 bytes.
const MAX_METHOD_BYTES: usize = 64;

/// Byte classes of RFC 9110 section 5.6.2 and 5.5, and of request targets.
const TCHAR: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;
const HOST: u8 = 8;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TCHAR;
        }
        if b == b'\t' || b == b' ' || b.is_ascii_graphic() || b >= 0x80 {
            class |= VALUE;
        }
        // RFC 3986 allows fewer; the rest of the visible bytes and raw UTF-8 are what clients really send, and
        // the firewall's rules want to see them. They cannot change where the target ends.
        if b.is_ascii_graphic() || b >= 0x80 {
            class |= TARGET;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']') {
            class |= HOST;
        }
        table[i] = class;
        i += 1;
    }
    table
}

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&b| CLASS[b as usize] & class != 0)
}

/// Whether `byte` may begin a request; anything else need not be waited for.
pub(crate) fn may_begin_request(byte: u8) -> bool {
    byte == b'\r' || CLASS[byte as usize] & TCHAR != 0
}

/// Whether `bytes` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TCHAR)
}

/// Whether `bytes` may stand in a field value.
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    all(bytes, VALUE)
}

/// Reads a request head. `raw` is what [`HeadScanner`] delimited.
pub(crate) fn request(raw: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<(), HeadError> {
    head.clear();
    head.fields.arena.extend_from_slice(raw);
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let line_end = memchr(b'\r', raw).ok_or(HeadError::Malformed("no request line"))?;
    request_line(&raw[..line_end], limits, head)?;
    let framing = fields(raw, line_end + 2, limits, &mut head.fields.list)?;

    let version = head.version;
    let arena = &head.fields.arena;
    let mut hosts = head.fields.list.iter().filter(|f| f.known == Known::Host).map(|f| f.value);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::Malformed("more than one Host field"));
    }
    match host {
        Some(host) if !all(host.of(arena), HOST) => {
            return Err(HeadError::Malformed("Host is not a host name"));
        }
        Some(host) if head.authority.is_empty() => head.authority = host,
        // HTTP/1.0 would allow it, but without a name there is no tenant.
        None if head.authority.is_empty() => return Err(HeadError::Malformed("no Host field")),
        None if version == Version::Http11 => return Err(HeadError::Malformed("no Host field")),
        _ => {}
    }

    head.body = framing.request_body(version)?;
    let fields = &head.fields;
    head.keep_alive = match version {
        Version::Http10 => framing.connection && fields.has_token(Known::Connection, b"keep-alive"),
        _ => !(framing.connection && fields.has_token(Known::Connection, b"close")),
    };
    if framing.expect && version == Version::Http11 {
        let mut expectations = fields.values(Known::Expect);
        if !expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
            return Err(HeadError::Expectation);
        }
        head.expect_continue = true;
    }
    Ok(())
}

fn request_line(line: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<(), HeadError> {
    let malformed = HeadError::Malformed("the request line is not METHOD SP TARGET SP VERSION");
    let method_end = memchr(b' ', line).ok_or(malformed)?;
    let rest = &line[method_end + 1..];
    let target_len = memchr(b' ', rest).ok_or(malformed)?;
    let (target, version) = (&rest[..target_len], &rest[target_len + 1..]);
    if method_end > MAX_METHOD_BYTES || !is_token(&line[..method_end]) {
        return Err(HeadError::Malformed("the method is not a token"));
    }
    if target.len() > limits.target_bytes {
        return Err(HeadError::TargetTooLong);
    }
    if target.is_empty() || !all(target, TARGET) {
        return Err(HeadError::Malformed(
            "the request target is empty or holds white space or control bytes",
        ));
    }
    head.version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        v if v.len() == 8
            && v.starts_with(b"HTTP/")
            && v[5].is_ascii_digit()
            && v[6] == b'.'
            && v[7].is_ascii_digit() =>
        {
            return Err(HeadError::Version);
        }
        _ => return Err(malformed),
    };
    head.method = Span::new(0, method_end);
    let start = method_end + 1;
    head.target = Span::new(start, start + target.len());
    split_target(&line[..method_end], target, start, head)
}

/// Splits a request target (RFC 9112 section 3.2) into authority, path and query; `base` is where it starts in
/// the arena.
pub(crate) fn split_target(
    method: &[u8],
    target: &[u8],
    base: usize,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    if memchr(b'#', target).is_some() {
        return Err(HeadError::Malformed("a request target has no fragment"));
    }
    let path_start = if target[0] == b'/' || target == b"*" {
        if target[0] == b'*' && method != b"OPTIONS" {
            return Err(HeadError::Malformed("the asterisk form is for OPTIONS only"));
        }
        0
    } else if method == b"CONNECT" {
        head.authority = Span::new(base, base + target.len());
        head.path = Span::new(base + target.len(), base + target.len());
        return Ok(());
    } else {
        // Absolute form: the authority counts, not Host (RFC 9112 section 3.2.2).
        let after_scheme = ["http://", "https://"]
            .iter()
            .find(|s| target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s.as_bytes()))
            .map(|s| s.len())
            .ok_or(HeadError::Malformed("the request target is in none of the four forms"))?;
        let rest = &target[after_scheme..];
        let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        if end == 0 || !all(&rest[..end], HOST) {
            return Err(HeadError::Malformed("the target's authority is not a host name"));
        }
        head.authority = Span::new(base + after_scheme, base + after_scheme + end);
        after_scheme + end
    };
    let rest = &target[path_start..];
    let (path_len, query) = match memchr(b'?', rest) {
        Some(at) => (at, Some(at + 1)),
        None => (rest.len(), None),
    };
    head.path = Span::new(base + path_start, base + path_start + path_len);
    let query_start = query.unwrap_or(rest.len());
    head.query = Span::new(base + path_start + query_start, base + target.len());
    head.has_query = query.is_some();
    Ok(())
}

/// What the fields say about the body, gathered while they are read.
#[derive(Debug, Default)]
struct Framing {
    content_length: Option<u64>,
    chunked: bool,
    connection: bool,
    expect: bool,
}

impl Framing {
    fn request_body(&self, version: Version) -> Result<BodyLength, HeadError> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
            (true, None) if version == Version::Http10 => {
                Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0"))
            }
            (true, None) => Ok(BodyLength::Unknown),
            (false, Some(0) | None) => Ok(BodyLength::None),
            (false, Some(n)) => Ok(BodyLength::Known(n)),
        }
    }
}

/// Reads field lines from `raw[at..]` (each ends in CRLF).
fn fields(
    raw: &[u8],
    mut at: usize,
    limits: &HeadLimits,
    list: &mut Vec<Field>,
) -> Result<Framing, HeadError> {
    let mut framing = Framing::default();
    while at < raw.len() {
        let line = &raw[at..];
        let len = memchr(b'\n', line).ok_or(HeadError::Malformed("a field line has no end"))?;
        let line = line[..len].strip_suffix(b"\r").ok_or(HeadError::Malformed("a line ends in a bare LF"))?;
        if list.len() >= limits.fields {
            return Err(HeadError::TooLarge);
        }
        let colon = memchr(b':', line).ok_or(HeadError::Malformed("a field line has no colon"))?;
        if !is_token(&line[..colon]) {
            return Err(HeadError::Malformed("a field name is not a token"));
        }
        let value = line[colon + 1..].trim_ascii();
        // `trim_ascii` also takes CR, LF and FF, which the class check must see.
        if !all(&line[colon + 1..], VALUE) {
            return Err(HeadError::Malformed("a field value holds control bytes"));
        }
        let value_start =
            at + colon + 1 + line[colon + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        let known = Known::of(&line[..colon]);
        let value_span = if value.is_empty() {
            Span::new(at + colon + 1, at + colon + 1)
        } else {
            Span::new(value_start, value_start + value.len())
        };
        list.push(Field { name: Span::new(at, at + colon), value: value_span, known });
        match known {
            Known::ContentLength => {
                let n =
                    content_length(value).ok_or(HeadError::Malformed("Content-Length is not one number"))?;
                if framing.content_length.replace(n).is_some() {
                    return Err(HeadError::Malformed("more than one Content-Length"));
                }
            }
            Known::TransferEncoding => {
                if framing.chunked {
                    return Err(HeadError::Malformed("more than one Transfer-Encoding"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferCoding);
                }
                framing.chunked = true;
            }
            Known::Connection => framing.connection = true,
            Known::Expect => framing.expect = true,
            _ => {}
        }
        at += len + 1;
    }
    Ok(framing)
}

/// A Content-Length value: digits only, no sign, no list (RFC 9110 section 8.6), at most 2^63 - 1.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse::<i64>().ok().map(i64::cast_unsigned)
}

/// Reads a response head; `for_head` when it answers HEAD, whose response never has a body.
pub(crate) fn response(
    raw: &[u8],
    limits: &HeadLimits,
    for_head: bool,
    head: &mut ResponseHead,
) -> Result<(), HeadError> {
    head.clear();
    head.fields.arena.extend_from_slice(raw);
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let line_end = memchr(b'\r', raw).ok_or(HeadError::Malformed("no status line"))?;
    let line = &raw[..line_end];
    head.version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(HeadError::Version),
    };
    let digits = line.get(9..12).filter(|d| d.iter().all(u8::is_ascii_digit));
    let digits = digits.ok_or(HeadError::Malformed("the status is not three digits"))?;
    if line.get(12).is_some_and(|&b| b != b' ') || !all(&line[12..], VALUE) {
        return Err(HeadError::Malformed("the status line is malformed"));
    }
    head.status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    if !(100..=599).contains(&head.status) {
        return Err(HeadError::Malformed("the status is out of range"));
    }
    let framing = fields(raw, line_end + 2, limits, &mut head.fields.list)?;
    head.body = match (framing.chunked, framing.content_length) {
        (true, Some(_)) => return Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
        _ if for_head || head.status < 200 || head.status == 204 || head.status == 304 => BodyLength::None,
        (_, None) => BodyLength::Unknown,
        (false, Some(0)) => BodyLength::None,
        (false, Some(n)) => BodyLength::Known(n),
    };
    let until_close = head.body == BodyLength::Unknown && !framing.chunked;
    let fields = &head.fields;
    head.keep_alive = !until_close
        && match head.version {
            Version::Http10 => framing.connection && fields.has_token(Known::Connection, b"keep-alive"),
            _ => !(framing.connection && fields.has_token(Known::Connection, b"close")),
        };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, target_bytes: 1024, fields: 16 };

    fn parse(raw: &str) -> Result<RequestHead, HeadError> {
        let raw = raw.as_bytes();
        let end = HeadScanner::default().scan(raw, &LIMITS)?.ok_or(HeadError::Malformed("incomplete"))?;
        let mut head = RequestHead::default();
        request(&raw[..end], &LIMITS, &mut head).map(|()| head)
    }

    #[test]
    fn a_plain_request() {
        let head =
            parse("GET /a/b?c=d HTTP/1.1\r\nHost: x.test:8443\r\nX-A:  1 \t\r\nX-Empty:\r\n\r\n").unwrap();
        assert_eq!(head.method(), b"GET");
        assert_eq!(head.path(), b"/a/b");
        assert_eq!(head.query(), b"c=d");
        assert!(head.has_query);
        assert_eq!(head.authority(), b"x.test:8443");
        let fields: Vec<_> = head.fields.iter().map(|(_, n, v)| (n, v)).collect();
        assert_eq!(fields[1], (&b"X-A"[..], &b"1"[..]));
        assert_eq!(fields[2], (&b"X-Empty"[..], &b""[..]));
        assert!(head.keep_alive);
        assert_eq!(head.body, BodyLength::None);
    }

    #[test]
    fn the_absolute_form_overrides_host() {
        let head = parse("GET http://y.test?q HTTP/1.1\r\nHost: x.test\r\n\r\n").unwrap();
        assert_eq!((head.authority(), head.path(), head.query()), (&b"y.test"[..], &b""[..], &b"q"[..]));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = [
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET / JUNK\r\nHost: x\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET foo HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        ];
        for raw in refused {
            assert!(parse(raw).is_err(), "accepted: {raw:?}");
        }
    }

    #[test]
    fn only_one_expectation_is_known() {
        assert!(parse("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n").unwrap().expect_continue);
        let unknown = parse("GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n");
        assert_eq!(unknown.unwrap_err(), HeadError::Expectation);
    }

    #[test]
    fn limits_hold() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1024));
        assert_eq!(parse(&long).unwrap_err(), HeadError::TargetTooLong);
        let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(16));
        assert_eq!(parse(&many).unwrap_err(), HeadError::TooLarge);
        let large = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "b".repeat(4096));
        assert_eq!(parse(&large).unwrap_err(), HeadError::TooLarge);
    }

    #[test]
    fn the_scanner_takes_bytes_as_they_come() {
        let raw = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
        let mut scanner = HeadScanner::default();
        for end in 0..raw.len() - 4 {
            assert_eq!(scanner.scan(&raw[..end], &LIMITS), Ok(None), "{end}");
        }
        assert_eq!(scanner.scan(raw, &LIMITS), Ok(Some(raw.len() - 4)));
    }

    fn parse_response(raw: &str, for_head: bool) -> Result<ResponseHead, HeadError> {
        let mut head = ResponseHead::default();
        response(raw.as_bytes(), &LIMITS, for_head, &mut head).map(|()| head)
    }

    #[test]
    fn response_bodies_are_delimited_as_rfc_9112_section_6_3_says() {
        let body = |raw: &str, for_head| parse_response(raw, for_head).map(|h| (h.body, h.keep_alive));
        let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(body(with_length, false), Ok((BodyLength::Known(5), true)));
        assert_eq!(body(with_length, true), Ok((BodyLength::None, true)));
        assert_eq!(body("HTTP/1.1 200\r\n\r\n", false), Ok((BodyLength::Unknown, false)));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(body(chunked, false), Ok((BodyLength::Unknown, true)));
        assert_eq!(
            body("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false),
            Ok((BodyLength::None, true))
        );
        assert!(body("HTTP/1.1 20 OK\r\n\r\n", false).is_err());
        assert!(body("HTTP/1.1 200OK\r\n\r\n", false).is_err());
        assert!(body("HTTP/3.1 200 OK\r\n\r\n", false).is_err());
    }
}
