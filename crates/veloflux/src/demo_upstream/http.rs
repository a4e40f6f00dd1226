//! Reading requests (RFC 9112), as far as a backend behind an edge needs it.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Longest head, and longest line of a chunked body, in bytes.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// Longest body, in bytes.
const MAX_BODY_BYTES: u64 = 16 << 20;

/// One request, read whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) keep_alive: bool,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Bad {
    /// The connection failed.
    Io(io::Error),
    /// What came is no request, or too long a one.
    Request(&'static str),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Request {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number in the query.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }
}

/// The next request; `None` at the connection's end.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<Option<Request>, Bad> {
    let mut budget = MAX_HEAD_BYTES;
    let Some(line) = read_line(stream, &mut budget).await? else { return Ok(None) };
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Bad::Request("this is no request line\n"));
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream, &mut budget).await?.ok_or(Bad::Request("the head ends early\n"))?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(Bad::Request("this is no header\n"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: Vec::new(),
        keep_alive: version == "HTTP/1.1",
    };
    if request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        request.keep_alive = false;
    }
    request.body = if request.header("transfer-encoding").is_some() {
        read_chunks(stream).await?
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(|_| Bad::Request("Content-Length is no number\n"))?;
        let mut body = Vec::new();
        read_body(stream, length, &mut body).await?;
        body
    } else {
        Vec::new()
    };
    Ok(Some(request))
}

async fn read_chunks<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<Vec<u8>, Bad> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream, &mut MAX_HEAD_BYTES.clone())
            .await?
            .ok_or(Bad::Request("a chunk is missing\n"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| Bad::Request("this is no chunk\n"))?;
        if size == 0 {
            break;
        }
        read_body(stream, size, &mut body).await?;
        read_line(stream, &mut 2).await?;
    }
    let mut budget = MAX_HEAD_BYTES;
    while read_line(stream, &mut budget).await?.is_some_and(|trailer| !trailer.is_empty()) {}
    Ok(body)
}

async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    length: u64,
    body: &mut Vec<u8>,
) -> Result<(), Bad> {
    if length > MAX_BODY_BYTES - body.len() as u64 {
        return Err(Bad::Request("the body is too long\n"));
    }
    if stream.take(length).read_to_end(body).await? as u64 != length {
        return Err(Bad::Request("the body ends early\n"));
    }
    Ok(())
}

/// The next line without its end, taken from `budget`; `None` at the connection's end.
async fn read_line<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    budget: &mut u64,
) -> Result<Option<String>, Bad> {
    let mut line = Vec::new();
    let read = stream.take(*budget).read_until(b'\n', &mut line).await? as u64;
    if read == 0 && *budget > 0 {
        return Ok(None);
    }
    *budget -= read;
    if line.pop() != Some(b'\n') {
        return Err(Bad::Request("a line is too long or ends early\n"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
