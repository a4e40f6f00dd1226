//! Sockets, buffers and deadlines of one connection.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsStream;

use crate::limits::{READ_BUFFER_BYTES, SPARE_BUFFERS};

/// A byte stream to a client or a backend.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether the peer has ended or broken the connection, as far as is known without waiting. Bytes that it
    /// sent and nobody read do not count as an end.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let tcp = self.tcp();
        ready!(tcp.poll_read_ready(cx)).map_or(Poll::Ready(()), |()| {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            match tcp.try_io(tokio::io::Interest::READABLE, || socket2::SockRef::from(tcp).peek(&mut byte)) {
                Ok(0) => Poll::Ready(()),
                Ok(_) => Poll::Pending,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // Readiness was stale; register again for the real thing.
                    match tcp.poll_read_ready(cx) {
                        Poll::Ready(Err(_)) => Poll::Ready(()),
                        _ => Poll::Pending,
                    }
                }
                Err(_) => Poll::Ready(()),
            }
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Tls(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

thread_local! {
    /// Read buffers that no connection of this core holds at the moment.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// What was read and not yet consumed. Holds memory only while it holds bytes or is being read into.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Initialised to its whole length; empty when no memory is held.
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Puts bytes in as if they had been read.
    #[cfg(test)]
    fn fill_from(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.memory[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Reads once; 0: the peer ended the stream. Grows only when it is full, so that whoever calls bounds the
    /// growth by what it lets stay unconsumed.
    pub(crate) fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room(1);
        let mut target = ReadBuf::new(&mut self.memory[self.end..]);
        let read = Pin::new(stream).poll_read(cx, &mut target);
        let n = target.filled().len();
        self.end += n;
        if self.is_empty() {
            self.release();
        }
        read.map_ok(|()| n)
    }

    fn make_room(&mut self, room: usize) {
        if self.memory.is_empty() {
            self.memory = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; READ_BUFFER_BYTES]);
        }
        if self.memory.len() - self.end >= room {
            return;
        }
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.memory.len() - self.end < room {
            let len = (self.memory.len() * 2).max(self.end + room);
            self.memory.resize(len, 0);
        }
    }

    /// Gives the memory back to the core.
    pub(crate) fn release(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.start = 0;
        self.end = 0;
        if memory.len() == READ_BUFFER_BYTES {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_BUFFERS {
                    spare.push(memory);
                }
            });
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.memory.is_empty() {
            self.release();
        }
    }
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    /// Writes what is queued and then `body`, in one call where the system takes it. Gives how many bytes of
    /// `body` were taken, more than none unless `body` is empty.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let queued = &self.bytes[self.sent..];
            let written = if queued.is_empty() {
                if body.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                ready!(Pin::new(&mut *stream).poll_write(cx, body))?
            } else if body.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, queued))?
            } else {
                let slices = [io::IoSlice::new(queued), io::IoSlice::new(body)];
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_queue = written.min(queued.len());
            let of_body = written - of_queue;
            self.sent += of_queue;
            if self.is_empty() {
                self.clear();
                if of_body > 0 || body.is_empty() {
                    return Poll::Ready(Ok(of_body));
                }
            }
        }
    }

    /// Writes all that is queued and pushes it through TLS.
    pub(crate) fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(stream, cx, &[]))?;
        Pin::new(stream).poll_flush(cx)
    }
}

/// The one timer of a connection.
///
/// Moving the deadline later costs nothing: the timer fires at the earlier time, sees that it is not due, and is
/// armed again. A connection that is busy therefore touches the timer wheel once per deadline, not once per
/// request. Nor does it tell the timer at every wait whom to wake: that is always the one task which owns it.
#[derive(Debug)]
pub(crate) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
    /// Whether the timer, as it is armed now, knows whom to wake.
    watched: bool,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        let due = Instant::now() + timeout;
        Self { sleep: Box::pin(tokio::time::sleep_until(due)), due, watched: false }
    }

    pub(crate) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
            self.watched = false;
        }
    }

    pub(crate) fn set_after(&mut self, timeout: Duration) {
        self.set(Instant::now() + timeout);
    }

    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.watched && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            self.watched = true;
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            let due = self.due;
            self.sleep.as_mut().reset(due);
        }
    }
}

use std::future::Future;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_order_through_compaction_and_growth() {
        let mut buffer = Buffer::default();
        let bytes: Vec<u8> = (0..READ_BUFFER_BYTES * 2).map(|i| i as u8).collect();
        buffer.fill_from(&bytes[..READ_BUFFER_BYTES - 10]);
        buffer.consume(100);
        buffer.fill_from(&bytes[READ_BUFFER_BYTES - 10..]);
        assert_eq!(buffer.filled(), &bytes[100..]);
        buffer.consume(bytes.len() - 100);
        assert!(buffer.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_later_does_not_fire_early() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(1));
        deadline.set(start + Duration::from_secs(5));
        std::future::poll_fn(|cx| deadline.poll_due(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        deadline.set_after(Duration::from_mins(1));
        deadline.set_after(Duration::from_secs(2));
        std::future::poll_fn(|cx| deadline.poll_due(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
