//! The command line of `dayfly setup`, `teardown`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{JobArg, local_path};

const NETWORK: &str = "Network";
const RIGHTS: &str = "Options, each with rights of its own (once given they stay)";

/// `dayfly setup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly setup s3://my-bucket/jobs                     a deployment for all jobs below that place\n  \
    dayfly setup s3://my-bucket/jobs --print             show it all, and change nothing\n  \
    dayfly setup s3://my-bucket/jobs --agent target/release/dayfly-agent --ssm\n\n\
    Run it as often as you like: what is there stays, and what is missing is made.")]
pub struct SetupArgs {
    /// The place.
    #[command(flatten)]
    pub job: JobArg,
    /// The deployment's name (else made of bucket and prefix)
    #[arg(long)]
    pub name: Option<String>,
    /// The place is one job: its role reaches that job alone
    #[arg(long)]
    pub isolate: bool,
    /// The tag Owner of all that is made (else the caller's name)
    #[arg(long)]
    pub owner: Option<String>,
    /// The tag Project of all that is made (else the deployment's name)
    #[arg(long)]
    pub project: Option<String>,
    /// A Linux agent program to put into the bucket, for images without one; may be repeated
    #[arg(long, value_name = "FILE", value_parser = local_path)]
    pub agent: Vec<PathBuf>,
    /// What version the agent program is, where it cannot run here to say it
    #[arg(long, value_name = "VERSION", requires = "agent")]
    pub agent_version: Option<String>,
    /// Remove the job's logs after so many days (S3's rules reach the logs of a job at the very place only)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_logs: Option<u32>,
    /// A subnet to launch into; may be repeated (else those of the default network)
    #[arg(long, value_name = "ID", help_heading = NETWORK)]
    pub subnet: Vec<String>,
    /// A security group of your own; may be repeated (else one is made, with no way in)
    #[arg(long, value_name = "ID", help_heading = NETWORK)]
    pub security_group: Vec<String>,
    /// The key that the bucket is encrypted with (SSE-KMS), as id or ARN (else S3's own)
    #[arg(long, value_name = "KEY", help_heading = RIGHTS)]
    pub kms_key: Option<String>,
    /// Reach instances through Systems Manager: dayfly exec and connect
    #[arg(long, help_heading = RIGHTS)]
    pub ssm: bool,
    /// Agents may shut their fleet off: dayfly launch --maintain
    #[arg(long, help_heading = RIGHTS)]
    pub fleet_shut_off: bool,
    /// Agents write their logs to this group of CloudWatch Logs too; it is made if it is not there, and keeps them 30 days
    #[arg(long, value_name = "GROUP", help_heading = RIGHTS)]
    pub cloudwatch: Option<String>,
    /// The agent that ends a job tells this topic of SNS, which you make; its subscribers get the figures
    #[arg(long, value_name = "TOPIC-ARN", help_heading = RIGHTS)]
    pub notify: Option<String>,
    /// Agents may read this secret: ssm:/path/parameter or secretsmanager:NAME, or all whose names so begin, with a * at the end;
    /// may be repeated
    #[arg(long, value_name = "SECRET", help_heading = RIGHTS)]
    pub secrets: Vec<String>,
    /// Make this container repository, and let agents pull from it
    #[arg(long, value_name = "NAME", help_heading = RIGHTS)]
    pub ecr: Option<String>,
    /// Agents may push to the repository, too
    #[arg(long, help_heading = RIGHTS)]
    pub ecr_push: bool,
    /// Show every policy and resource as JSON, and change nothing
    #[arg(long)]
    pub print: bool,
    /// With --print: the account to print for, so that no credentials are needed
    #[arg(long, value_name = "NUMBER", requires = "print")]
    pub account: Option<String>,
}

/// What setup makes, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum KindArg {
    /// The launch template
    LaunchTemplate,
    /// The security group
    SecurityGroup,
    /// The agents' role and its instance profile
    Role,
    /// The statements in the bucket's policy
    Policy,
    /// The rules in the bucket's lifecycle configuration
    Lifecycle,
    /// The agent programs in the bucket
    Agents,
    /// The log group of CloudWatch Logs, with what is in it
    LogGroup,
    /// The container repository, with its images
    Ecr,
    /// The bucket, with everything in it
    Bucket,
}

/// `dayfly teardown`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Bucket and container repository are kept unless asked for: --bucket, --destroy ecr. What dayfly \
    did not make it never removes."
)]
pub struct TeardownArgs {
    /// The place.
    #[command(flatten)]
    pub job: JobArg,
    /// The deployment's name, where its record is gone
    #[arg(long)]
    pub name: Option<String>,
    /// Empty and remove the bucket too, if dayfly made it
    #[arg(long)]
    pub bucket: bool,
    /// Keep what is of this kind; may be repeated
    #[arg(long, value_name = "KIND")]
    pub keep: Vec<KindArg>,
    /// Remove what is of this kind, too; may be repeated
    #[arg(long, value_name = "KIND")]
    pub destroy: Vec<KindArg>,
}
