//! dayfly-agent: boots, claims tasks, runs them, commits their outputs, ends.

pub mod driver;
pub mod instance;
pub mod log;
#[cfg(feature = "s3")]
pub mod options;
pub mod processor;
#[cfg(feature = "s3")]
pub mod stores;
