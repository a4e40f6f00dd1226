//! HTTP/2 towards clients, over the `h2` crate.

pub(crate) mod server;
