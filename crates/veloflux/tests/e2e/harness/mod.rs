//! What the tests stand on: an [`Edge`] that is the real binary, [`Backend`]s that answer as a test tells them to, and
//! clients that see every byte.
//!
//! A test reads like this:
//!
//! ```ignore
//! let backend = Backend::start(async |request, socket| socket.answer(200, "hello").await);
//! let edge = Edge::new().tenant("acme", "acme.test", &forward_to(&[&backend])).start().await;
//! let response = edge.get("acme.test", "/").await;
//! assert_eq!(response.text(), "hello");
//! ```
//!
//! Every listener takes a free port, so tests run beside each other. Whatever waits for the edge waits at most
//! [`PATIENCE`].

mod authority;
mod backend;
mod backend2;
mod client;
mod client2;
mod edge;
mod load;
mod message;
pub(crate) mod pki;

use std::future::Future;
use std::time::Duration;

pub(crate) use authority::{
    Answer, Authority, EXTERNAL, Manner, NEW_ACCOUNT, NEW_ORDER, free_addresses, listening, payload,
};
pub(crate) use backend::Backend;
pub(crate) use backend2::Backend2;
pub(crate) use client::Client;
pub(crate) use client2::{Client2, Reply2, read_body, send_body};
pub(crate) use edge::{Edge, PROGRAM};
pub(crate) use load::{Load, send_over};
pub(crate) use message::{Request, Response};

/// How long a test waits for anything that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// Awaits what should happen at once.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing in {PATIENCE:?}"))
}

/// Looks until `look` sees something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// A pool `web` of these backends and a route `all` that sends everything there, as lines of a tenant.
pub(crate) fn forward_to(backends: &[&Backend]) -> String {
    format!(
        "pools: [{{name: web, backends: {}}}]\nroutes: [{{name: all, forward: {{pool: web}}}}]",
        list(backends)
    )
}

/// Backends as a list for a pool.
pub(crate) fn list(backends: &[&Backend]) -> String {
    let entries: Vec<_> = backends.iter().map(|b| format!("{{address: \"{}\"}}", b.address())).collect();
    format!("[{}]", entries.join(", "))
}

/// `len` bytes that differ from place to place, so that a lost, doubled or swapped piece shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
