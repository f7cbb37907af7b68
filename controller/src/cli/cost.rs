//! The command line of `dayfly cost`.

use clap::Args;

use super::JobArg;

/// `dayfly cost`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  \
    dayfly cost s3://my-bucket/job\n\n\
    Machines by the second at the spot price of their zone or the list price on demand, with disk, public address and the\n\
    agents' requests; without transfer out of the region, and without discounts of the account. What is not known is said.")]
pub struct CostArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Show every machine, not just the sums by type, market and zone
    #[arg(long)]
    pub all: bool,
}
