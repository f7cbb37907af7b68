//! What is being worked on, as the semaphores say.

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, ChunkId, TaskId};
use dayfly_shared::keys::Keys;
use dayfly_shared::records::{LeaseState, Semaphore, from_json};
use dayfly_shared::views::Ledger;
use serde::Serialize;

use super::{Aged, Cache};

/// A chunk that somebody holds, or held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunningNow {
    /// The chunk.
    pub chunk: ChunkId,
    /// The task in hand, once it has begun.
    pub task: Option<TaskId>,
    /// The name of that task, or of the chunk's only one.
    pub name: Option<String>,
    /// Who.
    pub agent: AgentId,
    /// Since when the task runs (or the chunk is held), by the agent's clock.
    pub since: Timestamp,
    /// How many tenures the chunk has had.
    pub epoch: u32,
    /// Held or released.
    pub state: LeaseState,
    /// Tasks of the chunk that are decided.
    pub decided: u32,
    /// Tasks of the chunk.
    pub tasks: Option<u32>,
    /// How long ago the semaphore was written, by the store's clock.
    pub age_seconds: Option<u64>,
    /// How long it lasts.
    pub ttl_seconds: u32,
}

impl RunningNow {
    /// Held, and renewed in time.
    pub fn holds(&self) -> bool {
        self.state == LeaseState::Held && self.age_seconds.is_none_or(|age| age <= u64::from(self.ttl_seconds))
    }

    /// How its lease is, in a word.
    pub fn lease(&self) -> &'static str {
        match (self.state, self.holds()) {
            (LeaseState::Released, _) => "released",
            (_, true) => "held",
            (_, false) => "expired",
        }
    }
}

/// Every chunk with a semaphore, in the order of the plan.
pub(super) fn running(keys: &Keys, ledger: &Ledger, listed: &[Aged], cache: &Cache) -> Vec<RunningNow> {
    let one = |(entry, age): &Aged| {
        let chunk = keys.parse_chunk(&entry.key)?;
        let (_, bytes) = cache.get(&entry.key)?;
        let semaphore = match from_json::<Semaphore>(bytes) {
            Ok(semaphore) => semaphore,
            Err(error) => {
                tracing::warn!(key = entry.key, %error, "not a semaphore");
                return None;
            }
        };
        let segment = ledger.segments().get(chunk.segment.checked_sub(1)? as usize);
        let span = segment.and_then(|s| s.segment.chunks.get(chunk.index.checked_sub(1)? as usize).copied());
        let task = semaphore.running.as_ref().map(|r| r.task);
        let name = task.and_then(|t| ledger.name_of(t)).map(ToString::to_string).or(semaphore.name);
        Some(RunningNow {
            chunk,
            task,
            name,
            agent: semaphore.agent,
            since: semaphore.running.map_or(semaphore.since, |r| r.from),
            epoch: semaphore.epoch,
            state: semaphore.state,
            decided: semaphore.decided,
            tasks: span.map(|s| s.tasks),
            age_seconds: age.map(|a| a.as_secs()),
            ttl_seconds: semaphore.ttl_seconds,
        })
    };
    let mut all: Vec<RunningNow> = listed.iter().filter_map(one).collect();
    all.sort_by_key(|r| r.chunk);
    all
}
