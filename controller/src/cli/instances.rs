//! The command line of `dayfly ps`, `stop`, `start`, `terminate`, `reap`.

use std::time::Duration;

use clap::Args;

use super::JobArg;
use crate::human::parse_duration;

/// `dayfly stop`, `start`, `terminate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly terminate s3://my-bucket/job               all machines of the job, and the fleets that replace them\n  \
    dayfly terminate s3://my-bucket/job -i i-0123456789abcdef0\n  \
    dayfly stop s3://my-bucket/job                    machines on demand only: spot has nothing to stop")]
pub struct ManageArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Only this instance; may be repeated
    #[arg(short = 'i', long = "instance", value_name = "ID")]
    pub instance: Vec<String>,
}

/// `dayfly ps`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly ps s3://my-bucket/job       the machines of a job\n  \
    dayfly ps                          all of dayfly's machines in the account and region")]
pub struct PsArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Show those too that are gone, as long as EC2 remembers them
    #[arg(long)]
    pub all: bool,
}

/// `dayfly reap`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly reap s3://my-bucket/job     marks what should not run; run again some minutes later, it ends it\n  \
    dayfly reap                        for all jobs of the account and region\n  \
    dayfly reap --now --yes            ends at the first look\n\n\
    A machine that works is never ended.")]
pub struct ReapArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// How long a machine may take to report, or a launch to be answered
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub grace: Duration,
    /// How long after the mark a machine is ended
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub again: Duration,
    /// End at the first look
    #[arg(long)]
    pub now: bool,
    /// Say what would be done; mark and end nothing
    #[arg(long)]
    pub dry_run: bool,
}
