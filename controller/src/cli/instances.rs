//! The command line of `dayfly ps`, `stop`, `start`, `terminate`, `reap`.

use clap::Args;

use super::JobArg;

/// `dayfly stop`, `start`, `terminate`.
#[derive(Clone, Debug, Args)]
pub struct ManageArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}

/// `dayfly ps`.
#[derive(Clone, Debug, Args)]
pub struct PsArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}

/// `dayfly reap`.
#[derive(Clone, Debug, Args)]
pub struct ReapArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}
