//! The engine through its public door.

mod bodies;
mod common;
mod crs;
mod errors;
mod hostile;
mod language;
mod overlay;
