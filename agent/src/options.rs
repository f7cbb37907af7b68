//! The command line, the environment and instance metadata, resolved into settings: in this order of precedence.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use dayfly_shared::claim::WHOLE_ROW;
use dayfly_shared::clock::Clock;
use dayfly_shared::ids::{AgentId, Nonce};
use dayfly_shared::instance::InstanceSettings;
use dayfly_shared::job::Location;
use dayfly_shared::notice::Address;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{S3Settings, S3Timeouts};
use futures::join;

use crate::driver::Settings;
use crate::instance::{Console, Engine, Imds, InstanceMetadata, here, machine};
use crate::processor::PART_BYTES;
use crate::supervisor::User;

/// For each agent: S3 takes 3,500 writes a second at a prefix (user guide, "Best practices design patterns: optimizing
/// Amazon S3 performance"), so a fleet's first claims take a third of that.
const BOOT_SPREAD: Duration = Duration::from_millis(1);

/// A built-in processor computes for some milliseconds of a task that takes the store tens: with so many a core, claims,
/// results and the latency of requests are hidden behind other tasks.
const STREAMS_A_CORE: u32 = 4;

/// Between two tries to read the user data.
const METADATA_AGAIN: Duration = Duration::from_secs(2);

/// Ten minutes: for somebody who is watching to mend what is wrong; then a machine that waits is a waste.
const SUSPENDED_WAIT: u64 = 600;

const POWER_OFF: &str = "power-off";
const POWER_OFF_VARIABLE: &str = "DAYFLY_POWER_OFF";
const CONSOLE: &str = "console";
const CONSOLE_VARIABLE: &str = "DAYFLY_CONSOLE";

/// Runs the tasks of one job: claims them through the bucket, commits their outputs, ends when none is free.
#[derive(Debug, Parser)]
#[command(
    name = "dayfly-agent",
    version,
    after_help = "Exit codes: 0 nothing left to do, 1 failed, 2 wrong command \
line, 4 told to stop (claims were given back), 5 the job was cancelled."
)]
pub struct Options {
    /// The job, as s3://BUCKET/PREFIX
    #[arg(long, env = "DAYFLY_JOB", value_name = "URL", help_heading = "Job")]
    job: Option<Location>,
    /// This agent's name in keys and logs [default: that of the engine's job, or the host's]
    #[arg(long, env = "DAYFLY_NAME", help_heading = "Job")]
    name: Option<String>,
    /// Tasks at once [default: one a core; four a core where they only pass through memory]
    #[arg(long, env = "DAYFLY_SLOTS", value_name = "N", help_heading = "Job")]
    slots: Option<NonZeroU32>,
    /// Wait for new lines in tasklist.txt instead of ending
    #[arg(long, env = "DAYFLY_LINGER", help_heading = "Job")]
    linger: bool,

    /// Where S3 is, if it is not AWS's
    #[arg(long, value_name = "URL", help_heading = "Store")]
    endpoint_url: Option<String>,
    /// The bucket's region
    #[arg(long, help_heading = "Store")]
    region: Option<String>,
    /// The profile of ~/.aws/config
    #[arg(long, help_heading = "Store")]
    profile: Option<String>,

    /// Read settings that are not given here from the instance's user data, and say in the agent's record which instance
    /// it is
    #[arg(long, env = "DAYFLY_METADATA", help_heading = "Machine")]
    metadata: bool,
    /// Read settings that are not given here from this file instead of the user data, in the same form (JSON)
    #[arg(long, env = "DAYFLY_SETTINGS", value_name = "FILE", help_heading = "Machine")]
    settings: Option<PathBuf>,
    /// Run this program when the agent ends, whatever its end, with the reason as its argument
    #[arg(long = POWER_OFF, env = POWER_OFF_VARIABLE, value_name = "PROGRAM", help_heading = "Machine")]
    power_off: Option<PathBuf>,
    /// Say there what went wrong, such as on /dev/console
    #[arg(long = CONSOLE, env = CONSOLE_VARIABLE, value_name = "PATH", help_heading = "Machine")]
    console: Option<PathBuf>,
    /// Wait so long after the work before powering off, for somebody who watches
    #[arg(long, env = "DAYFLY_OBSERVE", value_name = "SECONDS", help_heading = "Machine")]
    observe: Option<u64>,
    /// Stop in time before the machine's end, which comes so long after the agent's start
    #[arg(long, env = "DAYFLY_MAX_LIFETIME", value_name = "SECONDS", help_heading = "Machine")]
    max_lifetime: Option<u64>,
    /// Wait so long for the bucket, and for the instance's metadata, to answer at the start
    #[arg(long, env = "DAYFLY_REACH_WITHIN", value_name = "SECONDS", default_value_t = 0, help_heading = "Machine")]
    reach_within: u64,
    /// The log and scratch folders go here [default: a folder of its own in the system's temporary one]
    #[arg(long, env = "DAYFLY_WORK_DIR", value_name = "DIR", help_heading = "Machine")]
    work_dir: Option<PathBuf>,
    /// Seconds that running tasks get when the agent is told to stop
    #[arg(long, env = "DAYFLY_DRAIN_GRACE", value_name = "SECONDS", default_value_t = 90, help_heading = "Machine")]
    drain_grace: u64,
    /// Seconds without an answer from the store after which the agent ends
    #[arg(long, env = "DAYFLY_GIVE_UP_AFTER", value_name = "SECONDS", default_value_t = 900, help_heading = "Machine")]
    give_up_after: u64,
    /// Seconds that the agent waits on a suspended job for somebody to resume it, before it ends
    #[arg(long, env = "DAYFLY_SUSPENDED_WAIT", value_name = "SECONDS", default_value_t = SUSPENDED_WAIT, help_heading = "Machine")]
    suspended_wait: u64,
    /// Run tasks' programs as this user, by name or number
    #[arg(long, env = "DAYFLY_RUN_AS", value_name = "USER", help_heading = "Machine")]
    run_as: Option<String>,
    /// Run containers with this engine, podman or docker, by name or path [default: whichever is there, podman first]
    #[arg(long, env = "DAYFLY_CONTAINER_ENGINE", value_name = "PROGRAM", help_heading = "Machine")]
    container_engine: Option<String>,
    /// Log to the files only
    #[arg(long, short, help_heading = "Machine")]
    quiet: bool,
}

/// Settings, ready to use.
#[derive(Debug)]
pub struct Resolved {
    /// Of the agent.
    pub settings: Settings,
    /// Of the store.
    pub store: S3Settings,
    /// How long running tasks get at a drain.
    pub drain_grace: Duration,
    /// Who tasks' programs run as, if not as the agent.
    pub user: Option<User>,
    /// The engine that runs containers, if not whichever is there.
    pub container_engine: Option<String>,
    /// Log to the files only.
    pub quiet: bool,
    /// The instance's metadata.
    pub metadata: Option<Arc<Imds>>,
    /// How long the bucket may take to answer at the start; zero: what a call takes.
    pub reach_within: Duration,
    /// The pause before the end.
    pub observe: Duration,
    /// How long the machine lives from now on.
    pub max_lifetime: Option<Duration>,
    /// Whether a rebalance recommendation is a reason to stop.
    pub drain_on_rebalance: bool,
    /// The launch that the machine belongs to.
    pub launch: Option<Nonce>,
    /// Whether its fleet is to be shut off when no chunk is free.
    pub shut_off_fleet: bool,
    /// The group of CloudWatch Logs that the log goes to as well.
    pub log_group: Option<String>,
}

/// How the machine ends, and where its last words go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The program that ends it.
    pub power_off: Option<PathBuf>,
    /// The console.
    pub console: Option<PathBuf>,
}

impl End {
    /// What of it a command line names that is wrong in other places.
    pub fn salvage(arguments: &[OsString]) -> Self {
        let path = |flag, variable| named(arguments, flag).or_else(|| std::env::var_os(variable)).map(PathBuf::from);
        Self { power_off: path(POWER_OFF, POWER_OFF_VARIABLE), console: path(CONSOLE, CONSOLE_VARIABLE) }
    }
}

/// The value of `--flag VALUE` or `--flag=VALUE`.
fn named(arguments: &[OsString], flag: &str) -> Option<OsString> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.to_str().and_then(|a| a.strip_prefix("--")).and_then(|a| a.strip_prefix(flag)) else {
            continue;
        };
        match rest.strip_prefix('=') {
            Some(value) => return Some(value.into()),
            None if rest.is_empty() => return arguments.next().cloned().filter(|value| value != OsStr::new("")),
            None => {}
        }
    }
    None
}

impl Options {
    /// How the machine ends.
    pub fn end(&self) -> End {
        End { power_off: self.power_off.clone(), console: self.console.clone() }
    }

    /// Fills in what is missing from the settings' file or the instance's metadata, then from defaults.
    ///
    /// # Errors
    /// No job anywhere; metadata that does not answer; user data that is not what it should be.
    pub async fn resolve(self, dice: &dyn Dice, clock: &dyn Clock, console: &Console) -> Result<Resolved, String> {
        let imds = self.metadata.then(|| Arc::new(Imds::new()));
        let reach_within = Duration::from_secs(self.reach_within);
        let data = async {
            match (&self.settings, &imds) {
                (Some(file), _) => {
                    let name = file.display();
                    let text = std::fs::read_to_string(file).map_err(|e| format!("{name} cannot be read: {e}"))?;
                    parse(&name.to_string(), &text)
                }
                (None, Some(imds)) => user_data(imds, reach_within, clock, console).await,
                (None, None) => Ok(InstanceSettings::default()),
            }
        };
        // At once, as both are on the way to the first claim.
        let (data, machine) = join!(data, async { Some(machine(&**imds.as_ref()?).await) });
        let data = data?;
        if data.slots == Some(0) {
            return Err("the user data say slots: 0; leave slots out for one a core".to_owned());
        }
        let job = self.job.or(data.job).ok_or(
            "no job is given: use --job s3://BUCKET/PREFIX, or DAYFLY_JOB, or --metadata with user data that has a job",
        )?;
        let machine = match (machine, &imds) {
            (Some(Ok(machine)), _) => machine,
            // The user data may have come after some tries.
            (_, Some(imds)) => crate::instance::machine(&**imds).await.unwrap_or_else(|_| here()),
            (_, None) => here(),
        };
        let name = self.name.or(data.name).or_else(|| machine.instance_id.clone());
        let name = name.or_else(|| Engine::here()?.name).unwrap_or_else(|| machine.host.clone());
        let me = AgentId::of(&name, dice.nonce());
        let given = self.slots.map(NonZeroU32::get).or(data.slots);
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let work_dir = self.work_dir.unwrap_or_else(|| std::env::temp_dir().join("dayfly").join(me.as_str()));
        let store = S3Settings {
            bucket: job.bucket().to_owned(),
            region: self.region.or(data.region),
            endpoint_url: self.endpoint_url.or(data.endpoint_url),
            profile: self.profile,
            keys: None,
            metadata: imds.as_ref().map(|imds| imds.client()),
            force_path_style: None,
            timeouts: S3Timeouts::default(),
        };
        Ok(Resolved {
            settings: Settings {
                job,
                me,
                slots: given.unwrap_or(cores),
                streams: given.unwrap_or(cores.saturating_mul(STREAMS_A_CORE)),
                linger: self.linger || data.linger,
                boot_spread: BOOT_SPREAD,
                suspended_wait: Duration::from_secs(self.suspended_wait),
                give_up_after: Duration::from_secs(self.give_up_after),
                part_bytes: PART_BYTES,
                whole_row: WHOLE_ROW,
                notify: data.notify_topic.map(Address::Topic).into_iter().collect(),
                work_dir,
                machine,
            },
            store,
            drain_grace: Duration::from_secs(self.drain_grace),
            user: self.run_as.as_deref().map(User::find).transpose()?,
            container_engine: self.container_engine,
            quiet: self.quiet,
            metadata: imds,
            reach_within,
            observe: Duration::from_secs(self.observe.or(data.observe_seconds).unwrap_or(0)),
            max_lifetime: self.max_lifetime.or(data.max_lifetime_seconds).map(Duration::from_secs),
            drain_on_rebalance: data.drain_on_rebalance,
            launch: data.launch,
            shut_off_fleet: data.shut_off_fleet,
            log_group: data.log_group,
        })
    }
}

/// What the instance's user data say. A machine may ask before its network is up: tried for as long as for the bucket.
async fn user_data(
    imds: &Imds,
    within: Duration,
    clock: &dyn Clock,
    console: &Console,
) -> Result<InstanceSettings, String> {
    let until = clock.now().at.after(within);
    loop {
        match imds.user_data().await {
            Ok(None) => return Ok(InstanceSettings::default()),
            Ok(Some(text)) => return parse("the instance's user data", &text),
            Err(error) if clock.now().at >= until => return Err(error),
            Err(error) => console.say(&error),
        }
        clock.sleep(METADATA_AGAIN).await;
    }
}

fn parse(what: &str, text: &str) -> Result<InstanceSettings, String> {
    serde_json::from_str(text)
        .map_err(|e| format!("{what} is not what the agent reads (JSON with job, name, slots, linger, …): {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_wrong_line_still_names_the_end() {
        let line = |words: &[&str]| End::salvage(&words.iter().map(OsString::from).collect::<Vec<_>>());
        let end = line(&["agent", "--wrong", "--power-off", "/sbin/off", "--console=/dev/console", "--slots", "x"]);
        assert_eq!(end.power_off, Some("/sbin/off".into()));
        assert_eq!(end.console, Some("/dev/console".into()));
        assert_eq!(line(&["agent", "--power-offs", "x", "--power-off"]).power_off, None);
    }
}
