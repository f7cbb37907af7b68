//! `dayfly report`: what became of a job, as one page that needs no network, as a picture, or as data.

mod account;
mod failures;
mod figures;
mod gather;
mod page;
mod picture;
mod table;
mod timeline;

use std::path::Path;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::store::RequestCounts;
use serde::Serialize;

use crate::cli::{ReportArgs, ReportFormat};
use crate::failure::{Failure, Result};
use crate::human;
use crate::notices;
use crate::observe::{Observer, Tally};
use crate::parts::{Parts, Patience};

pub use account::{Pool, Spent, spent};
pub use failures::FailureTold;
pub use figures::{Durations, Slow, Throughput};
pub use gather::Gathered;
pub use page::{VENDORED, data, html};
pub use timeline::{Row, Timeline};

/// What a report says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The job.
    pub job: Location,
    /// Its results in the S3 console, where they are in AWS's own S3.
    pub console: Option<String>,
    /// When this was written, by the clock of who wrote it.
    pub at: Timestamp,
    /// The dayfly that wrote it.
    pub version: &'static str,
    /// Where the job is in its life, in words.
    pub state: String,
    /// Whether it is over, or goes on.
    pub over: bool,
    /// How many tasks.
    pub tasks: Tally,
    /// When the first tenure began.
    pub first: Option<Timestamp>,
    /// When the last one ended.
    pub last: Option<Timestamp>,
    /// Bytes of outputs.
    pub output_bytes: u64,
    /// Attempts by how they ended.
    pub attempts: Attempts,
    /// Who ran what when.
    pub timeline: Timeline,
    /// Tasks done over time.
    pub throughput: Throughput,
    /// How long tasks took.
    pub durations: Durations,
    /// The tasks that took longest.
    pub slowest: Vec<Slow>,
    /// The tasks that stand given up, the first of them.
    pub failures: Vec<FailureTold>,
    /// Machine time by type and market, and dollars where they are known.
    pub spent: Spent,
    /// Requests of all agents to the store, by kind.
    pub requests: RequestCounts,
}

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// All.
    pub total: u64,
    /// With an output.
    pub done: u64,
    /// With an error: each spends one of the task's attempts.
    pub failed: u64,
    /// Of these, those after which the task was tried again.
    pub retried: u64,
    /// Stopped by a drain or a spot notice.
    pub preempted: u64,
    /// By a store that did not answer.
    pub interrupted: u64,
    /// With their agent.
    pub vanished: u64,
    /// Under way when this was written.
    pub running: u64,
    /// Chunks that an agent took over from one that had vanished.
    pub takeovers: u64,
    /// Chunks that an agent gave back.
    pub given_back: u64,
}

/// `dayfly report`.
///
/// # Errors
/// No job there, a store that refuses, a file that cannot be written.
pub async fn command(parts: &Parts, args: &ReportArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job.job.as_ref())?;
    let bucket = parts.job(&job, Patience::Long).await?;
    let mut observer = Observer::keeping(bucket);
    let gathered = Gathered::read(parts, &mut observer).await?;
    let spent = gathered.spent(parts).await?;
    let report = gathered.tell(spent).await?;
    if let Some(file) = &args.timeline {
        write(file, &picture::svg(&report))?;
        parts.output().note(format!("timeline  {}", file.display()));
    }
    match args.format {
        ReportFormat::Html => {
            let file = args.out.clone().unwrap_or_else(|| "report.html".into());
            write(&file, &html(&report, None))?;
            let tasks = human::count(report.tasks.total, "task");
            parts.output().note(format!("report    {} ({tasks}, {})", file.display(), report.state));
        }
        ReportFormat::Json => {
            let json = serde_json::to_string(&report).unwrap_or_default();
            put(parts, args.out.as_deref(), &json)?;
        }
        ReportFormat::Csv => put(parts, args.out.as_deref(), &table::csv(&gathered))?,
    }
    let (observer, snapshot) = gathered.seen();
    notices::catch_up(parts, observer, snapshot).await;
    Ok(Exit::Done)
}

/// To the file, or to standard output.
fn put(parts: &Parts, file: Option<&Path>, text: &str) -> Result<()> {
    match file {
        Some(file) => {
            write(file, text)?;
            parts.output().note(format!("report    {}", file.display()));
        }
        None => parts.output().text(text),
    }
    Ok(())
}

/// Under another name first, so that a reader never sees half of it, and an old one stays when this fails.
fn write(file: &Path, text: &str) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, file))
        .map_err(|e| Failure::io("writing", file, &e).left("nothing else was changed"))
}
