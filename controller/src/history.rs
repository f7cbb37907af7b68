//! What became of a task, attempt by attempt, from the bucket alone: also while the job runs, and when every machine is
//! gone.

mod chapter;
mod task_log;

use std::collections::BTreeMap;

use dayfly_shared::bucket::{JobBucket, META_ATTEMPT, stood};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, TaskId};
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::View;
use dayfly_shared::plan::{clean_lines, stored_lines};
use dayfly_shared::records::{Machine, from_json};
use dayfly_shared::store::Store;
use dayfly_shared::views::Ledger;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};

pub use chapter::{Chapter, Hold, Holder, Tenure, Try};
pub use task_log::{TaskLog, logs_of};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A line of `tasklist.txt` that no plan has taken up yet.
    Listed,
    /// Planned; nobody has it in hand.
    Waiting,
    /// An agent holds its chunk, and runs another task of it or has not begun.
    Claimed,
    /// An agent runs it.
    Running,
    /// Its agent gave it back, or vanished; the next one takes it over.
    Left,
    /// Its output stands.
    Done,
    /// It was given up.
    GivenUp,
}

impl Standing {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Listed => "listed, and not planned yet: an agent plans it",
            Self::Waiting => "waiting for an agent",
            Self::Claimed => "claimed, and not begun",
            Self::Running => "running",
            Self::Left => "left by its agent; the next one takes it over",
            Self::Done => "done",
            Self::GivenUp => "given up (dayfly retry puts it back on the list)",
        }
    }
}

/// An object as a listing or a head shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Object {
    /// Where, as `s3://…`.
    pub place: String,
    /// Its size.
    pub bytes: u64,
    /// When it was put, by the store's clock.
    pub modified: Option<Timestamp>,
    /// Its checksum as stored, where the store tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The attempt that made it, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
}

/// A task's whole history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// The job.
    pub job: Location,
    /// The task's name.
    pub name: String,
    /// Where it is in its life.
    pub standing: Standing,
    /// Its input; none where tasks are parameters, or where it is missing.
    pub input: Option<Object>,
    /// Its output, once it stands.
    pub output: Option<Object>,
    /// Each time that it was planned, in order: a retry is a new one.
    pub chapters: Vec<Chapter>,
    /// The machines of the agents that had it in hand.
    pub machines: BTreeMap<AgentId, Machine>,
}

/// What is known of a job's plan: enough to find any task.
pub struct Plan {
    /// The job.
    pub job: JobBucket,
    /// Its settings.
    pub settings: JobSettings,
    /// Segments and names; results are not read.
    pub ledger: Ledger,
    listed: Vec<String>,
}

impl Plan {
    /// Reads the plan of a job.
    ///
    /// # Errors
    /// No job there, a store that refuses.
    pub async fn read(parts: &Parts, location: &Location) -> Result<Self> {
        let job = parts.job(location, Patience::Brief).await?;
        let mut plan = Self { job, settings: JobSettings::default(), ledger: Ledger::default(), listed: Vec::new() };
        let list = plan.job.view(View::Tasklist).await?;
        plan.catch_up().await?;
        let settings = match plan.ledger.settings() {
            Some(frozen) => Some(frozen.clone()),
            None => plan.job.job_settings().await?,
        };
        if settings.is_none() && list.is_none() && plan.ledger.segment_count() == 0 {
            return Err(no_job(location));
        }
        plan.settings = settings.unwrap_or_default();
        plan.listed = list.map(|view| clean_lines(&view.text)).unwrap_or_default();
        Ok(plan)
    }

    /// Takes in the segments that came since.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn catch_up(&mut self) -> Result<()> {
        for segment in self.job.segments_after(self.ledger.segment_count()).await? {
            let text = self.job.segment_text(&segment, None).await?;
            let names = stored_lines(&String::from_utf8_lossy(&text)).map(str::to_owned).collect();
            self.ledger.add_segment(segment, names);
        }
        Ok(())
    }

    /// The name that is meant: a task's name, its id, or its output's name.
    ///
    /// # Errors
    /// When none is.
    pub fn name(&self, text: &str) -> Result<String> {
        if self.ledger.task_of(text).is_some() || self.listed.iter().any(|line| line == text) {
            return Ok(text.to_owned());
        }
        if let Some(name) = text.parse::<TaskId>().ok().and_then(|id| self.ledger.name_of(id)) {
            return Ok(name.to_string());
        }
        let names = || self.ledger.segments().iter().flat_map(|planned| &planned.names);
        if let Some(name) = names().find(|name| self.settings.commit_name(name) == text) {
            return Ok(name.to_string());
        }
        let failure = Failure::new(format!("{} has no task '{text}'", self.job.location));
        // What was meant most often is part of what was typed, or the other way round.
        let near: Vec<&str> = names().map(|name| &**name).filter(|name| name.contains(text)).take(3).collect();
        Err(match near.is_empty() {
            true => failure.fix("names stand in tasklist.txt, completed.txt and failed.txt"),
            false => failure.fix(format!("did you mean {}?", near.join(", "))),
        })
    }

    /// Each time that the name was planned.
    pub fn tasks(&self, name: &str) -> Vec<TaskId> {
        let mut all = Vec::new();
        for planned in self.ledger.segments() {
            let segment = planned.segment.segment;
            let lines = (1..).zip(&planned.names).filter(|(_, n)| ***n == *name);
            all.extend(lines.map(|(line, _)| TaskId { segment, line }));
        }
        all
    }

    /// The whole history of a task by its name.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn history(&self, parts: &Parts, name: &str) -> Result<History> {
        let location = &self.job.location;
        let mut chapters = Vec::new();
        for task in self.tasks(name) {
            chapters.extend(chapter::read(self, task).await?);
        }
        let place = self.settings.outputs(location);
        let outputs = parts.bucket(place.bucket(), Patience::Brief).await?;
        let output = head(&*outputs, &place.key(&self.settings.commit_name(name))).await?;
        let place = self.settings.inputs(location);
        let input = match self.settings.program.input {
            dayfly_shared::work::InputKind::Line => None,
            _ => head(&*parts.bucket(place.bucket(), Patience::Brief).await?, &place.key(name)).await?,
        };
        let mut machines = BTreeMap::new();
        let holders = chapters.iter().flat_map(|c| c.tenures.iter().map(|t| &t.agent));
        let tries = chapters.iter().flat_map(|c| c.attempts.iter().map(|a| &a.agent));
        for agent in holders.chain(tries) {
            if !machines.contains_key(agent)
                && let Some(record) = self.job.agent(agent).await?
            {
                machines.insert(agent.clone(), record.machine);
            }
        }
        let standing = match chapters.last() {
            _ if output.is_some() => Standing::Done,
            None => Standing::Listed,
            Some(last) => last.standing(),
        };
        Ok(History { job: location.clone(), name: name.to_owned(), standing, input, output, chapters, machines })
    }
}

/// That there is no job.
pub fn no_job(location: &Location) -> Failure {
    Failure::new(format!("there is no job at {location}")).fix(format!(
        "seed it (dayfly seed), or correct the place (dayfly jobs s3://{} lists what is there)",
        location.bucket()
    ))
}

/// A record, if it is there and can be read.
pub(crate) async fn record<T: DeserializeOwned>(job: &JobBucket, key: &str) -> Result<Option<T>> {
    let Some((_, bytes)) = job.read(key).await? else { return Ok(None) };
    match from_json(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            tracing::warn!(key, %error, "not the record it should be");
            Ok(None)
        }
    }
}

async fn head(store: &dyn Store, key: &str) -> Result<Option<Object>> {
    let Some(meta) = store.head(key).await? else { return Ok(None) };
    let said = stood(&meta);
    Ok(Some(Object {
        place: store.place(key),
        bytes: said.bytes,
        modified: meta.modified,
        checksum: said.checksum,
        attempt: meta.metadata.get(META_ATTEMPT).cloned(),
    }))
}
