//! The JSON objects of a job, as they stand in the bucket: small, indented, made to be read by people too.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use crate::job::SCHEMA;
use crate::store::RequestCounts;

/// As JSON, indented, with a last newline (so that `aws s3 cp … -` reads well).
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // The records are plain data with text keys: serialising them cannot fail.
    let mut json = serde_json::to_vec_pretty(value).unwrap_or_default();
    json.push(b'\n');
    json
}

/// An object's body that is not the record it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecord(String);

/// Reads a record. Unknown fields are passed over: a record may come from a newer agent of the same schema.
///
/// # Errors
/// When it is not that record, or of a newer schema.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadRecord> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(|e| BadRecord(e.to_string()))?;
    if versioned.schema > SCHEMA {
        return Err(BadRecord(format!(
            "it has schema {}, and this dayfly reads up to {SCHEMA}: use a newer dayfly",
            versioned.schema
        )));
    }
    serde_json::from_slice(bytes).map_err(|e| BadRecord(e.to_string()))
}

/// Whether a semaphore's agent still works on the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// It does, as long as it renews.
    Held,
    /// It gave the chunk back; anybody may take it.
    Released,
}

/// How a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenureEnd {
    /// It closed the chunk.
    Closed,
    /// It gave the chunk back: a spot notice, a drain, a pause, a planned stop.
    Released,
    /// It stopped renewing and was taken over.
    Expired,
}

/// One agent's holding of one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TenureRecord {
    /// Who.
    pub agent: AgentId,
    /// The count of the tenure, from 1.
    pub epoch: u32,
    /// Its nonce.
    pub tenure: Nonce,
    /// When it began, by the agent's clock.
    pub from: Timestamp,
    /// When it ended: by the agent's clock, or, where it expired, by the clock of who took over.
    pub to: Timestamp,
    /// How.
    pub end: TenureEnd,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Its output, or that of an earlier one, stands.
    Done,
    /// The processor failed: spends one of the task's attempts.
    Failed,
    /// Stopped by a drain or a spot notice: spends nothing.
    Preempted,
    /// The store did not answer, or what arrived was damaged: spends nothing.
    Interrupted,
    /// Its agent vanished while other tasks ran beside it: spends nothing.
    Vanished,
    /// Its agent vanished while the task ran alone, announced: counts against the task's losses.
    VanishedAlone,
}

/// What an attempt's program used of its machine, with all that it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// The most memory in use at a time that could not have been given back (caches of files do not count), in bytes.
    pub peak_memory_bytes: u64,
    /// CPU time, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// From its start to its end, in milliseconds.
    pub wall_ms: u64,
}

/// What the attempts of many tasks used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Attempts that were measured.
    pub attempts: u64,
    /// The most that any of them had in memory, in bytes.
    pub peak_memory_bytes: u64,
    /// CPU time of all, in milliseconds.
    pub cpu_ms: u64,
    /// From start to end, of all, in milliseconds.
    pub wall_ms: u64,
}

impl UsageTotals {
    /// Takes in one attempt's.
    pub fn add(&mut self, usage: Usage) {
        self.attempts += 1;
        self.peak_memory_bytes = self.peak_memory_bytes.max(usage.peak_memory_bytes);
        self.cpu_ms += usage.cpu_ms;
        self.wall_ms += usage.wall_ms;
    }
}

/// One run of one task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The task.
    pub task: TaskId,
    /// Its name in keys.
    pub attempt: Attempt,
    /// Who ran it.
    pub agent: AgentId,
    /// When it began, by the agent's clock.
    pub from: Timestamp,
    /// When it ended, by the clock of who recorded the end.
    pub to: Timestamp,
    /// How.
    pub end: AttemptEnd,
    /// What the processor said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What its program used; absent for built-in processors, and for attempts of tenures that did not close the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The task that a tenure has in hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Running {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// Since when.
    pub from: Timestamp,
    /// Whether it runs alone on its agent, so that a loss is the task's.
    pub alone: bool,
}

/// The lease object of a chunk, and of a standby seat.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Semaphore {
    /// The version of this format.
    pub schema: u32,
    /// Who holds it, or held it last.
    pub agent: AgentId,
    /// Marks the tenure.
    pub tenure: Nonce,
    /// Counts the writes of the tenure, from 1: with `tenure` it is the write nonce, new per write, kept in its re-sends.
    pub write: u32,
    /// Counts the tenures of this chunk, from 1.
    pub epoch: u32,
    /// How long it lasts without a renewal, in seconds.
    pub ttl_seconds: u32,
    /// Held or released.
    pub state: LeaseState,
    /// When the tenure began, by the agent's clock.
    pub since: Timestamp,
    /// Names of the tasks, where the chunk has just one: for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many tasks of the chunk are decided, for people and progress.
    #[serde(default)]
    pub decided: u32,
    /// The task in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The attempts at undecided tasks that ended otherwise than done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    /// How many times the chunk was taken over from a holder that vanished.
    #[serde(default)]
    pub losses: u32,
    /// The tenures before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenures: Vec<TenureRecord>,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// Its output stands.
    Done {
        /// The output's size in bytes.
        bytes: u64,
        /// Its checksum as stored, `<algorithm>:<base64>`; absent where the store tells none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checksum: Option<String>,
        /// The attempt that committed it; absent for an output that stood before the job.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Attempt>,
    },
    /// Given up; the dead letter says why.
    Failed {
        /// The last error.
        error: String,
    },
}

/// A task's line in a result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: TaskOutcome,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
}

/// The record that closes a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResultRecord {
    /// The version of this format.
    pub schema: u32,
    /// The chunk.
    pub chunk: ChunkId,
    /// Every tenure, in order.
    pub tenures: Vec<TenureRecord>,
    /// Every task, in order.
    pub tasks: Vec<TaskResult>,
}

/// The record of a task given up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The version of this format.
    pub schema: u32,
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The last error.
    pub error: String,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
    /// When it was given up, by the agent's clock.
    pub at: Timestamp,
    /// The key of the last attempt's log, if it left one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// What the job's people want of the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlState {
    /// Work.
    #[default]
    Running,
    /// Begin nothing more: finish the task in hand, give the chunk back, and wait.
    Paused,
    /// As paused, but by an agent, because going on would burn tasks.
    Suspended,
    /// Begin nothing more: finish the task in hand, give the chunk back, and end.
    Draining,
    /// Stop the tasks in hand, give the chunks back, and end.
    Cancelled,
}

/// `control.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Control {
    /// The version of this format.
    pub schema: u32,
    /// What is wanted.
    pub state: ControlState,
    /// Why, in a person's or an agent's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, by that one's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The most that the job is to cost, in dollars: whoever sees it pass drains the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<String>,
}

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Working, or looking for work.
    Working,
    /// Holding a standby seat.
    Standby,
    /// Lingering: the job is over, and it waits for more.
    Lingering,
    /// Told to stop; finishing what it can.
    Draining,
    /// Gone.
    Ended,
}

/// Where an agent runs, as far as it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The host's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The engine that started it, with the engine's own numbers, such as `slurm 1234_3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The instance, such as `i-0123456789abcdef0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Such as `c7i.large`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Such as `us-west-2a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Such as `us-west-2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How it was bought: `spot`, `on-demand` or `scheduled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// The image that it was launched from, such as `ami-0123456789abcdef0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How many processors it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Its memory, as far as its kernel gives it away, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// A task that an agent has in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// Since when, by the agent's clock.
    pub since: Timestamp,
}

/// `agents/<agent>.json`, written by that process alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The version of this format.
    pub schema: u32,
    /// Who.
    pub agent: AgentId,
    /// The agent program's version.
    pub version: String,
    /// Where it runs.
    pub machine: Machine,
    /// When it started, by its own clock.
    pub born: Timestamp,
    /// When it wrote this, by its own clock.
    pub last_seen: Timestamp,
    /// What it is doing.
    pub state: AgentState,
    /// Why it drains or ended; while it works, what EC2 has announced for its instance, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// The tasks in hand.
    pub running: Vec<RunningTask>,
    /// Tasks whose output it committed.
    pub done: u64,
    /// Tasks it gave up.
    pub failed: u64,
    /// CPU seconds of the process since it started.
    pub cpu_seconds: f64,
    /// Load of the whole machine since the last record, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// Requests it sent to the store, by kind.
    pub requests: RequestCounts,
}

/// What a job cost, as whoever ran `dayfly cost` last found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Dollars in all, as far as prices and times are known.
    pub dollars: f64,
    /// Dollars of machines, their disks and addresses.
    pub machines: f64,
    /// Dollars of requests to the store by agents.
    pub requests: f64,
    /// Machines, and the seconds that they are billed for together.
    pub machine_count: u64,
    /// Those seconds.
    pub machine_seconds: u64,
    /// What is not in it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// When this was found.
    pub at: Timestamp,
}

/// `summary.json`: the figures of a finished job. It never decides that a job is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this format.
    pub schema: u32,
    /// The job's place.
    pub job: String,
    /// How many segments were closed when this was written.
    pub segments: u32,
    /// Tasks planned; a task planned twice counts once.
    pub tasks: u64,
    /// Tasks whose output stands.
    pub done: u64,
    /// Tasks given up.
    pub failed: u64,
    /// Output bytes of the tasks done.
    pub bytes: u64,
    /// Attempts, of all tasks.
    pub attempts: u64,
    /// What programs used; absent where nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageTotals>,
    /// When the first tenure began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Who wrote this.
    pub by: AgentId,
    /// When.
    pub at: Timestamp,
    /// What it cost; absent until somebody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}
