//! The controller's parts: what `dayfly` does, without its command line.

pub mod endpoint;
