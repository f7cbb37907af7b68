//! dayfly-agent: boots, claims tasks, runs them, commits their outputs, ends.

pub mod driver;
pub mod instance;
pub mod log;
pub mod options;
pub mod processor;
pub mod stores;
