//! `dayfly watch` on the command line.

use clap::{Args, ValueEnum};

use super::JobArg;

/// How somebody at this terminal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NoticeArg {
    /// The terminal's bell
    Bell,
    /// A notice on the desktop, by notify-send or osascript where they are there, else by the terminal
    Desktop,
}

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
    /// Ring the terminal's bell, or show a notice on the desktop, when the job is over; may be repeated
    #[arg(long, value_enum, value_name = "HOW", conflicts_with = "web")]
    pub notify: Vec<NoticeArg>,
    /// Serve the report to browsers on this machine, and keep it up to date
    #[arg(long)]
    pub web: bool,
    /// The port to serve it on (else any free one)
    #[arg(long, requires = "web", default_value_t = 0)]
    pub port: u16,
}
