//! The command line of `dayfly setup`, `teardown`.

use clap::Args;

use super::JobArg;

/// `dayfly setup`.
#[derive(Clone, Debug, Args)]
pub struct SetupArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}

/// `dayfly teardown`.
#[derive(Clone, Debug, Args)]
pub struct TeardownArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}
