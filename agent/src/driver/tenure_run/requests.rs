//! The requests that the state machine asks for.

use std::future::Future;
use std::sync::{Arc, PoisonError};

use dayfly_shared::bucket::{META_BYTES, reply_to_error, reply_to_write, stood};
use dayfly_shared::claim::{LeaseAsk, Reply, WorkAsk};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{Attempt, TaskId};
use dayfly_shared::job::SCHEMA;
use dayfly_shared::planted::Defect;
use dayfly_shared::records::{AttemptRecord, DeadLetter, to_json};
use dayfly_shared::store::{Attributes, Condition, Outcome, Rejection, StoreErrorKind};
use futures::future::BoxFuture;

use super::super::agent::Agent;
use super::super::seat::answer;
use super::Running;
use super::attempt::attributes_of;
use crate::processor::StagedBody;

impl Running<'_> {
    pub(super) fn lease_request(&self, ask: LeaseAsk) -> impl Future<Output = Reply> + Send + 'static {
        let store = Arc::clone(self.agent.bucket.store());
        let key = self.semaphore_key.clone();
        async move { answer(&*store, &key, ask).await }
    }

    pub(super) fn work_request(&mut self, ask: WorkAsk) -> BoxFuture<'static, Reply> {
        let agent = Arc::clone(self.agent);
        match ask {
            WorkAsk::HeadResult => {
                let key = agent.plan.result_key(self.chunk);
                Box::pin(async move {
                    match agent.bucket.store().head(&key).await {
                        Ok(Some(_)) => Reply::Present,
                        Ok(None) => Reply::Absent,
                        Err(error) => reply_to_error(&error),
                    }
                })
            }
            WorkAsk::HeadOutput(task) => {
                let Some(place) = self.tasks.get(&task).map(|t| agent.output(t)) else {
                    return Box::pin(async { Reply::Absent });
                };
                Box::pin(async move {
                    match place.store.head(&place.key).await {
                        Ok(Some(meta)) => Reply::Output(stood(&meta)),
                        Ok(None) => Reply::Absent,
                        Err(error) => reply_to_error(&error),
                    }
                })
            }
            WorkAsk::GetDeadLetter(task) => {
                let slug = agent.plan.slug(task.segment, task.line);
                Box::pin(async move {
                    match agent.bucket.dead_letter(task, slug.as_deref()).await {
                        Ok(Some(letter)) => Reply::DeadLetter(Box::new(letter)),
                        Ok(None) => Reply::Absent,
                        // It stands, whatever it says.
                        Err(error) if error.kind == StoreErrorKind::BadRecord => {
                            Reply::DeadLetter(Box::new(unreadable(task, &error.to_string(), agent.now().wall)))
                        }
                        Err(error) => reply_to_error(&error),
                    }
                })
            }
            WorkAsk::Commit(task, attempt) => self.commit(task, attempt),
            WorkAsk::PutDeadLetter(letter) => self.put_dead_letter(*letter),
            WorkAsk::PutResult(mut result) => {
                let key = agent.plan.result_key(self.chunk);
                self.note_usage(result.tasks.iter_mut().flat_map(|task| &mut task.attempts));
                let body = to_json(&*result).into();
                Box::pin(async move {
                    let put = agent.bucket.store().put(&key, body, &Attributes::json(), &Condition::Create).await;
                    reply_to_write(put)
                })
            }
        }
    }

    /// Adds to attempts what their programs used. The same each time: a record is sent again as it was.
    fn note_usage<'a>(&self, attempts: impl Iterator<Item = &'a mut AttemptRecord>) {
        let usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        for record in attempts {
            record.usage = usages.get(&record.attempt).copied().or(record.usage);
        }
    }

    fn put_dead_letter(&self, mut letter: DeadLetter) -> BoxFuture<'static, Reply> {
        let agent = Arc::clone(self.agent);
        letter.log = self.last_log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.note_usage(letter.attempts.iter_mut());
        tracing::warn!(task = %letter.task, name = letter.name, error = letter.error, "task given up");
        let key = agent.plan.dead_letter_key(letter.task);
        Box::pin(async move { reply_to_write(agent.bucket.put_json(&key, &letter, &Condition::Create).await) })
    }

    fn commit(&self, task: TaskId, attempt: Attempt) -> BoxFuture<'static, Reply> {
        let (Some(staged), Some(task)) = (self.staged.clone(), self.tasks.get(&task)) else {
            return Box::pin(async { Reply::Restage });
        };
        let (agent, place) = (Arc::clone(self.agent), self.agent.output(task));
        let mut attributes = attributes_of(task, attempt);
        if let Some(bytes) = staged.folder_bytes {
            attributes = attributes.with(META_BYTES, bytes.to_string());
        }
        let task = task.clone();
        Box::pin(async move {
            let reply = match &staged.body {
                StagedBody::Whole(body) => {
                    attributes.crc32 = Some(staged.crc32);
                    let condition = match Defect::OutputWithoutCondition.is_planted() {
                        true => Condition::Overwrite,
                        false => Condition::Create,
                    };
                    let put = place.store.put(&place.key, body.clone(), &attributes, &condition).await;
                    reply_to_write(put)
                }
                StagedBody::Parts(upload, parts) => {
                    match place.store.upload_complete(upload, parts, &Condition::Create).await {
                        // A completion that met something concurrent takes a new upload with all its parts.
                        Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Restage,
                        outcome => reply_to_write(outcome),
                    }
                }
            };
            match &reply {
                Reply::Applied(_) => {
                    // Only an attempt that was stopped leaves one, and then the next tenure has another epoch.
                    if attempt.epoch > 1 && agent.processor.is_program() {
                        drop_checkpoint(&agent, task.id).await;
                    }
                    tracing::info!(task = %task.id, name = task.name, bytes = staged.bytes, "task done");
                }
                Reply::Rejected => {
                    tracing::info!(task = %task.id, name = task.name, "task done; its output stood already");
                }
                other => tracing::warn!(task = %task.id, name = task.name, ?other, "the output is not yet put"),
            }
            reply
        })
    }
}

/// What a stopped attempt left for the one that is committed now. One that cannot be removed stays, and harms nobody.
async fn drop_checkpoint(agent: &Agent, task: TaskId) {
    let key = agent.bucket.keys.checkpoint(task, agent.plan.slug(task.segment, task.line).as_deref());
    if let Err(error) = agent.bucket.store().delete(&key, None).await {
        tracing::debug!(%error, "a checkpoint could not be removed");
    }
}

/// A dead letter that somebody wrote over.
fn unreadable(task: TaskId, why: &str, at: Timestamp) -> DeadLetter {
    let (name, error) = (String::new(), why.to_owned());
    DeadLetter { schema: SCHEMA, task, name, error, attempts: Vec::new(), at, log: None }
}
