//! Under construction.

pub mod balance;
pub mod eject;
#[cfg(test)]
mod testing;
