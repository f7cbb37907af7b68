//! `dayfly logs` and `dayfly describe` on the command line.

use clap::Args;
use dayfly_shared::job::Location;

/// `dayfly logs`.
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "dayfly logs [OPTIONS] [JOB] <TASK>...\n       \
        dayfly logs [OPTIONS] [JOB] --failed\n       dayfly logs [OPTIONS] [JOB] --agent <ID>",
    after_help = "Examples:\n  \
        dayfly logs s3://my-bucket/job in7.dat          every attempt's, in order\n  \
        dayfly logs --local demo --failed --tail 20     the last lines of each task that was given up\n  \
        dayfly logs s3://my-bucket/job --agent i-0123456789abcdef0 --follow"
)]
pub struct LogsArgs {
    /// The job (s3://BUCKET/PREFIX), and the names of tasks
    #[arg(value_name = "[JOB] TASK")]
    pub job_and_tasks: Vec<String>,
    /// The job where the command line names none.
    #[arg(long, hide = true, env = "DAYFLY_JOB")]
    pub default_job: Option<Location>,
    /// The log of an agent: its id, its name, or its instance's id
    #[arg(long, value_name = "ID", conflicts_with = "failed")]
    pub agent: Option<String>,
    /// The last logs of all tasks that were given up
    #[arg(long)]
    pub failed: bool,
    /// Go on with what is written, until the task is decided, the agent has ended or (--failed) the job is over
    #[arg(long, short)]
    pub follow: bool,
    /// The last N lines of each log
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
}

/// `dayfly describe`.
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "dayfly describe [OPTIONS] [JOB] <TASK>",
    after_help = "Examples:\n  \
        dayfly describe s3://my-bucket/job in7.dat\n  \
        dayfly describe --local demo 0001-0000003 --json"
)]
pub struct DescribeArgs {
    /// The job (s3://BUCKET/PREFIX), and the task: its name, its id or its output's name
    #[arg(value_name = "[JOB] TASK", required = true, num_args = 1..=2)]
    pub job_and_task: Vec<String>,
    /// The job where the command line names none.
    #[arg(long, hide = true, env = "DAYFLY_JOB")]
    pub default_job: Option<Location>,
}
