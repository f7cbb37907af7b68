//! The command line of `dayfly exec`, `connect`.

use std::time::Duration;

use clap::Args;

use super::JobArg;
use crate::human::parse_duration;

/// `dayfly connect`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  dayfly connect -i i-0123456789abcdef0")]
pub struct ConnectArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// The instance
    #[arg(short = 'i', long, value_name = "ID")]
    pub instance: String,
}

/// `dayfly exec`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly exec -i i-0123456789abcdef0 -- df -h\n  \
    dayfly exec -i i-0123456789abcdef0 -- 'journalctl -u dayfly-agent | tail -50'\n\n\
    One word is a line for the shell, as it stands; several are a program and its arguments. The exit code is the \
    command's own; 1 also if it could not be run.")]
pub struct ExecArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// The instance
    #[arg(short = 'i', long, value_name = "ID")]
    pub instance: String,
    /// How long to wait until the instance can be reached
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    pub wait: Duration,
    /// How long the command may take
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub time_limit: Duration,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}
