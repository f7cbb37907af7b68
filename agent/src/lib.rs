//! dayfly-agent: boots, claims tasks, runs them, commits their outputs, ends.

pub mod cgroup;
pub mod driver;
pub mod instance;
#[cfg(feature = "s3")]
pub mod life;
pub mod log;
#[cfg(feature = "s3")]
pub mod options;
pub mod processor;
#[cfg(feature = "s3")]
pub mod services;
#[cfg(feature = "s3")]
pub mod stores;
pub mod supervisor;
