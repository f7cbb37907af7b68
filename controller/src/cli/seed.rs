//! The options of `dayfly seed`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use dayfly_shared::job::{BadLocation, Location};
use dayfly_shared::notice::Address;
use dayfly_shared::secret::{BadSecretName, SecretName};

use super::{ContainerArgs, FileArg, local_path, split_job};
use crate::failure::Result as Checked;
use crate::human::parse_duration;

const INPUTS: &str = "Inputs and outputs";
const PROGRAM: &str = "The program (else the XOR with the kernel)";
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

/// `dayfly seed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(after_help = "Examples:\n  \
    dayfly seed s3://my-bucket/job --inputs data/ --kernel kernel.dat\n  \
    dayfly seed s3://my-bucket/job --inputs s3://archive/2026 --glob '**/*.dat' --agents 200\n  \
    dayfly seed s3://my-bucket/small --inputs photos/ 'convert {input} -resize 50% {output}'\n  \
    dayfly seed s3://my-bucket/sweep --tasks parameters.txt 'python3 {file:run.py} {name} {output_dir}' --files run.py\n  \
    dayfly seed s3://my-bucket/words --inputs texts/ --image busybox 'wc -w {input}'\n  \
    dayfly seed --local demo --demo\n\n\
    The list is always the inputs less the outputs that stand: seeding again goes on where the job stood, and a list that \
    people added lines to keeps them. An input keeps its name: in3.dat becomes out3.dat, any other NAME becomes out/NAME.\n\n\
    COMMAND is one text, split into words as a shell would (several words are taken as they are). In it stand\n  \
    {input} {output}           the paths of the input and of the output to make\n  \
    {output_dir}               a folder instead, for any number of outputs\n  \
    {name} {stem}              the task's name, and its last part without the extension\n  \
    {file:NAME} {files}        a file of --files, the folder of them all\n  \
    {kernel}                   the file of --kernel\n  \
    {checkpoint}               a folder that outlives a stop: filled again for the next attempt\n\
    Without {output} and {output_dir} the program's standard output is the output. Exit code 0 is success, 75 means: try \
    again later.")]
pub struct SeedArgs {
    /// The job (s3://BUCKET/PREFIX), and the command to run for each task
    #[arg(value_name = "[JOB] [COMMAND]")]
    pub job_and_command: Vec<String>,
    /// The job where the command line names none.
    #[arg(long, hide = true, env = "DAYFLY_JOB")]
    pub default_job: Option<Location>,
    /// What runs.
    #[command(flatten)]
    pub program: ProgramArgs,
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
    pub kernel: Option<FileArg>,
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
    /// Tell this webhook (an https:// URL), this topic of SNS (its ARN), or the webhook whose URL is a secret
    /// (ssm:/path/parameter, secretsmanager:NAME) when the job is over; may be repeated
    #[arg(long, value_name = "URL|ARN|SECRET", help_heading = POLICY)]
    pub notify: Vec<Address>,
}

/// The program of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ProgramArgs {
    /// The command is a text for /bin/sh
    #[arg(long, help_heading = PROGRAM)]
    pub shell: bool,
    /// Each line of this file or object (-: standard input) is a task: parameters, not the name of an input
    #[arg(long, value_name = "FILE|s3://…", conflicts_with_all = ["inputs", "glob", "demo", "submit"], help_heading = PROGRAM)]
    pub tasks: Option<FileArg>,
    /// Run this script once, as the one task, in a folder with copies of --files; what it leaves there is its output
    #[arg(long, value_name = "SCRIPT", conflicts_with_all = ["inputs", "glob", "demo", "shell"], help_heading = PROGRAM, value_parser = local_path)]
    pub submit: Option<PathBuf>,
    /// Run a script of this Python project, in a virtual environment with what its requirements.txt names; COMMAND is the
    /// script and its arguments, to which -i {input_dir} -o {output_dir} is added unless it has placeholders of its own
    #[arg(long, value_name = "DIR", conflicts_with_all = ["submit", "shell"], help_heading = PROGRAM, value_parser = local_path)]
    pub project: Option<PathBuf>,
    /// Files and folders that every task can read
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = PROGRAM, value_parser = local_path)]
    pub files: Vec<PathBuf>,
    /// A task is done only if it leaves this file in {output_dir}; may be repeated
    #[arg(long, value_name = "PATH", help_heading = PROGRAM)]
    pub expect: Vec<String>,
    /// Add to the program's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, help_heading = PROGRAM)]
    pub env: Vec<(String, String)>,
    /// Add a secret to the program's environment: NAME=ssm:/path/parameter or NAME=secretsmanager:NAME[#KEY]. Agents fetch it
    /// when a task starts, and it stands nowhere in the bucket; may be repeated
    #[arg(long, value_name = "NAME=WHERE", value_parser = secret, help_heading = PROGRAM)]
    pub secret: Vec<(String, SecretName)>,
    /// The memory that a task may use with all that it starts, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..), help_heading = PROGRAM)]
    pub task_memory: Option<u32>,
    /// How long a program may take to end when it is asked to
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = PROGRAM)]
    pub stop_grace: Option<Duration>,
    /// Let the program use the agent's AWS credentials
    #[arg(long, help_heading = PROGRAM)]
    pub with_credentials: bool,
    /// Where it runs.
    #[command(flatten)]
    pub container: ContainerArgs,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not NAME=VALUE")),
    }
}

fn secret(text: &str) -> Result<(String, SecretName), String> {
    let (name, place) = variable(text)?;
    Ok((name, place.parse().map_err(|e: BadSecretName| e.to_string())?))
}

impl SeedArgs {
    /// The job that is named.
    ///
    /// # Errors
    /// A first word that means to be a place and is none.
    pub fn job(&self) -> Checked<Option<Location>> {
        Ok(split_job(&self.job_and_command)?.0.or_else(|| self.default_job.clone()))
    }

    /// The words of the command.
    ///
    /// # Errors
    /// As [`SeedArgs::job`].
    pub fn command(&self) -> Checked<&[String]> {
        Ok(split_job(&self.job_and_command)?.1)
    }

    /// Whether it says anything but which job.
    ///
    /// # Errors
    /// As [`SeedArgs::job`].
    pub fn says_anything(&self) -> Checked<bool> {
        let bare = Self { job_and_command: Vec::new(), default_job: None, ..self.clone() };
        Ok(bare != Self::default() || !self.command()?.is_empty())
    }
}
