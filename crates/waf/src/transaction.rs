//! One request under one overlay: a typestate that moves from request head to record.
//!
//! Each step takes the transaction and gives it back in its next state, or a refusal. A step cannot be left out or
//! repeated, and [`Transaction::finish`] is there in every state, so that a record exists for aborted requests too.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use crate::collections::Collections;
use crate::engine::Core;
use crate::overlay::Overlay;
use crate::record::{Cause, Record, Refusal};
use crate::ruleset::Ruleset;

/// The states of a [`Transaction`], named after what it waits for.
pub mod stage {
    /// Waits for the request line and headers.
    #[derive(Debug)]
    pub struct RequestHead;
    /// Waits for the request body, which may be empty.
    #[derive(Debug)]
    pub struct RequestBody;
    /// Waits for the response's status and headers.
    #[derive(Debug)]
    pub struct ResponseHead;
    /// Waits for the response body, which may be empty.
    #[derive(Debug)]
    pub struct ResponseBody;
    /// Waits for nothing but [`finish`](super::Transaction::finish).
    #[derive(Debug)]
    pub struct Finished;
}

/// Who talks to whom.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The client's address, as resolved behind trusted proxies (`REMOTE_ADDR`, `REMOTE_PORT`).
    pub client: SocketAddr,
    /// The address that the client connected to (`SERVER_ADDR`, `SERVER_PORT`).
    pub server: SocketAddr,
    /// The request's id (`UNIQUE_ID`).
    pub request_id: &'a str,
    /// Time of the request: microseconds since 1970 UTC (`TIME_*`).
    pub now_unix_us: u64,
}

/// Request line and headers, as received.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The request target, raw: undecoded, with query string.
    pub target: &'a [u8],
    /// The protocol, such as `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// Names and values in the order of arrival. For HTTP/2, `:authority` comes as `Host`.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

/// Status and headers of the response, as received from the backend.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The protocol, such as `HTTP/1.1`.
    pub protocol: &'a [u8],
    /// Names and values in the order of arrival.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

/// One request in the state `S`, one of [`stage`]. Its `Debug` shows nothing of the request.
pub struct Transaction<'p, S> {
    core: Box<Core<'p>>,
    state: PhantomData<S>,
}

/// What a step decided.
#[derive(Debug)]
pub enum Verdict<'p, N> {
    /// Go on, in the next state.
    Pass(Transaction<'p, N>),
    /// Refuse the request, or withhold the response.
    Refuse(Refused<'p>),
}

/// A refused transaction. Its `Debug` shows nothing of the request.
pub struct Refused<'p> {
    core: Box<Core<'p>>,
    refusal: Refusal,
}

impl<'p> Transaction<'p, stage::RequestHead> {
    /// Begins a transaction; what `conn` says is copied.
    ///
    /// `overlay` must have been made by `ruleset`.
    pub fn begin(ruleset: &'p Ruleset, overlay: &'p Overlay, conn: &Connection<'_>) -> Self {
        Self { core: Box::new(Core::new(ruleset, overlay, conn)), state: PhantomData }
    }

    /// Takes down every step into [`Record::steps`], for people who ask why; costs time and memory, and changes no
    /// verdict.
    #[must_use]
    pub fn explained(mut self) -> Self {
        self.core.explain();
        self
    }

    /// Keeps persistent collections in `store`, which is its tenant's. Without, they end with the transaction.
    #[must_use]
    pub fn with_collections(mut self, store: &'p dyn Collections) -> Self {
        self.core.set_collections(store);
        self
    }

    /// Judges request line and headers (phase 1).
    pub fn request_head(mut self, head: &RequestHead<'_>) -> Verdict<'p, stage::RequestBody> {
        self.core.request_head(head);
        self.verdict()
    }
}

impl<'p> Transaction<'p, stage::RequestBody> {
    /// Whether the rules look at the request's body: `SecRequestBodyAccess`, and the engine is not off.
    pub fn body_wanted(&self) -> bool {
        self.core.request_body_wanted()
    }

    /// Judges the request's body and everything known by then (phase 2). To be called without a body too.
    ///
    /// `complete` is false when `body` is a prefix, because a limit was reached and the policy lets the rest pass.
    pub fn request_body(mut self, body: &[u8], complete: bool) -> Verdict<'p, stage::ResponseHead> {
        self.core.request_body(body, complete);
        self.verdict()
    }
}

impl<'p> Transaction<'p, stage::ResponseHead> {
    /// Judges the response's status and headers (phase 3).
    pub fn response_head(mut self, head: &ResponseHead<'_>) -> Verdict<'p, stage::ResponseBody> {
        self.core.response_head(head);
        self.verdict()
    }
}

impl<'p> Transaction<'p, stage::ResponseBody> {
    /// Whether the rules look at this response's body: `SecResponseBodyAccess` and `SecResponseBodyMimeType`.
    pub fn body_wanted(&self) -> bool {
        self.core.response_body_wanted()
    }

    /// Judges the response's body (phase 4). To be called with an empty body where none is wanted.
    ///
    /// `complete` is false when `body` is a prefix.
    pub fn response_body(mut self, body: &[u8], complete: bool) -> Verdict<'p, stage::Finished> {
        self.core.response_body(body, complete);
        self.verdict()
    }
}

impl<'p, S> Transaction<'p, S> {
    /// Ends the transaction where it stands: runs the logging rules (phase 5) and gives the record.
    pub fn finish(self) -> Record {
        self.core.finish()
    }

    fn verdict<N>(self) -> Verdict<'p, N> {
        match self.core.refusal() {
            Some(refusal) => Verdict::Refuse(Refused { refusal: refusal.clone(), core: self.core }),
            None => Verdict::Pass(Transaction { core: self.core, state: PhantomData }),
        }
    }
}

impl Refused<'_> {
    /// Status for the client.
    pub fn status(&self) -> u16 {
        self.refusal.status
    }

    /// Where to send the client instead, if the rule says so.
    pub fn redirect(&self) -> Option<&[u8]> {
        self.refusal.redirect.as_deref()
    }

    /// Whether the rule asks for the connection to be closed without an answer (`drop`).
    pub fn wants_drop(&self) -> bool {
        self.refusal.drop
    }

    /// What caused the refusal.
    pub fn cause(&self) -> &Cause {
        &self.refusal.cause
    }

    /// Ends the transaction: runs the logging rules (phase 5) and gives the record.
    pub fn finish(self) -> Record {
        self.core.finish()
    }
}

impl<S> fmt::Debug for Transaction<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl fmt::Debug for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("cause", &self.refusal.cause).finish_non_exhaustive()
    }
}
