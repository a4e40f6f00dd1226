//! Bodies on their way through an HTTP/1 connection: what the client's and the backend's side do alike.

use std::io;
use std::task::{Context, Poll, ready};

use crate::h1::body::{BrokenFraming, Decoder, Part, push_chunk_size};
use crate::h1::{may_trail, push_field};
use crate::head::Fields;
use crate::io::{Buffer, Outbox, Stream};

/// Body bytes up to this many wait in the outbox for a head, for each other or for an end mark, so that a small
/// message leaves in one write; larger ones go out from where they lie.
const COALESCE_BYTES: usize = 8 * 1024;

/// What was read of a connection, and the message body in it.
#[derive(Debug, Default)]
pub(crate) struct Inflow {
    pub(crate) buffer: Buffer,
    decoder: Decoder,
    /// Body bytes at the front of `buffer` that the decoder has shown.
    available: usize,
}

impl Inflow {
    /// A body begins where the buffer does.
    pub(crate) fn begin(&mut self, decoder: Decoder) {
        self.decoder = decoder;
        self.available = 0;
    }

    /// Skips framing; says what follows it.
    pub(crate) fn look(&mut self) -> Result<Part, BrokenFraming> {
        let (skip, part) = self.decoder.look(self.buffer.filled())?;
        self.buffer.consume(skip);
        if let Part::Data(n) = part {
            self.available = n;
        }
        Ok(part)
    }

    /// The body bytes that [`look`](Self::look) has shown.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer.filled()[..self.available]
    }

    /// Takes `n` of them.
    pub(crate) fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
        self.decoder.took(n);
        self.available -= n;
    }

    /// The peer ended its stream: whether the body may end here.
    pub(crate) fn eof(&mut self) -> Result<(), BrokenFraming> {
        self.decoder.eof()
    }

    pub(crate) fn is_end(&self) -> bool {
        self.decoder.is_end()
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        let trailers = self.decoder.trailers();
        (!trailers.list.is_empty()).then_some(trailers)
    }
}

/// How an outgoing body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Framing {
    /// There is none: what is offered is dropped (answers to HEAD).
    #[default]
    Bodiless,
    /// By Content-Length, or by the end of the connection.
    Plain,
    /// Chunked; this many bytes of the chunk that was begun are still to come.
    Chunked(usize),
}

/// What is on its way out.
#[derive(Debug, Default)]
pub(crate) struct Outflow {
    pub(crate) outbox: Outbox,
    framing: Framing,
}

impl Outflow {
    /// A body begins behind what is queued.
    pub(crate) fn begin(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Takes body bytes; gives how many, more than none. Whoever calls offers the rest again.
    pub(crate) fn poll_send(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let out = &mut self.outbox;
        let coalesce = out.bytes.len() + data.len() <= COALESCE_BYTES;
        match &mut self.framing {
            Framing::Bodiless => Poll::Ready(Ok(data.len())),
            Framing::Plain if coalesce => {
                out.bytes.extend_from_slice(data);
                Poll::Ready(Ok(data.len()))
            }
            Framing::Plain => out.poll_write(stream, cx, data),
            Framing::Chunked(0) if coalesce => {
                push_chunk_size(&mut out.bytes, data.len());
                out.bytes.extend_from_slice(data);
                out.bytes.extend_from_slice(b"\r\n");
                Poll::Ready(Ok(data.len()))
            }
            Framing::Chunked(left) => {
                if *left == 0 {
                    push_chunk_size(&mut out.bytes, data.len());
                    *left = data.len();
                }
                let n = ready!(out.poll_write(stream, cx, &data[..data.len().min(*left)]))?;
                *left -= n;
                if *left == 0 {
                    out.bytes.extend_from_slice(b"\r\n");
                }
                Poll::Ready(Ok(n))
            }
        }
    }

    /// Queues the end of the body. A second call changes nothing.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) {
        if let Framing::Chunked(_) = std::mem::take(&mut self.framing) {
            let out = &mut self.outbox.bytes;
            out.extend_from_slice(b"0\r\n");
            for (known, name, value) in trailers.into_iter().flat_map(Fields::iter) {
                if may_trail(known, name) {
                    push_field(out, name, value);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}
