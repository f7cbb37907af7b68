//! One attempt at a task: the processor run, and its failure's log.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base64::Engine;
use dayfly_shared::bucket::{META_ATTEMPT, META_TASK};
use dayfly_shared::claim::RunEnd;
use dayfly_shared::ids::{Attempt, TaskId};
use dayfly_shared::plan::Task;
use dayfly_shared::records::Usage;
use dayfly_shared::store::{Attributes, Condition, Outcome};
use futures::future::{BoxFuture, FutureExt as _};

use super::super::agent::{Agent, Orders, PUT_OFF_MOST};
use super::super::suspicion;
use super::leftovers::{abort, drop_upload};
use super::{Ran, Running};
use crate::processor::{Around, Deadlines, EarlyInput, Failure, Note, OpenUpload, Staged, StagedBody, TaskIo, Waiting};

/// A time limit that runs out while the store has been silent for so long is not the task's fault.
const STORE_SILENCE: Duration = Duration::from_secs(10);

impl Running<'_> {
    pub(super) fn task_run(&mut self, id: TaskId, attempt: Attempt) -> BoxFuture<'static, Ran> {
        let Some(task) = self.tasks.get(&id).cloned() else {
            let error = "the plan has no such task".to_owned();
            return Box::pin(async { (RunEnd::Failed { error, permanent: true }, None) });
        };
        let left = self.staged.take();
        let early = self.ahead.take(id);
        let agent = Arc::clone(self.agent);
        let alone = self.alone.is_some();
        let open_upload = Arc::clone(&self.open_upload);
        let last_log = Arc::clone(&self.last_log);
        let usages = Arc::clone(&self.usages);
        *last_log.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Box::pin(async move {
            // What an earlier attempt, or the task before, staged and did not need.
            if let Some(StagedBody::Parts(upload, _)) = left.as_deref().map(|s| &s.body) {
                drop_upload(&agent, upload).await;
            }
            // An announced task that has the agent for itself may take hours: at a drain its neighbours do not wait.
            let mut orders = agent.orders();
            let _together = if alone {
                None
            } else {
                tokio::select! {
                    biased;
                    guard = Arc::clone(&agent.gate).read_owned() => Some(guard),
                    _ = orders.wait_for(Orders::is_end) => return (RunEnd::Stopped, None),
                }
            };
            // Where a task is run again, the slot may have gone on to its next chunk already.
            let _turn = match alone {
                true => None,
                false => tokio::select! {
                    biased;
                    turn = agent.turns.acquire() => turn.ok(),
                    _ = orders.wait_for(Orders::is_end) => return (RunEnd::Stopped, None),
                },
            };
            tracing::info!(task = %task.id, name = task.name, %attempt, "task begins");
            let usage = Arc::default();
            let outcome = process(&agent, (&task, attempt), early, &open_upload, (&last_log, &usage)).await;
            if let Some(usage) = *usage.lock().unwrap_or_else(PoisonError::into_inner) {
                usages.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, usage);
            }
            match outcome {
                Ok(staged) => {
                    agent.suspicion().clear();
                    let crc = base64::prelude::BASE64_STANDARD.encode(staged.crc32.to_be_bytes());
                    let checksum = Some(format!("crc32:{crc}"));
                    (RunEnd::Staged { bytes: staged.folder_bytes.unwrap_or(staged.bytes), checksum }, Some(staged))
                }
                Err(failure) => {
                    abort(&agent, &task, &open_upload).await;
                    if let Failure::Refused(why) = &failure {
                        agent.fail(why.clone());
                        return (RunEnd::Stopped, None);
                    }
                    if let Failure::Interrupted(why) = failure {
                        tracing::warn!(task = %task.id, name = task.name, %attempt, why, "interrupted; trying again");
                        return (RunEnd::Interrupted { why }, None);
                    }
                    if failure == Failure::Stopped {
                        return (RunEnd::Stopped, None);
                    }
                    let has_neighbours = agent.tally().running.len() > 1;
                    let is_put_off = match &failure {
                        Failure::NoRoom(_) => has_neighbours || agent.may_be_put_off(task.id),
                        Failure::Later(_) => agent.may_be_put_off(task.id),
                        _ => false,
                    };
                    let failure = match failure {
                        Failure::Later(why) | Failure::NoRoom(why) if is_put_off => {
                            tracing::info!(task = %task.id, name = task.name, %attempt, why, "put off");
                            return (RunEnd::Interrupted { why }, None);
                        }
                        Failure::Later(why) | Failure::NoRoom(why) => {
                            let error = format!("{why}; it was put off {PUT_OFF_MOST} times");
                            Failure::Processor { error, permanent: false }
                        }
                        failure => failure,
                    };
                    let permanent = matches!(failure, Failure::Processor { permanent: true, .. });
                    let error = failure.to_string();
                    tracing::warn!(task = %task.id, name = task.name, %attempt, error, "task failed");
                    // A program has left its own.
                    if last_log.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                        let log = put_log(&agent, &task, attempt, &error).await;
                        *last_log.lock().unwrap_or_else(PoisonError::into_inner) = log;
                    }
                    let suspicious = agent.processor.is_program() && !permanent;
                    let why =
                        suspicious.then(|| agent.suspicion().failed(id, &error, agent.job.max_attempts)).flatten();
                    if let Some(why) = why {
                        suspicion::suspend(&agent, why).await;
                    }
                    (RunEnd::Failed { error, permanent }, None)
                }
            }
        })
    }
}

pub(super) fn attributes_of(task: &Task, attempt: Attempt) -> Attributes {
    Attributes::default().with(META_TASK, task.id.to_string()).with(META_ATTEMPT, attempt.to_string())
}

/// Runs the processor once.
async fn process(
    agent: &Arc<Agent>,
    (task, attempt): (&Task, Attempt),
    early: Option<EarlyInput>,
    open_upload: &OpenUpload,
    (last_log, usage): (&Note<String>, &Note<Usage>),
) -> Result<Staged, Failure> {
    let waiting = Waiting::default();
    let around = Around {
        job: agent.bucket.clone(),
        outputs: agent.job.outputs(&agent.bucket.location).clone(),
        slug: agent.plan.slug(task.id.segment, task.id.line),
        drained: deadlines(agent),
        last_log: Arc::clone(last_log),
        usage: Arc::clone(usage),
        work_dir: agent.settings.work_dir.clone(),
        open_upload: Arc::clone(open_upload),
        clock: Arc::clone(&agent.parts.clock),
        waiting: waiting.clone(),
        others_were_read: agent.tally().done > 0,
        part_bytes: agent.settings.part_bytes,
        part_budget: agent.part_budget.clone(),
        size_hint: agent.size_hint.clone(),
    };
    let output = attributes_of(task, attempt);
    let mut io = TaskIo::new((task.clone(), attempt), agent.input(task), agent.output(task), output, around);
    io.expect(early);
    let work = async {
        agent.processor.process(&mut io).await?;
        io.finish().await
    };
    let limit = agent.job.task_time_limit();
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = agent.parts.clock.sleep(limit + agent.processor.overtime()) => Err(match waiting.lasts(agent.now().at) {
            Some(silence) if silence > STORE_SILENCE.min(limit / 2) => {
                Failure::Interrupted(format!("the store has been silent for {} s", silence.as_secs()))
            }
            _ => Failure::Processor {
                error: format!("it took longer than the task time limit of {} s", limit.as_secs()),
                permanent: false,
            },
        }),
    }
}

/// Tells of deadlines: the first once the agent drains, and each that comes nearer.
fn deadlines(agent: &Arc<Agent>) -> Deadlines {
    let agent = Arc::clone(agent);
    Arc::new(move |known| {
        let mut orders = agent.orders();
        let deadline = |orders: &Orders| match orders {
            Orders::Drain { deadline, .. } => Some(*deadline),
            _ => None,
        };
        let is_news = move |orders: &Orders| deadline(orders).is_some_and(|at| known.is_none_or(|known| at < known));
        async move {
            match deadline(&orders.wait_for(is_news).await) {
                Some(deadline) => deadline,
                None => std::future::pending().await,
            }
        }
        .boxed()
    })
}

/// Leaves a failure's log in the bucket. Its key, if it got there.
async fn put_log(agent: &Agent, task: &Task, attempt: Attempt, error: &str) -> Option<String> {
    let slug = agent.plan.slug(task.id.segment, task.id.line);
    let key = agent.bucket.keys.task_log(task.id, slug.as_deref(), attempt);
    let text = format!(
        "task {}  {}\nattempt {attempt}  on {}  at {}\n\n{error}\n",
        task.id,
        task.name,
        agent.settings.me,
        agent.now().wall
    );
    let put = agent.bucket.store().put(&key, text.into(), &Attributes::text(), &Condition::Overwrite).await;
    matches!(put, Ok(Outcome::Applied(_))).then_some(key)
}
