//! Message heads in one shape for HTTP/1.1 and HTTP/2, client side and backend side.
//!
//! A head owns one byte arena; method, target and fields are spans into it. Parsing copies the head once out of
//! the read buffer (some hundred bytes) so that the buffer can go on receiving the body, and the arena is reused
//! for the next request of the connection: in steady state a head costs no allocation.

use crate::limits::MAX_HEAD_BYTES_CEILING;

/// A range of the arena. Heads are bounded by [`MAX_HEAD_BYTES_CEILING`], so 32 bits are plenty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= MAX_HEAD_BYTES_CEILING * 2);
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, arena: &[u8]) -> &[u8] {
        arena.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Header fields that the edge itself reads or writes; everything else is `Other` and passes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Known {
    Other,
    Accept,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    StrictTransportSecurity,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

impl Known {
    /// Classifies a field name, case-insensitively. The length decides first, so that most names cost one jump.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is(b"te") => Self::Te,
            4 if is(b"host") => Self::Host,
            6 if is(b"cookie") => Self::Cookie,
            6 if is(b"accept") => Self::Accept,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"upgrade") => Self::Upgrade,
            7 if is(b"trailer") => Self::Trailer,
            9 if is(b"forwarded") => Self::Forwarded,
            9 if is(b"x-real-ip") => Self::XRealIp,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"user-agent") => Self::UserAgent,
            10 if is(b"keep-alive") => Self::KeepAlive,
            12 if is(b"content-type") => Self::ContentType,
            12 if is(b"x-request-id") => Self::XRequestId,
            14 if is(b"content-length") => Self::ContentLength,
            14 if is(b"http2-settings") => Self::Http2Settings,
            15 if is(b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(b"proxy-connection") => Self::ProxyConnection,
            16 if is(b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(b"x-forwarded-port") => Self::XForwardedPort,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            17 if is(b"x-forwarded-proto") => Self::XForwardedProto,
            18 if is(b"proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is(b"proxy-authorization") => Self::ProxyAuthorization,
            25 if is(b"strict-transport-security") => Self::StrictTransportSecurity,
            _ => Self::Other,
        }
    }

    /// Fields that belong to one connection and never cross the edge (RFC 9110 section 7.6.1).
    pub(crate) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
        )
    }
}

/// One header field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Known,
}

/// An ordered list of header fields over one arena.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fields {
    pub(crate) arena: Vec<u8>,
    pub(crate) list: Vec<Field>,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    /// Copies bytes into the arena.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, self.arena.len())
    }

    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let known = Known::of(name);
        let name = self.store(name);
        let value = self.store(value);
        self.list.push(Field { name, value, known });
    }

    pub(crate) fn get(&self, span: Span) -> &[u8] {
        span.of(&self.arena)
    }

    /// All fields as name and value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> + Clone {
        self.list.iter().map(|f| (f.known, f.name.of(&self.arena), f.value.of(&self.arena)))
    }

    /// Values of a known field, in order.
    pub(crate) fn values(&self, known: Known) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.list.iter().filter(move |f| f.known == known).map(|f| f.value.of(&self.arena))
    }

    /// The first value of a known field.
    pub(crate) fn first(&self, known: Known) -> Option<&[u8]> {
        self.values(known).next()
    }

    /// Whether a comma-separated list field holds `token` (case-insensitive).
    pub(crate) fn has_token(&self, known: Known, token: &[u8]) -> bool {
        self.values(known).any(|value| tokens(value).any(|t| t.eq_ignore_ascii_case(token)))
    }
}

/// Elements of a comma-separated list (RFC 9110 section 5.6.1), without surrounding white space.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// The protocol a message was received with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// As ModSecurity's `REQUEST_PROTOCOL` and access logs write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// How a request body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BodyLength {
    /// No body.
    #[default]
    None,
    /// Exactly this many bytes, not zero.
    Known(u64),
    /// Until its own end mark (chunked, HTTP/2 end of stream) or, for responses, the connection's end.
    Unknown,
}

/// A request head.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) fields: Fields,
    pub(crate) version: Version,
    pub(crate) method: Span,
    /// The request target as received (`:path` in HTTP/2).
    pub(crate) target: Span,
    /// Path of the target, without scheme and authority; `*` for OPTIONS *.
    pub(crate) path: Span,
    /// Query without `?`.
    pub(crate) query: Span,
    /// Whether the target holds a `?` (an empty query is not the same as none).
    pub(crate) has_query: bool,
    /// Host and optional port: from the target's absolute form or `:authority`, else from Host. Empty: none.
    pub(crate) authority: Span,
    pub(crate) body: BodyLength,
    /// Whether the client asked to keep the connection (HTTP/1 only).
    pub(crate) keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expect_continue: bool,
}

impl RequestHead {
    pub(crate) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.fields.get(self.method)
    }

    pub(crate) fn target(&self) -> &[u8] {
        self.fields.get(self.target)
    }

    pub(crate) fn path(&self) -> &[u8] {
        self.fields.get(self.path)
    }

    pub(crate) fn query(&self) -> &[u8] {
        self.fields.get(self.query)
    }

    pub(crate) fn authority(&self) -> &[u8] {
        self.fields.get(self.authority)
    }

    /// Whether the client asks for a protocol switch that HTTP/1.1 can carry out. One to `h2c` is not passed on: the
    /// requests inside the tunnel would pass by routes and firewall (RFC 9113 section 3.1 has it removed anyway).
    pub(crate) fn wants_upgrade(&self) -> bool {
        self.version == Version::Http11
            && self.fields.first(Known::Upgrade).is_some()
            && self.fields.has_token(Known::Connection, b"upgrade")
            && !self.fields.has_token(Known::Upgrade, b"h2c")
    }
}

/// A response head.
#[derive(Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) fields: Fields,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) body: BodyLength,
    /// Whether the backend keeps its connection open (HTTP/1 only).
    pub(crate) keep_alive: bool,
}

impl ResponseHead {
    pub(crate) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_in_any_case() {
        assert_eq!(Known::of(b"HOST"), Known::Host);
        assert_eq!(Known::of(b"x-FORWARDED-for"), Known::XForwardedFor);
        assert_eq!(Known::of(b"x-forwarded-fox"), Known::Other);
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn list_fields_are_read_over_several_lines() {
        let mut fields = Fields::default();
        fields.push(b"Connection", b"close, X-One");
        fields.push(b"connection", b" , upgrade ");
        assert!(fields.has_token(Known::Connection, b"Upgrade"));
        assert!(fields.has_token(Known::Connection, b"x-one"));
        assert!(!fields.has_token(Known::Connection, b"x"));
    }
}
