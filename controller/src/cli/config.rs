//! `dayfly config`, `completions` and `man` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::{JobArg, local_path};

/// `dayfly config`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly config show\n  \
    dayfly config save work s3://my-bucket/job --region eu-west-1\n\n\
    A flag outranks the environment, that a project's dayfly.toml (here or in a folder above), and that a profile. Both \
    files may hold job, local, endpoint_url, region and profile; no secrets.")]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `dayfly config` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, and where it comes from
    Show,
    /// Keep the settings of now as a profile
    Save {
        /// The profile's name
        name: String,
        /// The job.
        #[command(flatten)]
        job: JobArg,
    },
    /// List the profiles
    List,
}

/// `dayfly completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  dayfly completions bash > ~/.local/share/bash-completion/completions/dayfly")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `dayfly man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  dayfly man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The folder to write a page for each command to
    #[arg(required_unless_present = "markdown", value_parser = local_path)]
    pub dir: Option<PathBuf>,
    /// Print all commands as one page of Markdown instead
    #[arg(long, conflicts_with = "dir")]
    pub markdown: bool,
}
