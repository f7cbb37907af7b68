//! How a job stands at one moment.

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::TaskId;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::records::{Control, ControlState, DeadLetter};
use serde::Serialize;

use super::{AgentNow, RunningNow, UsageNow};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// There is work, and no agent at it.
    Idle,
    /// Agents are at work.
    Running,
    /// Told to begin nothing more.
    Paused,
    /// As paused, by an agent that saw that going on would burn tasks.
    Suspended,
    /// Told to finish what is in hand, and to end.
    Draining,
    /// Told to stop.
    Cancelled,
    /// Every task is done or given up.
    Over,
}

impl JobState {
    /// A job that is over is over, whatever it was told before.
    pub(super) fn of(control: Option<&Control>, over: bool, worked_on: bool) -> Self {
        match control.map(|c| c.state).unwrap_or_default() {
            _ if over => Self::Over,
            ControlState::Paused => Self::Paused,
            ControlState::Suspended => Self::Suspended,
            ControlState::Draining => Self::Draining,
            ControlState::Cancelled => Self::Cancelled,
            ControlState::Running if worked_on => Self::Running,
            ControlState::Running => Self::Idle,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
            Self::Over => "over",
        }
    }
}

/// How many tasks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All: planned, listed and not planned yet, and done before the job.
    pub total: u64,
    /// Those whose output stands.
    pub done: u64,
    /// Those given up.
    pub failed: u64,
    /// Lines of tasklist.txt that no plan has taken up yet.
    pub unplanned: u64,
}

/// A task that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GivenUp {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The last error.
    pub error: String,
    /// How many times it was tried.
    pub attempts: u64,
    /// When it was given up, by the agent's clock.
    pub at: Timestamp,
    /// The key of the last attempt's log.
    pub log: Option<String>,
}

impl GivenUp {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        Self {
            task: letter.task,
            name: letter.name.clone(),
            error: letter.error.clone(),
            attempts: letter.attempts.len() as u64,
            at: letter.at,
            log: letter.log.clone(),
        }
    }
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// The job.
    pub job: Location,
    /// Where it is in its life.
    pub state: JobState,
    /// What agents are told, whatever has become of the job.
    #[serde(skip)]
    pub told: ControlState,
    /// Why it is paused, suspended or cancelled.
    pub why: Option<String>,
    /// Who said so.
    pub told_by: Option<String>,
    /// When.
    pub told_at: Option<Timestamp>,
    /// How many tasks.
    pub tasks: Tally,
    /// How many chunks the plan has.
    pub chunks: u64,
    /// How many of them are closed.
    pub chunks_closed: u64,
    /// What programs used, and which machines would do; absent where nothing was measured.
    pub usage: Option<UsageNow>,
    /// Bytes of the outputs that the job made or found.
    pub output_bytes: u64,
    /// Attempts at tasks whose chunk is closed.
    pub attempts: u64,
    /// When the first task began.
    pub first: Option<Timestamp>,
    /// When the last one ended.
    pub last: Option<Timestamp>,
    /// How fast it goes.
    pub tasks_per_second: Option<f64>,
    /// How long yet, at this pace.
    pub seconds_left: Option<u64>,
    /// What is being worked on.
    pub running: Vec<RunningNow>,
    /// The agents.
    pub agents: Vec<AgentNow>,
    /// The first of the tasks given up.
    pub given_up: Vec<GivenUp>,
    /// The job's settings.
    pub settings: JobSettings,
}

impl Snapshot {
    /// Tasks that are neither done nor given up.
    pub fn left(&self) -> u64 {
        self.tasks.total - self.tasks.done - self.tasks.failed
    }

    /// Agents that are not ended, and were heard of lately.
    pub fn live_agents(&self) -> u64 {
        self.agents.iter().filter(|a| a.live).count() as u64
    }
}
