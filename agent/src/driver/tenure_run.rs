//! One tenure, run: carries out what the state machine asks for and tells it what came of it.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use dayfly_shared::bucket::{META_ATTEMPT, META_TASK, reply_to_error, reply_to_write, stood};
use dayfly_shared::claim::{Effect, Event, LeaseAsk, Prior, Reply, RunEnd, Tenure, TenureOver, WorkAsk};
use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::ids::{Attempt, ChunkId, TaskId};
use dayfly_shared::job::SCHEMA;
use dayfly_shared::plan::Task;
use dayfly_shared::planted::Defect;
use dayfly_shared::records::{DeadLetter, RunningTask, to_json};
use dayfly_shared::store::{Attributes, Condition, Outcome, Rejection, StoreErrorKind, Upload};
use futures::future::BoxFuture;
use tokio::sync::OwnedRwLockWriteGuard;

use super::agent::{Agent, Orders};
use super::seat::answer;
use super::watched::Watcher;
use crate::processor::{Around, Failure, OpenUpload, Staged, StagedBody, TaskIo, Waiting};

/// How long a tenure that gives its chunk back waits for the store before it leaves the rest to the lease's expiry.
const RELEASE_PATIENCE: Duration = Duration::from_secs(15);

/// A time limit that runs out while the store has been silent for so long is not the task's fault.
const STORE_SILENCE: Duration = Duration::from_secs(10);

/// How long dropping an upload may take: `dayfly clean` and the bucket's lifecycle rule remove what is left.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// A future that may be absent: then it never completes.
struct Maybe<T>(Option<BoxFuture<'static, T>>);

impl<T> Maybe<T> {
    fn none() -> Self {
        Self(None)
    }

    fn set(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0 = Some(Box::pin(future));
    }

    async fn done(&mut self) -> T {
        match &mut self.0 {
            Some(future) => {
                let value = future.await;
                self.0 = None;
                value
            }
            None => pending().await,
        }
    }
}

/// A run's end, with the staged output if there is one.
type Ran = (RunEnd, Option<Staged>);

struct Running<'a> {
    agent: &'a Arc<Agent>,
    slot: u32,
    tasks: HashMap<TaskId, Task>,
    semaphore_key: String,
    chunk: ChunkId,
    lease: Maybe<Reply>,
    work: Maybe<Reply>,
    run: Maybe<Ran>,
    isolate: Maybe<OwnedRwLockWriteGuard<()>>,
    alone: Option<OwnedRwLockWriteGuard<()>>,
    staged: Option<Arc<Staged>>,
    open_upload: OpenUpload,
    last_log: Arc<Mutex<Option<String>>>,
}

/// Claims the chunk and works on it until the tenure ends.
pub async fn run(agent: &Arc<Agent>, slot: u32, chunk: ChunkId, prior: Option<Box<Prior>>) -> TenureOver {
    let tasks = match agent.plan.tasks(chunk).await {
        Ok(tasks) => tasks,
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "reading the chunk's tasks");
            return TenureOver::NotOurs;
        }
        Err(error) => return TenureOver::Broken(error.to_string()),
    };
    let nonce = agent.parts.dice.nonce();
    let by_id = tasks.iter().map(|t| (t.id, t.clone())).collect();
    let takeover = prior.as_ref().map(|p| (p.record.agent.clone(), p.record.state));
    let me = agent.settings.me.clone();
    let tenure = Tenure::claim(me, nonce, chunk, tasks, agent.policy, prior.map(|p| *p), agent.now());
    let running = Running {
        agent,
        slot,
        tasks: by_id,
        semaphore_key: agent.plan.semaphore_key(chunk),
        chunk,
        lease: Maybe::none(),
        work: Maybe::none(),
        run: Maybe::none(),
        isolate: Maybe::none(),
        alone: None,
        staged: None,
        open_upload: OpenUpload::default(),
        last_log: Arc::default(),
    };
    let over = running.drive(tenure).await;
    match (&over, takeover) {
        (TenureOver::NotOurs, _) => tracing::debug!(%chunk, "another agent was faster"),
        (TenureOver::Lost, _) => tracing::warn!(%chunk, "the chunk was taken over by another agent"),
        (over, Some((from, state))) => {
            tracing::info!(%chunk, from = %from, ?state, end = end_word(over), "took over a chunk");
        }
        (over, None) => tracing::debug!(%chunk, end = end_word(over), "tenure over"),
    }
    over
}

fn end_word(over: &TenureOver) -> &'static str {
    match over {
        TenureOver::NotOurs => "not ours",
        TenureOver::AlreadyClosed => "already closed",
        TenureOver::Closed(_) => "closed",
        TenureOver::Released => "released",
        TenureOver::Lost => "lost",
        TenureOver::Broken(_) => "broken",
    }
}

impl Running<'_> {
    async fn drive(mut self, mut tenure: Tenure) -> TenureOver {
        let mut orders = self.agent.orders();
        orders.mark_changed();
        let mut abandon_at: Option<Moment> = None;
        let mut stop_at: Option<Moment> = None;
        loop {
            while let Some(effect) = tenure.effect() {
                match effect {
                    Effect::Over(over) => {
                        self.clean_up().await;
                        return over;
                    }
                    Effect::Cancel => {
                        self.run = Maybe::none();
                        self.abort_upload().await;
                        tenure.on(Event::Ran(RunEnd::Stopped), self.agent.now());
                    }
                    effect => self.carry_out(effect),
                }
            }
            self.note_running(&tenure);
            let now = self.agent.now().at;
            let wake = [tenure.wake_at(), stop_at, abandon_at].into_iter().flatten().min();
            let sleep = self.sleep_until(wake, now);
            let event = tokio::select! {
                biased;
                reply = self.lease.done() => Event::Lease(self.heard(reply)),
                reply = self.work.done() => Event::Work(self.heard(reply)),
                (end, staged) = self.run.done() => {
                    self.staged = staged.map(Arc::new);
                    *self.open_upload.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    Event::Ran(end)
                }
                guard = self.isolate.done() => {
                    self.alone = Some(guard);
                    Event::Alone
                }
                () = sleep => {
                    let now = self.agent.now().at;
                    if abandon_at.is_some_and(|at| now >= at) {
                        tracing::warn!(chunk = %self.chunk, "the chunk could not be given back; its lease will expire");
                        self.clean_up().await;
                        return TenureOver::Released;
                    }
                    if stop_at.is_some_and(|at| now >= at) {
                        stop_at = None;
                        abandon_at = Some(now.after(RELEASE_PATIENCE));
                        Event::ReleaseNow
                    } else {
                        Event::Tick
                    }
                }
                () = orders.changed() => {
                    match follow(&mut orders, now) {
                        None => Event::Tick,
                        Some(deadline) => {
                            stop_at = deadline;
                            Event::Release
                        }
                    }
                }
            };
            tenure.on(event, self.agent.now());
        }
    }

    fn sleep_until(&self, wake: Option<Moment>, now: Moment) -> BoxFuture<'static, ()> {
        match wake {
            // A little jitter, so that a fleet's retries and heartbeats do not fall together.
            Some(at) => {
                let wait = at.since(now);
                let clock = &self.agent.parts.clock;
                clock.sleep(wait + self.agent.parts.dice.up_to(wait / 10))
            }
            None => Box::pin(pending()),
        }
    }

    /// A reply came; one that is an answer shows that the store is there.
    fn heard(&self, reply: Reply) -> Reply {
        if reply != Reply::Unknown {
            self.agent.note_answer();
        }
        reply
    }

    fn note_running(&self, tenure: &Tenure) {
        let mut tally = self.agent.tally();
        match tenure.in_hand() {
            Some((task, since)) => {
                let running = RunningTask { task: task.id, name: task.name.clone(), since };
                tally.running.insert(self.slot, running);
            }
            None => {
                tally.running.remove(&self.slot);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Lease(ask) => self.lease.set(self.lease_request(ask)),
            Effect::Work(ask) => {
                let request = self.work_request(ask);
                self.work.set(request);
            }
            Effect::Isolate => self.isolate.set(Arc::clone(&self.agent.gate).write_owned()),
            Effect::Share => {
                self.alone = None;
                self.isolate = Maybe::none();
            }
            Effect::Run(task, attempt) => {
                let run = self.task_run(task, attempt);
                self.run.set(run);
            }
            Effect::Cancel | Effect::Over(_) => {}
        }
    }

    fn lease_request(&self, ask: LeaseAsk) -> impl Future<Output = Reply> + Send + 'static {
        let store = Arc::clone(self.agent.bucket.store());
        let key = self.semaphore_key.clone();
        async move { answer(&*store, &key, ask).await }
    }

    fn work_request(&mut self, ask: WorkAsk) -> BoxFuture<'static, Reply> {
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
            WorkAsk::PutResult(result) => {
                let key = agent.plan.result_key(self.chunk);
                let body = to_json(&*result).into();
                Box::pin(async move {
                    let put = agent.bucket.store().put(&key, body, &Attributes::json(), &Condition::Create).await;
                    reply_to_write(put)
                })
            }
        }
    }

    fn put_dead_letter(&self, mut letter: DeadLetter) -> BoxFuture<'static, Reply> {
        let agent = Arc::clone(self.agent);
        letter.log = self.last_log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tracing::warn!(task = %letter.task, name = letter.name, error = letter.error, "task given up");
        let key = agent.plan.dead_letter_key(letter.task);
        Box::pin(async move { reply_to_write(agent.bucket.put_json(&key, &letter, &Condition::Create).await) })
    }

    fn commit(&self, task: TaskId, attempt: Attempt) -> BoxFuture<'static, Reply> {
        let (Some(staged), Some(task)) = (self.staged.clone(), self.tasks.get(&task)) else {
            return Box::pin(async { Reply::Restage });
        };
        let place = self.agent.output(task);
        let attributes = attributes_of(task, attempt);
        let task = task.clone();
        Box::pin(async move {
            let reply = match &staged.body {
                StagedBody::Whole(body) => {
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

    fn task_run(&mut self, id: TaskId, attempt: Attempt) -> BoxFuture<'static, Ran> {
        let Some(task) = self.tasks.get(&id).cloned() else {
            let error = "the plan has no such task".to_owned();
            return Box::pin(async { (RunEnd::Failed { error, permanent: true }, None) });
        };
        let left = self.staged.take();
        let agent = Arc::clone(self.agent);
        let alone = self.alone.is_some();
        let open_upload = Arc::clone(&self.open_upload);
        let last_log = Arc::clone(&self.last_log);
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
            tracing::info!(task = %task.id, name = task.name, %attempt, "task begins");
            match process(&agent, &task, attempt, &open_upload).await {
                Ok(staged) => {
                    let crc = base64::prelude::BASE64_STANDARD.encode(staged.crc32.to_be_bytes());
                    let checksum = Some(format!("crc32:{crc}"));
                    (RunEnd::Staged { bytes: staged.bytes, checksum }, Some(staged))
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
                    let permanent = matches!(failure, Failure::Processor { permanent: true, .. });
                    let error = failure.to_string();
                    tracing::warn!(task = %task.id, name = task.name, %attempt, error, "task failed");
                    let log = put_log(&agent, &task, attempt, &error).await;
                    *last_log.lock().unwrap_or_else(PoisonError::into_inner) = log;
                    (RunEnd::Failed { error, permanent }, None)
                }
            }
        })
    }

    /// What a stopped run, or an output that was not needed, leaves in the store is removed.
    async fn clean_up(&mut self) {
        self.agent.tally().running.remove(&self.slot);
        self.run = Maybe::none();
        self.abort_upload().await;
        if let Some(StagedBody::Parts(upload, _)) = self.staged.take().as_deref().map(|s| &s.body) {
            drop_upload(self.agent, upload).await;
        }
    }

    async fn abort_upload(&mut self) {
        let open = self.open_upload.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(upload) = open {
            drop_upload(self.agent, &upload).await;
        }
    }
}

/// A dead letter that somebody wrote over.
fn unreadable(task: TaskId, why: &str, at: Timestamp) -> DeadLetter {
    let (name, error) = (String::new(), why.to_owned());
    DeadLetter { schema: SCHEMA, task, name, error, attempts: Vec::new(), at, log: None }
}

/// Whether there are orders to give the chunk back, and by when what runs is stopped.
fn follow(orders: &mut Watcher<Orders>, now: Moment) -> Option<Option<Moment>> {
    match orders.see() {
        Orders::Work => None,
        Orders::Pause(_) => Some(None),
        Orders::Drain { deadline, .. } => Some(Some(deadline)),
        Orders::Halt | Orders::End => Some(Some(now)),
    }
}

fn attributes_of(task: &Task, attempt: Attempt) -> Attributes {
    Attributes::default().with(META_TASK, task.id.to_string()).with(META_ATTEMPT, attempt.to_string())
}

/// Runs the processor once.
async fn process(
    agent: &Arc<Agent>,
    task: &Task,
    attempt: Attempt,
    open_upload: &OpenUpload,
) -> Result<Staged, Failure> {
    let waiting = Waiting::default();
    let around = Around {
        work_dir: agent.settings.work_dir.clone(),
        open_upload: Arc::clone(open_upload),
        clock: Arc::clone(&agent.parts.clock),
        waiting: waiting.clone(),
        others_were_read: agent.tally().done > 0,
        part_bytes: agent.settings.part_bytes,
    };
    let output = attributes_of(task, attempt);
    let mut io = TaskIo::new((task.clone(), attempt), agent.input(task), agent.output(task), output, around);
    let work = async {
        agent.processor.process(&mut io).await?;
        io.finish().await
    };
    let limit = agent.job.task_time_limit();
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = agent.parts.clock.sleep(limit) => Err(match waiting.lasts(agent.now().at) {
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

async fn abort(agent: &Agent, task: &Task, open_upload: &OpenUpload) {
    let open = open_upload.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(upload) = open {
        tracing::debug!(task = %task.id, "dropping an upload");
        drop_upload(agent, &upload).await;
    }
}

async fn drop_upload(agent: &Agent, upload: &Upload) {
    tokio::select! {
        biased;
        dropped = agent.outputs.upload_abort(upload) => {
            if let Err(error) = dropped {
                tracing::warn!(%error, "an upload could not be dropped; dayfly clean removes it");
            }
        }
        () = agent.parts.clock.sleep(ABORT_PATIENCE) => {
            tracing::warn!(key = upload.key, "an upload could not be dropped in time; dayfly clean removes it");
        }
    }
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
