//! The crate that both binaries use.

pub mod backoff;
pub mod clock;
pub mod ids;
pub mod rng;
pub mod store;
