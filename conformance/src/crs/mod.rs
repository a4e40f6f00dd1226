//! The OWASP CRS regression suite, judged against the engine alone and through a running edge.
//!
//! The suite is a folder of YAML files in the format of the go-ftw runner. What a case sends, what a server would
//! log for it and what it expects are worked out here once; [`engine`] and [`edge`] differ only in who sees the
//! bytes.

pub mod case;
pub mod crs3;
pub mod edge;
pub mod engine;
pub mod expect;
pub mod logline;
pub mod reflect;
pub mod request;
pub mod rules;
pub mod suite;
pub mod workers;
