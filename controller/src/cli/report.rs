//! `dayfly report` on the command line.

use clap::{Args, ValueEnum};

use super::{FileArg, JobArg};

/// `dayfly report`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly report s3://my-bucket/job                       writes report.html\n  \
    dayfly report --local demo -o demo.html --timeline demo.svg\n  \
    dayfly report s3://my-bucket/job --format csv | head   one line an attempt\n  \
    dayfly report s3://my-bucket/job -o s3://my-bucket/reports/job.html\n\n\
    It reads the bucket alone: while the job runs, from any machine, and when the fleet is gone. Dollars are asked of AWS, \
    where the job ran on EC2.")]
pub struct ReportArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// The file or object to write (else report.html here; csv and json: standard output)
    #[arg(long, short, value_name = "FILE|s3://…")]
    pub out: Option<FileArg>,
    /// What to write (else html; with --json, json)
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
    /// Write the timeline as a picture, too: a file or an object
    #[arg(long, value_name = "FILE.svg")]
    pub timeline: Option<FileArg>,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One page that needs no network
    Html,
    /// One line an attempt
    Csv,
    /// What the page shows, as data
    Json,
}
