//! Runs the state machines against the store: owns every await.
//!
//! One agent is a few tasks around shared state: the slots, each with a tenure at a time; the refresher of the views; the
//! keeper, which reads `control.json`, writes the agent's record and uploads its log. Whichever slot finds nothing to
//! claim decides, alone, whether to wait or to end.
//!
//! Every `select!` is `biased`: which of two ready things comes first is then the same in every run of a simulation, and
//! the simulator decides what is ready when.

mod agent;
mod boot;
mod closing;
mod first_look;
mod fleet;
mod keeper;
mod plan_shelf;
mod refresher;
mod relay;
mod seat;
mod slot;
mod suspicion;
mod tenure_run;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::clock::{Clock, Moment};
use dayfly_shared::exit::Exit;
use dayfly_shared::ids::{AgentId, Nonce};
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::notice::{Address, Herald};
use dayfly_shared::records::Machine;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{RequestCounts, Store};
use tokio::sync::watch;

use crate::processor::Processor;

pub use boot::run;
pub use first_look::FirstLook;
pub use relay::BEHIND;

/// The stores that an agent works with.
pub trait Stores: Send + Sync {
    /// The store of a bucket, its reads patient, its requests counted.
    fn open(&self, bucket: &str) -> Arc<dyn Store>;
    /// The requests sent so far, to all buckets.
    fn counts(&self) -> RequestCounts;
    /// The address that the store is reached at, as it is noted beside a check of its conditions.
    fn endpoint(&self) -> String;
    /// The region, where it is AWS's own S3.
    fn region(&self) -> Option<&str> {
        None
    }
}

/// What the process and the machine use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds of the process since it started.
    pub cpu_seconds: f64,
    /// Load of the whole machine since the last reading, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Resident memory of the process.
    pub memory_bytes: u64,
}

/// Reads [`Usage`].
pub trait Gauge: Send + Sync {
    /// Now.
    fn read(&self) -> Usage;
}

/// The agent's own log, to be uploaded.
#[async_trait]
pub trait Journal: Send + Sync {
    /// How many bytes were written to it.
    async fn size(&self) -> u64;
    /// What is kept of it.
    async fn content(&self) -> std::io::Result<Vec<u8>>;
}

/// Somebody's wish that the agent stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why: a signal, a spot notice.
    pub why: String,
    /// When the tasks in hand are stopped.
    pub deadline: Moment,
}

/// Keeps a fleet from replacing the instances that it loses.
#[async_trait]
pub trait FleetSwitch: Send + Sync {
    /// The launch that made the fleet: its record names it.
    fn launch(&self) -> Nonce;

    /// Deletes the fleet and leaves its instances be; one that is deleted already is fine.
    ///
    /// # Errors
    /// In words.
    async fn shut_off(&self, fleet: &str) -> Result<(), String>;
}

/// Makes the processor that a job's settings ask for.
pub type Processors = Arc<dyn Fn(&JobSettings) -> Arc<dyn Processor> + Send + Sync>;

/// What an agent is made of.
#[derive(Clone)]
pub struct Parts {
    /// The stores.
    pub stores: Arc<dyn Stores>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub dice: Arc<dyn Dice>,
    /// The processor that settings ask for.
    pub processors: Processors,
    /// What the process uses.
    pub gauge: Arc<dyn Gauge>,
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Turns to a stop when the agent is to drain.
    pub stop: watch::Receiver<Option<Stop>>,
    /// What was announced for the machine that is no reason to stop yet, for the agent's record.
    pub notice: watch::Receiver<Option<String>>,
    /// Where the agent's fleet replaces what it loses: whoever finds no free chunk shuts it off.
    pub fleet: Option<Arc<dyn FleetSwitch>>,
    /// Tells whom the job, or the settings, name that the job is over.
    pub herald: Option<Arc<dyn Herald>>,
}

/// How an agent is to work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The job.
    pub job: Location,
    /// Who it is.
    pub me: AgentId,
    /// Tasks at once.
    pub slots: u32,
    /// Tasks at once of a built-in processor, which waits for the store far longer than it computes.
    pub streams: u32,
    /// Wait for new lines instead of ending.
    pub linger: bool,
    /// So much longer, for each agent that is expected besides this one, the first claims are spread: fleets boot
    /// together. Not longer than some seconds in all.
    pub boot_spread: Duration,
    /// How long the agent waits on a suspended job for somebody to resume it, before it ends.
    pub suspended_wait: Duration,
    /// After how long without an answer from the store the agent ends.
    pub give_up_after: Duration,
    /// From which size on an output goes up in parts.
    pub part_bytes: usize,
    /// Up to how many chunks every search goes all the way round (see `Policy::whole_row`).
    pub whole_row: u32,
    /// Who is told when the job is over, besides whom the job names.
    pub notify: Vec<Address>,
    /// Where scratch folders lie.
    pub work_dir: PathBuf,
    /// Where it runs.
    pub machine: Machine,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code.
    pub exit: Exit,
    /// In words.
    pub why: String,
}
