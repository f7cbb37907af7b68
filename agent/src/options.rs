//! The command line, the environment and instance metadata, resolved into settings: in this order of precedence.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use dayfly_shared::claim::WHOLE_ROW;
use dayfly_shared::ids::AgentId;
use dayfly_shared::job::Location;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{S3Settings, S3Timeouts};
use serde::Deserialize;

use crate::driver::Settings;
use crate::instance::{Imds, InstanceMetadata, machine};
use crate::processor::PART_BYTES;

/// Fleets of up to some hundred agents start at once; the job's size is not known yet, so this is small, and chunks spread
/// the rest.
const BOOT_SPREAD: Duration = Duration::from_millis(300);

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
    /// This agent's name in keys and logs [default: the host's name]
    #[arg(long, env = "DAYFLY_NAME", help_heading = "Job")]
    name: Option<String>,
    /// Tasks at once [default: the number of cores]
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
    /// The log and scratch folders go here [default: a folder of its own in the system's temporary one]
    #[arg(long, env = "DAYFLY_WORK_DIR", value_name = "DIR", help_heading = "Machine")]
    work_dir: Option<PathBuf>,
    /// Seconds that running tasks get when the agent is told to stop
    #[arg(long, env = "DAYFLY_DRAIN_GRACE", value_name = "SECONDS", default_value_t = 90, help_heading = "Machine")]
    drain_grace: u64,
    /// Seconds without an answer from the store after which the agent ends
    #[arg(long, env = "DAYFLY_GIVE_UP_AFTER", value_name = "SECONDS", default_value_t = 900, help_heading = "Machine")]
    give_up_after: u64,
    /// Log to the files only
    #[arg(long, short, help_heading = "Machine")]
    quiet: bool,
}

/// What an instance's user data may say, as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserData {
    job: Option<Location>,
    name: Option<String>,
    slots: Option<NonZeroU32>,
    #[serde(default)]
    linger: bool,
    endpoint_url: Option<String>,
    region: Option<String>,
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
    /// Log to the files only.
    pub quiet: bool,
}

impl Options {
    /// Fills in what is missing from the instance's metadata, then from defaults.
    ///
    /// # Errors
    /// No job anywhere; metadata that does not answer; user data that is not what it should be.
    pub async fn resolve(self, dice: &dyn Dice) -> Result<Resolved, String> {
        let imds = self.metadata.then(Imds::new);
        let data = match &imds {
            Some(imds) => user_data(imds).await?,
            None => UserData::default(),
        };
        let job = self.job.or(data.job).ok_or(
            "no job is given: use --job s3://BUCKET/PREFIX, or DAYFLY_JOB, or --metadata with user data that has a job",
        )?;
        let machine = machine(imds.as_ref().map(|i| i as &dyn InstanceMetadata)).await;
        let name = self.name.or(data.name).or_else(|| machine.instance_id.clone()).unwrap_or(machine.host.clone());
        let me = AgentId::of(&name, dice.nonce());
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let work_dir = self.work_dir.unwrap_or_else(|| std::env::temp_dir().join("dayfly").join(me.as_str()));
        let store = S3Settings {
            bucket: job.bucket().to_owned(),
            region: self.region.or(data.region),
            endpoint_url: self.endpoint_url.or(data.endpoint_url),
            profile: self.profile,
            keys: None,
            force_path_style: None,
            timeouts: S3Timeouts::default(),
        };
        Ok(Resolved {
            settings: Settings {
                job,
                me,
                slots: self.slots.or(data.slots).map_or(cores, NonZeroU32::get),
                linger: self.linger || data.linger,
                boot_spread: BOOT_SPREAD,
                give_up_after: Duration::from_secs(self.give_up_after),
                part_bytes: PART_BYTES,
                whole_row: WHOLE_ROW,
                work_dir,
                machine,
            },
            store,
            drain_grace: Duration::from_secs(self.drain_grace),
            quiet: self.quiet,
        })
    }
}

async fn user_data(imds: &Imds) -> Result<UserData, String> {
    let Some(text) = imds.user_data().await? else { return Ok(UserData::default()) };
    serde_json::from_str(&text).map_err(|e| {
        format!("the instance's user data is not what the agent reads (JSON with job, name, slots, linger, …): {e}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
