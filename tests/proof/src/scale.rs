//! What a million tasks cost and how long they take.

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {}

/// Runs it and prints what it found. Whether all is well.
pub fn run(_options: &Options) -> bool {
    false
}
