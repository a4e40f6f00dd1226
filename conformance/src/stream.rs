//! HTTP/1 messages over a connection: what the reflecting backend and the suites' client have in common.

use std::io::{self, Read};

use crate::wire::{self, Field};

/// Most bytes of one head or body; what the suites send is far below.
const MESSAGE_LIMIT: usize = 8 << 20;

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(usize),
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl Framing {
    /// The framing that `headers` announce; `None` where they announce none.
    pub fn announced(headers: &[Field<'_>]) -> Option<Self> {
        if wire::header(headers, "Transfer-Encoding").is_some() {
            return Some(Self::Chunked);
        }
        let length = std::str::from_utf8(wire::header(headers, "Content-Length")?).ok()?;
        length.parse().ok().map(Self::Length)
    }
}

/// Reads messages one after the other from a connection.
#[derive(Debug)]
pub struct Messages<R> {
    connection: R,
    buffer: Vec<u8>,
}

impl<R: Read> Messages<R> {
    /// Reads from `connection`.
    pub fn new(connection: R) -> Self {
        Self { connection, buffer: Vec::new() }
    }

    /// The next head, with its lines' ends; `None` where the connection ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((head, _)) = wire::split_head(&self.buffer) {
                let head = head.to_vec();
                // The head is followed by the empty line that ends it, of one or two bytes.
                let end = if self.buffer[head.len()] == b'\r' { 2 } else { 1 };
                self.buffer.drain(..head.len() + end);
                return Ok(Some(head));
            }
            if self.more()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    /// The body that belongs to the head just read, its transfer coding undone.
    pub fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    self.more_or_error()?;
                }
                Ok(self.buffer.drain(..length).collect())
            }
            Framing::Chunked => loop {
                if let Some((body, used)) = wire::dechunk(&self.buffer) {
                    self.buffer.drain(..used);
                    return Ok(body);
                }
                self.more_or_error()?;
            },
            Framing::UntilClose => {
                while self.more()? > 0 {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    fn more_or_error(&mut self) -> io::Result<()> {
        if self.more()? == 0 { Err(cut_short()) } else { Ok(()) }
    }

    fn more(&mut self) -> io::Result<usize> {
        if self.buffer.len() > MESSAGE_LIMIT {
            return Err(io::Error::other("a message beyond the limit"));
        }
        let mut chunk = [0; 16 << 10];
        let read = self.connection.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended inside a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_each_other() {
        let bytes = b"A b\r\nX: 1\r\n\r\nabcB c\r\n\r\n3\r\nHi \r\n0\r\nT: 1\r\n\r\nC\n\nrest";
        let mut messages = Messages::new(&bytes[..]);
        assert_eq!(messages.head().unwrap().unwrap(), b"A b\r\nX: 1\r\n");
        assert_eq!(messages.body(Framing::Length(3)).unwrap(), b"abc");
        assert_eq!(messages.head().unwrap().unwrap(), b"B c\r\n");
        assert_eq!(messages.body(Framing::Chunked).unwrap(), b"Hi ");
        assert_eq!(messages.head().unwrap().unwrap(), b"C\n");
        assert_eq!(messages.body(Framing::UntilClose).unwrap(), b"rest");
        assert!(messages.head().unwrap().is_none());
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error() {
        assert!(Messages::new(&b"A b\r\n"[..]).head().is_err());
        let mut messages = Messages::new(&b"A b\r\n\r\nab"[..]);
        messages.head().unwrap();
        assert!(messages.body(Framing::Length(3)).is_err());
    }

    #[test]
    fn framing_is_read_from_the_head() {
        let field = |name: &'static str, value: &'static str| (name.as_bytes(), value.as_bytes());
        assert_eq!(Framing::announced(&[field("content-length", "12")]), Some(Framing::Length(12)));
        let both = [field("Content-Length", "12"), field("Transfer-Encoding", "chunked")];
        assert_eq!(Framing::announced(&both), Some(Framing::Chunked));
        assert_eq!(Framing::announced(&[]), None);
    }
}
