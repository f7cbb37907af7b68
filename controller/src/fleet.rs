//! Agents as a fleet: launched, listed, stopped. Processes on this machine stand behind the port today; instances of a
//! cloud come through the same calls.

mod local;
mod process;

use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::job::Location;
use serde::Serialize;

use crate::failure::Result;

pub use local::{LocalFleet, LocalSettings};

/// What to launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// For which job.
    pub job: Location,
    /// How many agents.
    pub count: u32,
    /// How many tasks each runs at once; none: its own default.
    pub slots: Option<u32>,
    /// Whether they stay when the job is over.
    pub linger: bool,
    /// How long they wait for somebody to resume a suspended job; none: their own default.
    pub suspended_wait: Option<Duration>,
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum MemberState {
    /// It is.
    Running,
    /// It has ended.
    Ended {
        /// With this exit code, where that is known; none also for one that was killed.
        code: Option<i32>,
    },
}

/// An agent as whoever launched it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name, unique among the members of its job.
    pub name: String,
    /// What the system calls it: a process id, an instance id.
    pub id: String,
    /// Where its log is.
    pub log: String,
    /// Whether it is there.
    #[serde(flatten)]
    pub state: MemberState,
    /// The last it said before it ended badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
}

impl Member {
    /// Whether it is there.
    pub fn is_running(&self) -> bool {
        self.state == MemberState::Running
    }
}

/// How to end a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ask it to give back what it holds, and end.
    Drain,
    /// At once. What it held goes to others when its leases expire.
    Now,
}

/// The port: whatever agents run on.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Launches agents; those that came up.
    async fn launch(&self, order: &Order) -> Result<Vec<Member>>;

    /// The members for a job, those of earlier launches too.
    async fn list(&self, job: &Location) -> Result<Vec<Member>>;

    /// Ends a member, or asks it to end. One that is gone already is fine.
    async fn stop(&self, member: &Member, how: Ending) -> Result<()>;
}
