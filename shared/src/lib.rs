#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod bucket;
pub mod claim;
pub mod clock;
pub mod exit;
pub mod ids;
pub mod job;
pub mod keys;
pub mod plan;
pub mod planted;
pub mod records;
pub mod rng;
pub mod store;
pub mod views;
