//! Load: many requests over a few connections, each answered before the next ones are sent.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// Requests that are on their way at once on one connection.
const PIPELINED: usize = 50;

/// A connection that only counts what it is answered.
pub(crate) struct Load {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Load {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends `request` so many times; gives how often each status came.
    pub(crate) fn send(&mut self, request: &str, times: usize) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        let mut left = times;
        while left > 0 {
            let together = left.min(PIPELINED);
            self.stream.write_all(request.repeat(together).as_bytes()).unwrap();
            for _ in 0..together {
                *counts.entry(self.status()).or_default() += 1;
            }
            left -= together;
        }
        counts
    }

    /// Takes one response off the connection.
    fn status(&mut self) -> u16 {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.more();
        };
        let text = std::str::from_utf8(&self.buffer[..head]).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let end = head + length.parse::<usize>().unwrap();
        while self.buffer.len() < end {
            self.more();
        }
        self.buffer.drain(..end);
        status
    }

    fn more(&mut self) {
        let mut bytes = [0; 16 * 1024];
        let n = self.stream.read(&mut bytes).unwrap();
        assert!(n > 0, "the edge closed a connection that was in use");
        self.buffer.extend_from_slice(&bytes[..n]);
    }
}

/// Sends `request` so many times over each of `connections` at once; gives how often each status came.
pub(crate) fn send_over(connections: &mut [Load], request: &str, times: usize) -> BTreeMap<u16, usize> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            connections.iter_mut().map(|load| scope.spawn(move || load.send(request, times))).collect();
        let mut sum = BTreeMap::new();
        for (status, count) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            *sum.entry(status).or_default() += count;
        }
        sum
    })
}
