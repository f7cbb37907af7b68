//! `dayfly watch` on the command line.

use clap::Args;

use super::JobArg;

/// `dayfly watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly watch s3://my-bucket/job\n  \
    dayfly watch s3://my-bucket/job --json | jq 'select(.event == \"given_up\")'\n  \
    dayfly watch --local demo --web                the report in a browser, as it grows\n\n\
    It reads the bucket alone: from any machine, from several at once. Ctrl-C ends the watching; the job goes on.")]
pub struct WatchArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Serve the report to browsers on this machine, and keep it up to date
    #[arg(long)]
    pub web: bool,
    /// The port to serve it on (else any free one)
    #[arg(long, requires = "web", default_value_t = 0)]
    pub port: u16,
}
