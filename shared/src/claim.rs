//! The claim protocol as a state machine without I/O.
//!
//! What comes in: events with the time. What goes out: [`Effect`]s, which a driver carries out and answers. Nothing here
//! reads a clock, draws a random number, or knows a key's text, so the same types run in the agent, in a simulator and
//! under a model checker; all of them are `Clone`, `Eq` and `Hash` for that.
//!
//! * [`Lease`]: one lease object (a semaphore or a standby seat): claim, renew, release, delete, and finding out what
//!   became of a write that nobody answered.
//! * [`Tenure`]: one agent's holding of one chunk: check, work, commit, give up, close, release.
//! * [`Board`]: what an agent knows of the plan's chunks, and which to try next.

mod board;
mod lease;
mod tenure;

pub use board::{Board, Candidate, Coverage, Idle, Sighting, Verdict};
pub use lease::{Lease, LeaseAsk, LeaseNews, Prior};
pub use tenure::{Effect, Event, RunEnd, Stage, Tenure, TenureOver, WorkAsk};

use std::time::Duration;

use crate::ids::Attempt;
use crate::job::JobSettings;
use crate::records::{DeadLetter, Semaphore};
use crate::store::ETag;

/// From its second loss on, a chunk's tasks run one at a time, alone and announced: the first loss is most likely the
/// machine's fault, the second makes the tasks suspects.
pub const ISOLATE_FROM_LOSSES: u32 = 2;

/// See [`Policy::whole_row`]. Three pages of S3's listings: six requests at most all the way round.
pub const WHOLE_ROW: u32 = 3000;

/// The part of the settings that the protocol runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How long a lease lasts without a renewal.
    pub ttl: Duration,
    /// What is added before a lease is judged expired: `LastModified` is cut to whole seconds, so at least one second
    /// and a little; 5 % of longer leases.
    pub slack: Duration,
    /// Processor errors allowed to a task.
    pub max_attempts: u32,
    /// Losses, alone and announced, allowed to a task.
    pub max_losses: u32,
    /// Up to so many chunks every search goes all the way round; in a longer row only that of who holds a standby seat.
    pub whole_row: u32,
}

impl Policy {
    /// The policy of a job.
    pub fn of(settings: &JobSettings) -> Self {
        let ttl = settings.lease_ttl();
        Self {
            ttl,
            slack: (ttl / 20).max(Duration::from_millis(1100)),
            max_attempts: settings.max_attempts,
            max_losses: settings.max_losses,
            whole_row: WHOLE_ROW,
        }
    }

    /// The time between two renewals.
    pub fn heartbeat(&self) -> Duration {
        self.ttl / 3
    }

    /// The age of a lease above which nothing new is begun without a renewal.
    pub fn fresh(&self) -> Duration {
        self.ttl / 2
    }

    /// The age from which on a lease that was not renewed may be taken over.
    pub fn expiry(&self) -> Duration {
        self.ttl + self.slack
    }
}

/// What a committed output says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stood {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its checksum as stored.
    pub checksum: Option<String>,
    /// The attempt that committed it; absent for one that dayfly did not write.
    pub attempt: Option<Attempt>,
}

/// The answer to one request of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// A write went through; the new version. (Deletes carry an empty tag.)
    Applied(ETag),
    /// 412: the condition does not hold.
    Rejected,
    /// 404 to a conditional write or delete.
    Missing,
    /// 409: not applied, because of something concurrent. Not "taken".
    Conflict,
    /// The multipart upload is gone, or has to be made anew: the staged output cannot be committed as it is.
    Restage,
    /// Nobody answered.
    Unknown,
    /// A read: not there.
    Absent,
    /// A read: there, and nothing more was asked.
    Present,
    /// A read: the semaphore.
    Semaphore(Box<Semaphore>, ETag),
    /// A read: the output.
    Output(Stood),
    /// A read: the dead letter.
    DeadLetter(Box<DeadLetter>),
    /// The store refuses for good (no permission, no bucket); the agent stops, with the store's words.
    Broken(String),
}

/// The wait before a task is run again that was interrupted, or put off, so many times: 200 ms, doubling to half a minute, as a
/// store that recovers, a disk that is freed, or a service that a program waits for takes its time.
pub(crate) fn rerun_wait(interruptions: u32) -> Duration {
    Duration::from_millis(100).saturating_mul(1 << interruptions.min(9)).min(Duration::from_secs(30))
}

/// The wait before try `tries + 1` of a request that nobody answered: 100 ms, doubling to 5 s. The driver adds jitter.
pub(crate) fn retry_wait(tries: u32) -> Duration {
    Duration::from_millis(100).saturating_mul(1 << tries.min(6)).min(Duration::from_secs(5))
}
