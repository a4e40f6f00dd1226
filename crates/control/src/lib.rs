//! What decides beside the data plane and never in a request's way: orders for certificates, and the secrets that the
//! data directory keeps.
//!
//! It may fail, hang or be slow without a client noticing: whatever it makes reaches the serving cores as a published
//! snapshot or through [`Managed`](veloflux_snapshot::managed::Managed), and until then they serve what they have.

pub mod acme;
pub mod files;
pub mod seal;
pub mod tsig;
