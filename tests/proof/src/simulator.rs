//! Runs whole fleets under seeded faults.

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {}

/// Runs it and prints what it found. Whether all is well.
pub fn run(_options: &Options) -> bool {
    false
}
