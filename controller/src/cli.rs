//! The command line.

mod config;
mod container;
mod cost;
mod doctor;
mod file;
mod image;
mod instances;
mod job;
mod logs;
mod machines;
mod remote;
mod report;
mod seed;
mod setup;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dayfly_shared::job::Location;

pub use config::{CompletionsArgs, ConfigArgs, ConfigCommand, ManArgs};
pub use container::{ContainerArgs, NetworkArg, OutputArg};
pub use cost::CostArgs;
pub use doctor::DoctorArgs;
pub use file::{FileArg, local_path};
pub use image::{ImageArgs, ImageCommand, PruneArgs, PublishArgs};
pub use instances::{ManageArgs, PsArgs, ReapArgs};
pub use job::{JobArg, split_job};
pub use logs::{DescribeArgs, LogsArgs};
pub use machines::{Architecture, MachinesArgs};
pub use remote::{ConnectArgs, ExecArgs};
pub use report::{ReportArgs, ReportFormat};
pub use seed::{InputsArg, ProgramArgs, SeedArgs};
pub use setup::{KindArg, SetupArgs, TeardownArgs};
pub use watch::{NoticeArg, WatchArgs};

use crate::human::parse_duration;

/// The heading of options that say where buckets are.
const PLACE: &str = "Where buckets are";
/// The heading of options that say what is printed.
const OUTPUT: &str = "Output";

/// Fans out batch jobs over many machines that coordinate through a bucket alone.
#[derive(Debug, Parser)]
#[command(
    name = "dayfly",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        dayfly run --local demo --demo -n 3        try it: ten files, three agents, on this machine\n  \
        dayfly status --local demo\n  \
        dayfly seed s3://my-bucket/job --inputs data/ --kernel kernel.dat\n  \
        dayfly launch s3://my-bucket/job -n 4\n  \
        dayfly fetch s3://my-bucket/job results/\n\n\
        JOB is the place of a job, s3://BUCKET/PREFIX; DAYFLY_JOB names it for every command.\n\
        Exit codes: 0 done, 1 failed, 2 wrong command line, 3 some tasks were given up, 4 stopped before the end, \
        5 cancelled."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command, before or after its name.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Use the folder DIR instead of a service: each folder in it is a bucket
    #[arg(long, global = true, value_name = "DIR", env = "DAYFLY_LOCAL", help_heading = PLACE, value_parser = local_path)]
    pub local: Option<PathBuf>,
    /// The URL of an S3 service that is not Amazon's (else AWS_ENDPOINT_URL)
    #[arg(long, global = true, value_name = "URL", help_heading = PLACE)]
    pub endpoint_url: Option<String>,
    /// The region of the buckets (else AWS_REGION, else the profile's)
    #[arg(long, global = true, help_heading = PLACE)]
    pub region: Option<String>,
    /// The profile of ~/.aws/config to use (else AWS_PROFILE)
    #[arg(long, global = true, value_name = "NAME", help_heading = PLACE)]
    pub profile: Option<String>,
    /// The profile of settings to use (dayfly config save); the only one is used by itself
    #[arg(long, global = true, value_name = "NAME", env = "DAYFLY_SETTINGS", help_heading = PLACE)]
    pub settings: Option<String>,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true, help_heading = OUTPUT)]
    pub quiet: bool,
    /// Say more; twice: everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = OUTPUT)]
    pub verbose: u8,
    /// No bars and no live display (so does NO_COLOR)
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub no_progress: bool,
    /// Answer yes to every question
    #[arg(long, short, global = true)]
    pub yes: bool,
}

/// The commands, in the order in which a job meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up the account for jobs below a place: bucket, role, network, launch template
    Setup(Box<SetupArgs>),
    /// Remove what setup made
    Teardown(TeardownArgs),
    /// Put a job in place: inputs, kernel, settings, task list
    Seed(Box<SeedArgs>),
    /// Start agents for a job
    Launch(Box<LaunchArgs>),
    /// Seed, launch and watch in one; the exit code says whether tasks failed
    Run(Box<RunArgs>),
    /// Say how a job stands
    Status(StatusArgs),
    /// Follow a job until it is over
    Watch(WatchArgs),
    /// Print the logs of tasks or agents
    Logs(LogsArgs),
    /// Tell a task's whole history, attempt by attempt
    Describe(DescribeArgs),
    /// Write what became of a job as a page, a picture or data
    Report(ReportArgs),
    /// Copy the outputs of a job to a folder
    Fetch(FetchArgs),
    /// Put given-up tasks back on the list
    Retry(RetryArgs),
    /// Let agents finish what they have in hand, and begin nothing more
    Pause(ControlArgs),
    /// Let agents finish what they have in hand, and end
    Drain(ControlArgs),
    /// Let agents work again
    Resume(ControlArgs),
    /// Stop the tasks in hand and end the agents; nothing that is done is lost
    Cancel(ControlArgs),
    /// List the jobs below a place
    Jobs(JobsArgs),
    /// Remove what interrupted work left behind; never inputs, outputs, results or the plan
    Clean(CleanArgs),
    /// Find out whether a store is safe for jobs: conditions, races, permissions, clocks, speed
    Doctor(DoctorArgs),
    /// List the instances of a job
    Ps(PsArgs),
    /// Stop instances of a job, to be started again
    Stop(ManageArgs),
    /// Start stopped instances of a job
    Start(ManageArgs),
    /// End instances of a job for good
    Terminate(ManageArgs),
    /// Find and end what jobs left running by mistake
    Reap(ReapArgs),
    /// Run a command on an instance, without SSH
    Exec(ExecArgs),
    /// Open a session on an instance, without SSH
    Connect(ConnectArgs),
    /// Say what a job has cost so far
    Cost(CostArgs),
    /// Publish machine images, list and prune them
    Image(ImageArgs),
    /// Serve a folder of buckets to any S3 client on this machine
    Serve(ServeArgs),
    /// Show where settings come from, keep some for later
    Config(ConfigArgs),
    /// Print what makes a shell complete dayfly's commands
    Completions(CompletionsArgs),
    /// Write the manual's pages
    Man(ManArgs),
}

/// `dayfly launch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly launch --local demo -n 3            serves the folder, and stays until the agents have ended\n  \
    dayfly launch s3://my-bucket/job -n 8      on EC2 where dayfly setup was run, else here in the background\n  \
    dayfly launch s3://my-bucket/job -n 50 --spot --instance-type c7i.large,c6i.large,m6i.large\n  \
    dayfly launch s3://my-bucket/job -n 50 --spot --vcpus 4 --memory 8 --dry-run")]
pub struct LaunchArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// How many, and how.
    #[command(flatten)]
    pub agents: AgentsArgs,
    /// Stay until all agents have ended
    #[arg(long)]
    pub wait: bool,
}

/// Which agents to start.
#[derive(Clone, Debug, Args)]
pub struct AgentsArgs {
    /// How many agents to start; on EC2 each has a machine of its own
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Agents")]
    pub count: u32,
    /// How many tasks each agent runs at once (else the agent's own default)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Agents")]
    pub slots: Option<u32>,
    /// The agent program (else the dayfly-agent beside this program)
    #[arg(long, value_name = "PATH", env = "DAYFLY_AGENT", help_heading = "Agents", value_parser = local_path)]
    pub agent: Option<PathBuf>,
    /// Agents stay when the job is over, and wait for more
    #[arg(long, help_heading = "Agents")]
    pub linger: bool,
    /// Where agents keep their logs and work (else a hidden folder in --local's, or ~/.local/state/dayfly)
    #[arg(long, value_name = "DIR", help_heading = "Agents", value_parser = local_path)]
    pub agents_dir: Option<PathBuf>,
    /// How long to wait for agents that were asked to stop
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = "Agents")]
    pub drain_time: Duration,
    /// Which machines.
    #[command(flatten)]
    pub machines: MachinesArgs,
}

/// `dayfly run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly run --local demo --demo -n 3\n  \
    dayfly run --local here --inputs data/ --kernel k.dat -n 4 --fetch results/\n  \
    dayfly run s3://my-bucket/job -n 4             go on with a job that was seeded before")]
pub struct RunArgs {
    /// What to seed.
    #[command(flatten)]
    pub seed: SeedArgs,
    /// How many agents, and how.
    #[command(flatten)]
    pub agents: AgentsArgs,
    /// Copy the outputs to DIR at the end
    #[arg(long, value_name = "DIR", value_parser = local_path)]
    pub fetch: Option<PathBuf>,
}

/// `dayfly status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Show every running task, agent and given-up task, not just the first of each
    #[arg(long)]
    pub all: bool,
    /// Ask AWS what it has cost so far, where it runs on EC2 (as dayfly cost does)
    #[arg(long)]
    pub cost: bool,
}

/// `dayfly fetch`.
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "dayfly fetch [OPTIONS] [JOB] <DIR>",
    after_help = "Examples:\n  \
        dayfly fetch s3://my-bucket/job results/\n  \
        dayfly fetch --local demo results/ --glob 'out[0-4].dat'\n\n\
        What is there already and has the right size and checksum is not fetched again."
)]
pub struct FetchArgs {
    /// The job (s3://BUCKET/PREFIX), and the folder to copy to
    #[arg(value_name = "[JOB] DIR", required = true, num_args = 1..=2)]
    pub job_and_dir: Vec<String>,
    /// The job where the command line names none.
    #[arg(long, hide = true, env = "DAYFLY_JOB")]
    pub default_job: Option<Location>,
    /// Only outputs whose name, or whose input's name, matches
    #[arg(long, value_name = "GLOB")]
    pub glob: Option<String>,
}

/// `dayfly retry`.
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "dayfly retry [OPTIONS] [JOB] <NAME>...\n       dayfly retry [OPTIONS] [JOB] --all",
    after_help = "Examples:\n  \
        dayfly retry s3://my-bucket/job in7.dat\n  \
        dayfly retry --local demo --all"
)]
pub struct RetryArgs {
    /// The job (s3://BUCKET/PREFIX), and the names of tasks that were given up
    #[arg(value_name = "[JOB] NAME")]
    pub job_and_names: Vec<String>,
    /// The job where the command line names none.
    #[arg(long, hide = true, env = "DAYFLY_JOB")]
    pub default_job: Option<Location>,
    /// Every task that was given up
    #[arg(long)]
    pub all: bool,
}

/// `dayfly pause`, `drain`, `resume` and `cancel`.
#[derive(Clone, Debug, Args)]
pub struct ControlArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

/// `dayfly jobs`.
#[derive(Clone, Debug, Args)]
pub struct JobsArgs {
    /// Where to look, as s3://BUCKET/PREFIX (with --local: every bucket)
    #[arg(value_name = "PLACE")]
    pub place: Option<Location>,
    /// How many folders deep to look
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub depth: u32,
}

/// `dayfly clean`.
#[derive(Clone, Debug, Args)]
pub struct CleanArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArg,
    /// Leave what is younger (else: the job's task time limit while it runs, an hour once it is over)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
}

/// `dayfly serve`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  \
    dayfly serve demo            then, elsewhere, paste the lines it prints, and: aws s3 ls s3://dayfly/")]
pub struct ServeArgs {
    /// The folder; each folder in it is a bucket
    #[arg(value_parser = local_path)]
    pub dir: PathBuf,
    /// The port to listen on (else the one used there before, else any free one)
    #[arg(long)]
    pub port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// A URL would be taken for a folder called `s3:`.
    #[test]
    fn no_path_takes_a_place_in_a_bucket() {
        fn walk(command: &clap::Command, paths: &mut Vec<String>) {
            for argument in command.get_arguments() {
                let parser = argument.get_value_parser();
                if parser.type_id() == clap::builder::ValueParser::path_buf().type_id() {
                    // The library's own parser for paths takes anything.
                    let any = format!("{:?}", clap::builder::ValueParser::path_buf());
                    assert_ne!(format!("{parser:?}"), any, "{} {argument}: it wants local_path", command.get_name());
                    paths.push(argument.to_string());
                }
            }
            command.get_subcommands().for_each(|below| walk(below, paths));
        }
        let (mut command, mut paths) = (Cli::command(), Vec::new());
        command.build();
        walk(&command, &mut paths);
        assert!(paths.len() > 10, "{paths:?}");
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in [["dayfly", "--local", "d", "status"], ["dayfly", "status", "--local", "d"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.local, Some("d".into()));
        }
    }
}
