//! The command line of `dayfly exec`, `connect`.

use clap::Args;

use super::JobArg;

/// `dayfly connect`.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}

/// `dayfly exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}
