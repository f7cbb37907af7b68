//! `dayfly report`: what became of a job, as one page that needs no network, as a picture, or as data.

mod account;
mod failures;
mod figures;
mod gather;
mod page;
mod picture;
mod table;
mod timeline;

use std::fmt;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::store::{Attributes, RequestCounts};
use serde::Serialize;

use crate::cli::{FileArg, ReportArgs, ReportFormat};
use crate::failure::{Failure, Result};
use crate::human;
use crate::notices;
use crate::object;
use crate::observe::{Observer, Tally, UsageNow};
use crate::parts::{Parts, Patience};

pub use account::{Pool, Spent, noted, spent};
pub use failures::FailureTold;
pub use figures::{Durations, Hungry, Slow, Throughput};
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
    /// What programs used in all, and which machines would do; absent where nothing was measured.
    pub usage: Option<UsageNow>,
    /// The attempts that had most in memory.
    pub hungriest: Vec<Hungry>,
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
    let json = parts.output().json;
    let format = args.format.unwrap_or(if json { ReportFormat::Json } else { ReportFormat::Html });
    if json && format == ReportFormat::Csv && args.out.is_none() {
        return Err(
            Failure::usage("--format csv is not what --json prints").fix("leave out one of them, or pass --out FILE")
        );
    }
    let job = parts.settings.job(args.job.job.as_ref())?;
    let bucket = parts.job(&job, Patience::Long).await?;
    let mut observer = Observer::keeping(bucket);
    let gathered = Gathered::read(parts, &mut observer).await?;
    let spent = gathered.spent(parts).await?;
    let report = gathered.tell(spent).await?;
    let mut told = Told {
        job,
        state: report.state.clone(),
        over: report.over,
        tasks: report.tasks,
        dollars: report.spent.dollars,
        report: None,
        timeline: None,
    };
    if let Some(file) = &args.timeline {
        write(parts, "--timeline", file, "image/svg+xml", picture::svg(&report)).await?;
        told.timeline = Some(file.to_string());
    }
    let (text, kind) = match format {
        ReportFormat::Html => (html(&report, None), "text/html; charset=utf-8"),
        // A report is plain data with text keys: serialising it cannot fail.
        ReportFormat::Json => (serde_json::to_string(&report).unwrap_or_default(), "application/json"),
        ReportFormat::Csv => (table::csv(&gathered), "text/csv; charset=utf-8"),
    };
    let page = || FileArg::File("report.html".into());
    match args.out.clone().or_else(|| (format == ReportFormat::Html).then(page)) {
        Some(file) => {
            write(parts, "--out", &file, kind, text).await?;
            told.report = Some(file.to_string());
            parts.output().done(&told);
        }
        None => {
            if let Some(file) = &told.timeline {
                parts.output().note(format!("timeline  {file}"));
            }
            parts.output().text(&text);
        }
    }
    let (observer, snapshot) = gathered.seen();
    notices::catch_up(parts, observer, snapshot).await;
    Ok(Exit::Done)
}

/// What was written, and the most important that stands there.
#[derive(Debug, Serialize)]
struct Told {
    job: Location,
    state: String,
    over: bool,
    tasks: Tally,
    dollars: Option<f64>,
    report: Option<String>,
    timeline: Option<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.timeline {
            writeln!(f, "timeline  {file}")?;
        }
        let tasks = human::count(self.tasks.total, "task");
        write!(f, "report    {} ({tasks}, {})", self.report.as_deref().unwrap_or("-"), self.state)
    }
}

/// Writes a file or an object, each whole or not at all. A file is written under another name first, so that a reader never
/// sees half of it, and an old one stays when this fails.
async fn write(parts: &Parts, flag: &str, to: &FileArg, kind: &'static str, text: String) -> Result<()> {
    let file = match to {
        FileArg::File(file) => file,
        FileArg::Object(url) => {
            let attributes = Attributes { content_type: Some(kind), ..Attributes::default() };
            return object::put(parts, flag, url, text.into(), &attributes).await;
        }
    };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, file))
        .map_err(|e| Failure::io("writing", file, &e).left("nothing else was changed"))
}
