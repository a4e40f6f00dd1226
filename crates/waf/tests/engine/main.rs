//! The engine through its public door.

mod bodies;
mod common;
mod crs;
mod errors;
mod language;
mod overlay;
