//! The engine through its public door.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test like the tests themselves")]

mod bodies;
mod collections;
mod common;
mod course;
mod crs;
mod errors;
mod explain;
mod filter;
mod geo;
mod hostile;
mod language;
mod limits;
mod overlay;
mod own;
mod reference;
#[path = "../support/release.rs"]
mod release;
mod tenant;
mod work;
