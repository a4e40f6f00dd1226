//! The data plane: accepts connections, and takes each request through its stages (see [`Edge`] and `serve.rs`).

mod accept;
mod access;
pub mod answer;
pub mod balance;
pub mod client_addr;
mod client_cert;
mod config;
pub mod cookie;
mod core;
mod decode;
mod drain;
mod edge;
pub mod eject;
mod exchange;
mod firewall;
mod forward;
mod h1;
mod h2;
mod h2io;
mod head;
mod headers;
pub mod health;
mod io;
pub mod limit;
mod limits;
pub mod metrics;
mod mode;
mod observe;
pub mod proxy_protocol;
pub mod record;
pub mod retry;
mod route;
mod scratch;
mod serve;
pub mod sticky;
mod template;
#[cfg(test)]
mod testing;
mod tls;
mod upstream;
pub mod wire;

pub use config::{EdgeConfig, Http2Limits, Listener, ListenerProtocol};
pub use edge::{DrainReport, Edge, StartError};
