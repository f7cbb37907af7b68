//! What is done with a task: the port that built-in processors and programs share.
//!
//! A processor reads the task's input and stages its output through a [`TaskIo`]. It never commits: the output becomes
//! visible only when the driver puts it, create-only. A built-in processor changes bytes on their way through memory
//! ([`TaskIo::transform`]); a program works on files ([`TaskIo::scratch`], [`TaskIo::input_to_file`],
//! [`TaskIo::output_from_file`]). Dropping the future stops the work.

mod archive;
mod aside;
mod command;
mod container;
mod errand;
mod integrity;
mod program;
mod put;
mod python;
mod scratch;
mod sink;
mod task_io;
mod tool;
mod transform;
mod xor;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::claim::Policy;
use dayfly_shared::job::JobSettings;
use dayfly_shared::store::{StoreError, StoreErrorKind};
use dayfly_shared::work::ProcessorSettings;
use rustix::io::Errno;

use command::Command;
use container::{Container, Lease};
use program::Program;
use python::Python;

pub use container::{Logins, Means};
pub use program::{Workshop, wall};
pub use scratch::Scratch;
pub use sink::{PART_BYTES, Staged, StagedBody};
pub use task_io::{Around, Deadlines, EarlyInput, Note, OpenUpload, Place, TaskIo, Waiting};
pub use transform::{PartBudget, SizeHint};
pub use xor::Xor;

/// Why a task, or a processor's start, did not work out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The work itself failed; spends one of the task's attempts.
    #[error("{error}")]
    Processor {
        /// What went wrong.
        error: String,
        /// Whether another try cannot help.
        permanent: bool,
    },
    /// The store did not answer, or what arrived was damaged on the way: tried again without spending an attempt.
    #[error("{0}")]
    Interrupted(String),
    /// The program asks for another try later: costs no attempt, but not without end.
    #[error("{0}")]
    Later(String),
    /// The disk has no room for it now: as [`Failure::Later`], but while other tasks run that may give some back it is not
    /// counted.
    #[error("{0}")]
    NoRoom(String),
    /// It was stopped because the agent drains: the chunk is given back.
    #[error("it was stopped")]
    Stopped,
    /// The store refuses, or this machine cannot: no task would fare better, so the agent stops.
    #[error("{0}")]
    Refused(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error.kind {
            // An upload that somebody dropped under way (a clean-up, a lifecycle rule) is made anew.
            StoreErrorKind::Transient | StoreErrorKind::Corrupt | StoreErrorKind::NoSuchUpload => {
                Failure::Interrupted(error.to_string())
            }
            _ => Failure::Refused(error.to_string()),
        }
    }
}

/// A file of this machine's could not be made. Where its disk is full, that passes with the tasks that fill it.
pub(crate) fn on_disk(what: &str, error: &std::io::Error) -> Failure {
    match is_full(error) {
        true => Failure::NoRoom(format!("the disk of its machine is full: {what}: {error}")),
        false => Failure::Refused(format!("{what}: {error}")),
    }
}

/// Whether it is for want of room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The same of a file whose name is the task's: where the name is what is wrong, no other task has that trouble.
pub(crate) fn on_disk_by_name(what: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    // Some file systems take no name that is not theirs, and say so in their own ways.
    let of_the_name = matches!(error.kind(), InvalidFilename | InvalidInput | IsADirectory | NotADirectory)
        || Errno::from_io_error(error) == Some(Errno::ILSEQ);
    match of_the_name {
        true => Failure::Processor {
            error: format!("{what}: {error}; the task's name cannot be a file's on its machine"),
            permanent: true,
        },
        false => on_disk(what, error),
    }
}

/// Does tasks of one kind.
#[async_trait]
pub trait Processor: Send + Sync {
    /// Makes ready, once an agent, before the first claim: what fails here burns no task.
    ///
    /// # Errors
    /// What is missing, where, and the fix.
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure>;

    /// Does one task: reads its input and stages its output.
    ///
    /// # Errors
    /// What went wrong.
    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure>;

    /// Whether it runs something that may turn out not to work at all, whatever the task.
    fn is_program(&self) -> bool {
        false
    }

    /// How much longer than its time limit a task may last, where the processor keeps to the limit by itself.
    fn overtime(&self) -> Duration {
        Duration::ZERO
    }
}

/// The processor that a job asks for.
pub fn of(job: &JobSettings, workshop: &Workshop) -> Arc<dyn Processor> {
    let program = || Program::new(workshop.clone(), job.program.clone(), job.task_time_limit());
    match &job.processor {
        ProcessorSettings::Xor { kernel } => Arc::new(Xor::new(kernel.clone())),
        ProcessorSettings::Command { argv, shell } => Arc::new(Command::new(argv.clone(), *shell, program())),
        ProcessorSettings::Container(container) => {
            let lease = Lease { ttl: job.lease_ttl(), expiry: Policy::of(job).expiry() };
            Arc::new(Container::new(container.clone(), lease, program()))
        }
        ProcessorSettings::Python { archive, argv } => Arc::new(Python::new(archive.clone(), argv.clone(), program())),
    }
}
