//! The command line of `dayfly cost`.

use clap::Args;

use super::JobArg;

/// `dayfly cost`.
#[derive(Clone, Debug, Args)]
pub struct CostArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
}
