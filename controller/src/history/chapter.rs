//! One planning of a task and what came of it: its result, or where there is none yet, its semaphore.

use dayfly_shared::bucket::age;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, TaskId};
use dayfly_shared::keys::slug;
use dayfly_shared::records::{
    AttemptEnd, AttemptRecord, DeadLetter, LeaseState, ResultRecord, Semaphore, TaskOutcome, TenureEnd, TenureRecord,
    Usage,
};
use dayfly_shared::store::ListQuery;
use serde::Serialize;

use super::task_log::{TaskLog, logs_of};
use super::{Plan, Standing, record};
use crate::failure::Result;

/// An agent's holding of the task's chunk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tenure {
    /// Who.
    pub agent: AgentId,
    /// Counts the tenures of the chunk, from 1.
    pub epoch: u32,
    /// When it began, by the agent's clock.
    pub from: Timestamp,
    /// When it ended; none while it lasts.
    pub to: Option<Timestamp>,
    /// How; none while it lasts.
    pub end: Option<TenureEnd>,
}

/// An attempt at the task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Try {
    /// Its name in keys.
    pub attempt: Attempt,
    /// Who.
    pub agent: AgentId,
    /// When it began, by the agent's clock.
    pub from: Timestamp,
    /// When it ended; none while it runs.
    pub to: Option<Timestamp>,
    /// How; none while it runs.
    pub end: Option<AttemptEnd>,
    /// What went wrong.
    pub error: Option<String>,
    /// What its program used, where that was measured.
    pub usage: Option<Usage>,
    /// Its log.
    pub log: Option<TaskLog>,
}

/// How the chunk is held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// By an agent that renews.
    Held,
    /// By an agent that did not renew in time.
    Expired,
    /// By nobody: it was given back.
    Released,
}

/// Who holds the chunk now, or held it last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Holder {
    /// Who.
    pub agent: AgentId,
    /// How.
    pub hold: Hold,
    /// How long ago the semaphore was written, by the store's clock.
    pub renewed_seconds_ago: Option<u64>,
    /// How long it lasts.
    pub ttl_seconds: u32,
    /// Whether it is this very task that runs.
    pub runs_it: bool,
}

/// One planning of a task and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chapter {
    /// The task.
    pub task: TaskId,
    /// Its chunk.
    pub chunk: ChunkId,
    /// How many tasks the chunk has.
    pub chunk_tasks: u32,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// By whom.
    pub planned_by: AgentId,
    /// Who has it in hand.
    pub holder: Option<Holder>,
    /// Every tenure of its chunk, in order.
    pub tenures: Vec<Tenure>,
    /// Every attempt at it, in order.
    pub attempts: Vec<Try>,
    /// How often the chunk was taken over from a holder that vanished.
    pub losses: u32,
    /// What became of it, once its chunk is closed.
    pub outcome: Option<TaskOutcome>,
    /// Why it was given up.
    pub dead_letter: Option<DeadLetter>,
}

impl Chapter {
    /// Where the task is by this alone.
    pub fn standing(&self) -> Standing {
        match (&self.outcome, &self.holder) {
            (Some(TaskOutcome::Done { .. }), _) => Standing::Done,
            (Some(TaskOutcome::Failed { .. }), _) => Standing::GivenUp,
            _ if self.dead_letter.is_some() => Standing::GivenUp,
            (None, None) => Standing::Waiting,
            (None, Some(holder)) if holder.hold != Hold::Held => Standing::Left,
            (None, Some(holder)) if holder.runs_it => Standing::Running,
            (None, Some(_)) => Standing::Claimed,
        }
    }
}

/// Reads what the bucket holds of one planning; none where the plan does not have it.
pub(super) async fn read(plan: &Plan, task: TaskId) -> Result<Option<Chapter>> {
    let job = &plan.job;
    let Some(segment) = plan.ledger.segments().get(task.segment.saturating_sub(1) as usize).map(|s| &s.segment) else {
        return Ok(None);
    };
    let Some(chunk) = segment.chunk_of(task.line) else { return Ok(None) };
    let name = plan.ledger.name_of(task).filter(|_| segment.one_task_chunks());
    let slug = name.map(|name| slug(name));
    let chunk_tasks = segment.chunks.get(chunk.index.saturating_sub(1) as usize).map_or(1, |span| span.tasks);
    let mut chapter = Chapter {
        task,
        chunk,
        chunk_tasks,
        planned_at: segment.at,
        planned_by: segment.by.clone(),
        holder: None,
        tenures: Vec::new(),
        attempts: Vec::new(),
        losses: 0,
        outcome: None,
        dead_letter: job.dead_letter(task, slug.as_deref()).await?,
    };
    if let Some(result) = record::<ResultRecord>(job, &job.keys.result(chunk, slug.as_deref())).await? {
        chapter.tenures = result.tenures.iter().map(ended).collect();
        if let Some(told) = result.tasks.into_iter().find(|told| told.task == task) {
            chapter.attempts = told.attempts.into_iter().map(tried).collect();
            chapter.outcome = Some(told.outcome);
        }
    } else {
        read_semaphore(plan, chunk, slug.as_deref(), &mut chapter).await?;
        // A dead letter knows more of the attempts than a semaphore that has gone on to the next task.
        if let Some(letter) = &chapter.dead_letter {
            chapter.attempts = letter.attempts.iter().cloned().map(tried).collect();
        }
    }
    for log in logs_of(job, task).await? {
        if let Some(attempt) = chapter.attempts.iter_mut().find(|a| a.attempt.to_string() == log.attempt) {
            attempt.log = Some(log);
        }
    }
    chapter.losses = chapter.tenures.iter().filter(|t| t.end == Some(TenureEnd::Expired)).count() as u32;
    Ok(Some(chapter))
}

async fn read_semaphore(plan: &Plan, chunk: ChunkId, slug: Option<&str>, chapter: &mut Chapter) -> Result<()> {
    let job = &plan.job;
    let key = job.keys.semaphore(chunk, slug);
    // A listing of this one key: it tells the store's time, and so how old the semaphore is.
    let page = job.store().list(&ListQuery::under(&key)).await?;
    let Some(entry) = page.entries.iter().find(|entry| entry.key == key) else { return Ok(()) };
    let Some(semaphore) = record::<Semaphore>(job, &key).await? else { return Ok(()) };
    let age = age(page.served, entry.modified);
    let expired = age.is_some_and(|age| age.as_secs() > u64::from(semaphore.ttl_seconds));
    let hold = match semaphore.state {
        LeaseState::Released => Hold::Released,
        LeaseState::Held if expired => Hold::Expired,
        LeaseState::Held => Hold::Held,
    };
    let running = semaphore.running.filter(|running| running.task == chapter.task);
    chapter.holder = Some(Holder {
        agent: semaphore.agent.clone(),
        hold,
        renewed_seconds_ago: age.map(|age| age.as_secs()),
        ttl_seconds: semaphore.ttl_seconds,
        runs_it: running.is_some(),
    });
    chapter.tenures = semaphore.tenures.iter().map(ended).collect();
    chapter.tenures.push(Tenure {
        agent: semaphore.agent.clone(),
        epoch: semaphore.epoch,
        from: semaphore.since,
        to: None,
        end: (hold == Hold::Released).then_some(TenureEnd::Released),
    });
    chapter.attempts = semaphore.attempts.into_iter().filter(|a| a.task == chapter.task).map(tried).collect();
    chapter.attempts.extend(running.map(|running| Try {
        attempt: running.attempt,
        agent: semaphore.agent,
        from: running.from,
        to: None,
        end: None,
        error: None,
        usage: None,
        log: None,
    }));
    Ok(())
}

fn ended(tenure: &TenureRecord) -> Tenure {
    Tenure {
        agent: tenure.agent.clone(),
        epoch: tenure.epoch,
        from: tenure.from,
        to: Some(tenure.to),
        end: Some(tenure.end),
    }
}

fn tried(attempt: AttemptRecord) -> Try {
    Try {
        attempt: attempt.attempt,
        agent: attempt.agent,
        from: attempt.from,
        to: Some(attempt.to),
        end: Some(attempt.end),
        error: attempt.error,
        usage: attempt.usage,
        log: None,
    }
}
