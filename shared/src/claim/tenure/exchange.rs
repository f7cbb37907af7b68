//! What a tenure and its driver say to each other.

use crate::ids::{Attempt, TaskId};
use crate::records::{DeadLetter, ResultRecord};

use super::super::{LeaseAsk, Reply};

/// A request beside the lease's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkAsk {
    /// Does the chunk's result stand?
    HeadResult,
    /// What does the task's output say, if it stands?
    HeadOutput(TaskId),
    /// The task's dead letter, if it stands.
    GetDeadLetter(TaskId),
    /// Make the staged output of the attempt the task's output, if there is none: the commit.
    Commit(TaskId, Attempt),
    /// Put the dead letter, if there is none.
    PutDeadLetter(Box<DeadLetter>),
    /// Put the chunk's result, if there is none.
    PutResult(Box<ResultRecord>),
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a request about the lease object; answer with [`Event::Lease`].
    Lease(LeaseAsk),
    /// Send a request; answer with [`Event::Work`].
    Work(WorkAsk),
    /// Wait until nothing else runs on this agent, and keep it so; answer with [`Event::Alone`].
    Isolate,
    /// Others may run again.
    Share,
    /// Run the task and stage its output; answer with [`Event::Ran`].
    Run(TaskId, Attempt),
    /// Stop the run; it is answered as any run is.
    Cancel,
    /// The tenure has ended; nothing follows.
    Over(TenureOver),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunEnd {
    /// The output is staged, ready to be committed.
    Staged {
        /// Its size.
        bytes: u64,
        /// Its checksum as the store will have it, where known.
        checksum: Option<String>,
    },
    /// The processor failed.
    Failed {
        /// What it said.
        error: String,
        /// Whether another try cannot help (the input does not exist).
        permanent: bool,
    },
    /// The store did not answer, or what arrived was damaged on the way: the task is run again, under a new attempt.
    Interrupted {
        /// What happened.
        why: String,
    },
    /// It was stopped on request.
    Stopped,
}

/// What happens to a tenure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The answer to [`Effect::Lease`].
    Lease(Reply),
    /// The answer to [`Effect::Work`].
    Work(Reply),
    /// The agent runs nothing else now.
    Alone,
    /// The run has ended.
    Ran(RunEnd),
    /// Time has passed.
    Tick,
    /// Give the chunk back as soon as the task in hand is decided.
    Release,
    /// Give the chunk back now: stop the task in hand.
    ReleaseNow,
}

/// How a tenure ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenureOver {
    /// Another agent was faster; nothing was held.
    NotOurs,
    /// The chunk's result stood already; its semaphore was removed.
    AlreadyClosed,
    /// Every task is decided and the result stands.
    Closed(Box<ResultRecord>),
    /// It was given back.
    Released,
    /// Somebody took it over.
    Lost,
    /// The store refuses for good, in its words.
    Broken(String),
}
