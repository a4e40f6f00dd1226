//! End-to-end tests: the real binary, driven over sockets, in front of backends that behave well or badly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at whatever it did not expect")]

mod broken;
mod exchange;
mod harness;
mod malformed;
mod routes;
mod tls;
