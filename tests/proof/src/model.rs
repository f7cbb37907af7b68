//! Searches every state that the claim protocol can reach.

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {}

/// Runs it and prints what it found. Whether all is well.
pub fn run(_options: &Options) -> bool {
    false
}
