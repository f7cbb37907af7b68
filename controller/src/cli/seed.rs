//! The options of `dayfly seed`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use dayfly_shared::job::{BadLocation, Location};

use super::JobArg;
use crate::human::parse_duration;

const INPUTS: &str = "Inputs and outputs";
const POLICY: &str = "How the job is worked on (kept in job.json)";

/// Where inputs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputsArg {
    /// A folder on this machine, copied to the bucket.
    Folder(PathBuf),
    /// Objects that are there already.
    Objects(Location),
}

impl FromStr for InputsArg {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        if text.starts_with("s3://") { text.parse().map(Self::Objects) } else { Ok(Self::Folder(text.into())) }
    }
}

/// Where the kernel comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelArg {
    /// A file on this machine.
    File(PathBuf),
    /// An object, as `s3://BUCKET/KEY`.
    Object(String),
}

impl FromStr for KernelArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.starts_with("s3://") { Self::Object(text.to_owned()) } else { Self::File(text.into()) })
    }
}

/// `dayfly seed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(after_help = "Examples:\n  \
    dayfly seed s3://my-bucket/job --inputs data/ --kernel kernel.dat\n  \
    dayfly seed s3://my-bucket/job --inputs s3://archive/2026 --glob '**/*.dat' --agents 200\n  \
    dayfly seed --local demo --demo\n\n\
    The list is always the inputs less the outputs that stand: seeding again goes on where the job stood, and a list that \
    people added lines to keeps them. An input keeps its name: in3.dat becomes out3.dat, any other NAME becomes out/NAME.")]
pub struct SeedArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// A folder to copy to the bucket, or s3://BUCKET/PREFIX of objects that are there already (else: the objects in the
    /// job's own place)
    #[arg(long, value_name = "DIR|s3://…", help_heading = INPUTS)]
    pub inputs: Option<InputsArg>,
    /// Only inputs whose name matches
    #[arg(long, value_name = "GLOB", help_heading = INPUTS)]
    pub glob: Option<String>,
    /// Take hidden files (.name) from the folder too
    #[arg(long, help_heading = INPUTS)]
    pub hidden: bool,
    /// The kernel, a file or an object (else the kernel.dat in the inputs' folder, or the one in place)
    #[arg(long, value_name = "FILE|s3://…", help_heading = INPUTS)]
    pub kernel: Option<KernelArg>,
    /// Where outputs go (else: to the job's own place)
    #[arg(long, value_name = "s3://…", help_heading = INPUTS)]
    pub outputs: Option<Location>,
    /// Make up a data set: ten files of 2,000,000 random bytes, three of them done
    #[arg(long, conflicts_with_all = ["inputs", "glob", "kernel"], help_heading = INPUTS)]
    pub demo: bool,
    /// Make up the same data set each time
    #[arg(long, value_name = "N", requires = "demo", help_heading = INPUTS)]
    pub demo_seed: Option<u64>,
    /// Do these again, though their outputs stand: a name or a glob, may be repeated
    #[arg(long, value_name = "NAME|GLOB", help_heading = INPUTS)]
    pub redo: Vec<String>,
    /// How many agents are expected; more or fewer may come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = POLICY)]
    pub agents: Option<u32>,
    /// How long an agent keeps a task without a sign of life
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = POLICY)]
    pub lease_ttl: Option<Duration>,
    /// How many errors of the program a task is allowed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = POLICY)]
    pub max_attempts: Option<u32>,
    /// After how long a task is stopped and counts as failed
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = POLICY)]
    pub task_time_limit: Option<Duration>,
}
