//! HTTP/2 connections to one backend, shared by the streams of many requests.
//!
//! A request takes the first connection that has a free stream. Where none has, another is opened, one at a time and
//! up to [`MAX_CONNECTIONS`]; beyond that the request queues where the fewest streams are. So a burst on a cold pool
//! opens a few connections and not one for each request, and no backend is sent more streams than it takes.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;

use crate::exchange::BackendError;
use crate::io::Stream;

/// Connections opened per backend and core.
const MAX_CONNECTIONS: usize = 4;

/// Streams that a backend is sent before it has said how many it takes (RFC 9113 section 5.1.2): were there more than
/// it then says, it would refuse them.
const STREAMS_AT_FIRST: usize = 1;

/// Flow-control window of a stream and of a connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// One core's HTTP/2 connections to one backend.
#[derive(Debug, Default)]
pub(crate) struct SharedH2 {
    connections: RefCell<Vec<Connection>>,
    /// Held while a connection is being opened.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Connection {
    requests: SendRequest<Bytes>,
    /// Counted by its clones: one here, one for each stream.
    streams: Rc<()>,
}

/// A place for one stream on a connection, taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) requests: SendRequest<Bytes>,
    _taken: Rc<()>,
}

impl SharedH2 {
    /// A place on an open connection, or on a new one over the stream that `connect` gives.
    pub(crate) async fn slot(
        &self,
        connect: impl Future<Output = Result<Stream, BackendError>>,
    ) -> Result<Slot, BackendError> {
        if let Some(slot) = self.free() {
            return Ok(slot);
        }
        let _opening = self.opening.lock().await;
        // Whoever opened one in the meantime did it for us too.
        if let Some(slot) = self.free().or_else(|| self.queue()) {
            return Ok(slot);
        }
        let mut builder = h2::client::Builder::new();
        builder
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .enable_push(false);
        let handshake = builder.handshake::<_, Bytes>(connect.await?).await;
        let (requests, connection) = handshake.map_err(|_| BackendError::Connect)?;
        tokio::task::spawn_local(async move {
            // Its streams report what went wrong; the connection has nothing to add.
            let _ = connection.await;
        });
        let connection = Connection { requests, streams: Rc::new(()) };
        let slot = connection.slot();
        self.connections.borrow_mut().push(connection);
        Ok(slot)
    }

    /// A place on the first connection that has a free stream.
    fn free(&self) -> Option<Slot> {
        self.drop_closed();
        self.connections
            .borrow()
            .iter()
            .find(|c| c.streams() < c.requests.current_max_send_streams())
            .map(Connection::slot)
    }

    /// A place in the shortest queue, once there may be no more connections.
    fn queue(&self) -> Option<Slot> {
        let connections = self.connections.borrow();
        let shortest = connections.iter().min_by_key(|c| c.streams())?;
        (connections.len() >= MAX_CONNECTIONS).then(|| shortest.slot())
    }

    /// Lets go of connections that take no further request.
    pub(crate) fn drop_closed(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        self.connections
            .borrow_mut()
            .retain_mut(|c| !matches!(c.requests.poll_ready(&mut cx), Poll::Ready(Err(_))));
    }

    /// Lets go of every connection; each ends with its last stream.
    pub(crate) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }
}

impl Connection {
    fn streams(&self) -> usize {
        Rc::strong_count(&self.streams) - 1
    }

    fn slot(&self) -> Slot {
        Slot { requests: self.requests.clone(), _taken: self.streams.clone() }
    }
}
