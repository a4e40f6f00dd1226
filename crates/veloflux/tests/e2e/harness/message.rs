//! HTTP/1 messages as the tests' own side of the wire reads them: plainly, and stopping at whatever is broken.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// A byte stream, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A request head as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    /// Filled once the backend has read it.
    pub(crate) body: Vec<u8>,
    /// Fields after a chunked body.
    pub(crate) trailers: Fields,
}

/// A response that arrived whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    /// Fields after a chunked body.
    pub(crate) trailers: Fields,
}

/// Field lines in the order of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The only value of a field; `None`: there is none. Two are a mistake.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} is there more than once: {values:?}");
        values.first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// What the fields of a message say; `otherwise` where they say nothing.
    pub(crate) fn of(fields: &Fields, otherwise: Self) -> Self {
        match (fields.get("transfer-encoding"), fields.get("content-length")) {
            (Some("chunked"), None) => Self::Chunked,
            (None, Some(length)) => Self::Length(length.parse().unwrap()),
            (None, None) => otherwise,
            both => panic!("a message with this framing must not leave the edge: {both:?}"),
        }
    }
}

/// Reads messages off a stream.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: Stream> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads once; 0: the end.
    async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(16 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Takes `n` bytes.
    pub(crate) async fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// Takes some bytes; none: the end.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Takes everything up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more().await? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.buffer[looked..].windows(2).position(|w| w == b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..looked + at + 2).collect();
                line.truncate(line.len() - 2);
                return Ok(String::from_utf8(line).unwrap());
            }
            looked = self.buffer.len().saturating_sub(1);
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Fields::default();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(": ").or_else(|| line.split_once(':')).unwrap();
            fields.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// A request's head; `None`: the connection ended before one began.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        if self.buffer.is_empty() && self.more().await? == 0 {
            return Ok(None);
        }
        let line = self.line().await?;
        let words: Vec<_> = line.split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else { panic!("not a request line: {line:?}") };
        let (method, target) = (method.to_owned(), target.to_owned());
        Ok(Some(Request { method, target, fields: self.fields().await?, ..Request::default() }))
    }

    /// A response's head.
    pub(crate) async fn response_head(&mut self) -> io::Result<Response> {
        let line = self.line().await?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        Ok(Response { status, fields: self.fields().await?, ..Response::default() })
    }

    /// A body and its trailers.
    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Fields)> {
        match framing {
            Framing::Length(n) => Ok((self.exactly(n).await?, Fields::default())),
            Framing::UntilClose => Ok((self.rest().await?, Fields::default())),
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    let line = self.line().await?;
                    let size = usize::from_str_radix(&line, 16).unwrap();
                    if size == 0 {
                        return Ok((body, self.fields().await?));
                    }
                    body.extend(self.exactly(size).await?);
                    assert_eq!(self.line().await?, "", "a chunk is longer than its size");
                }
            }
        }
    }
}
