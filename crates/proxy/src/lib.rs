//! Under construction.

pub mod answer;
pub mod balance;
pub mod client_addr;
pub mod eject;
pub mod health;
pub mod metrics;
pub mod proxy_protocol;
pub mod record;
pub mod retry;
pub mod sticky;
#[cfg(test)]
mod testing;
