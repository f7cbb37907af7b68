//! Where a tenure stands, and what it waits for there.

use crate::clock::{Moment, Timestamp};
use crate::ids::Attempt;
use crate::records::{DeadLetter, ResultRecord};

/// Where a tenure stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Getting the semaphore.
    Claiming,
    /// Finding out whether the chunk is closed already.
    CheckingResult,
    /// Another tenure was here: finding out whether the task's output stands.
    InspectingOutput,
    /// … or its dead letter.
    InspectingDeadLetter,
    /// Waiting for a renewal, as the lease is too old to begin something.
    Renewing,
    /// Waiting until the agent runs nothing else, at the latest until then.
    Isolating(Moment),
    /// Waiting for the announcement to be written.
    Announcing(Attempt),
    /// The processor is at work.
    Running(Attempt, Timestamp),
    /// Waiting a little after a failure before the next attempt.
    Pausing(Moment),
    /// The output is being put.
    Committing {
        /// The attempt.
        attempt: Attempt,
        /// When it began.
        from: Timestamp,
        /// Size of the staged output.
        bytes: u64,
        /// Its checksum.
        checksum: Option<String>,
        /// Whether a try went unanswered.
        doubtful: bool,
    },
    /// An output stands that may be another's: finding out what it is.
    Confirming(Attempt, Timestamp),
    /// Before a task is given up: renewing (a lost lease stops it).
    GivingUp(String),
    /// … then looking whether its output stands after all.
    GivingUpHead(String),
    /// … then putting the dead letter.
    GivingUpPut(Box<DeadLetter>),
    /// Putting the result.
    Closing(Box<ResultRecord>),
    /// Deleting the semaphore; the result, if this tenure put it.
    Deleting(Option<Box<ResultRecord>>),
    /// Giving the chunk back.
    Releasing,
    /// Over.
    Over,
}
