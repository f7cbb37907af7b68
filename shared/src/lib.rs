#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod boot;
pub mod bucket;
pub mod claim;
pub mod clock;
pub mod console;
pub mod deployment;
pub mod exit;
pub mod ids;
pub mod instance;
pub mod job;
pub mod keys;
pub mod launch;
pub mod manifest;
pub mod notice;
pub mod plan;
pub mod planted;
pub mod records;
pub mod rng;
pub mod secret;
#[cfg(feature = "s3")]
pub mod services;
pub mod store;
mod url;
pub mod views;
pub mod work;
