//! End-to-end tests: the real binary, driven over sockets, in front of backends that behave well or badly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at whatever it did not expect")]

mod acme;
mod at_once;
mod backend_tls;
mod balance;
mod bandwidth;
mod broken;
mod coded;
mod collections;
mod drain;
mod exchange;
mod firewall;
mod forwarding;
mod harness;
mod headers;
mod limits;
mod malformed;
#[path = "../../../waf/tests/support/mmdb.rs"]
mod mmdb;
mod modes;
mod mutual_tls;
mod operations;
mod origins;
mod rates;
mod records;
mod reload;
mod routes;
mod storm;
mod streams;
mod tenants;
mod tls;
mod tls_policy;
mod work;
