//! One tenure, run: carries out what the state machine asks for and tells it what came of it.

mod ahead;
mod attempt;
mod leftovers;
mod maybe;
mod requests;

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::claim::{Effect, Event, Prior, Reply, RunEnd, Tenure, TenureOver};
use dayfly_shared::clock::Moment;
use dayfly_shared::ids::{Attempt, ChunkId, TaskId};
use dayfly_shared::plan::Task;
use dayfly_shared::records::{RunningTask, Usage};
use futures::future::BoxFuture;
use tokio::sync::OwnedRwLockWriteGuard;

use super::agent::{Agent, Orders};
use super::relay::Baton;
use super::watched::Watcher;
use crate::processor::{OpenUpload, Staged};
use ahead::Ahead;
use maybe::Maybe;

pub use ahead::AheadRoom;

/// How long a tenure that gives its chunk back waits for the store before it leaves the rest to the lease's expiry.
const RELEASE_PATIENCE: Duration = Duration::from_secs(15);

/// A run's end, with the staged output if there is one.
type Ran = (RunEnd, Option<Staged>);

/// What this tenure's attempts used, for the records that tell of them.
type Usages = Arc<Mutex<BTreeMap<Attempt, Usage>>>;

struct Running<'a> {
    agent: &'a Arc<Agent>,
    tasks: HashMap<TaskId, Task>,
    semaphore_key: String,
    chunk: ChunkId,
    lease: Maybe<Reply>,
    work: Maybe<Reply>,
    run: Maybe<Ran>,
    ahead: Ahead,
    isolate: Maybe<OwnedRwLockWriteGuard<()>>,
    alone: Option<OwnedRwLockWriteGuard<()>>,
    staged: Option<Arc<Staged>>,
    open_upload: OpenUpload,
    last_log: Arc<Mutex<Option<String>>>,
    usages: Usages,
}

/// Claims the chunk and works on it until the tenure ends; passes the baton when there is nothing left to run.
pub async fn run(agent: &Arc<Agent>, chunk: ChunkId, prior: Option<Box<Prior>>, baton: &mut Baton) -> TenureOver {
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
        tasks: by_id,
        semaphore_key: agent.plan.semaphore_key(chunk),
        chunk,
        lease: Maybe::none(),
        work: Maybe::none(),
        run: Maybe::none(),
        ahead: Ahead::default(),
        isolate: Maybe::none(),
        alone: None,
        staged: None,
        open_upload: OpenUpload::default(),
        last_log: Arc::default(),
        usages: Usages::default(),
    };
    let over = running.drive(tenure, baton).await;
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
    async fn drive(mut self, mut tenure: Tenure, baton: &mut Baton) -> TenureOver {
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
                    effect => self.carry_out(effect, &tenure),
                }
            }
            if baton.is_held() && tenure.has_run_all() {
                self.agent.board().lead_on(self.chunk);
                baton.pass();
            }
            self.note_running(&tenure, baton.is_held());
            let now = self.agent.now().at;
            let wake = [tenure.wake_at(), stop_at, abandon_at].into_iter().flatten().min();
            let sleep = self.sleep_until(wake, now);
            let event = tokio::select! {
                biased;
                reply = self.lease.done() => Event::Lease(self.heard(reply)),
                reply = self.work.done() => {
                    if matches!(reply, Reply::Applied(_)) {
                        // It is committed: the close need not keep it.
                        self.staged = None;
                    }
                    Event::Work(self.heard(reply))
                }
                (end, staged) = self.run.done() => {
                    self.staged = staged.map(Arc::new);
                    *self.open_upload.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    Event::Ran(end)
                }
                guard = self.isolate.done() => {
                    self.alone = Some(guard);
                    Event::Alone
                }
                () = self.ahead.come() => continue,
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

    /// What only goes up any more takes no slot.
    fn note_running(&self, tenure: &Tenure, takes_slot: bool) {
        let mut tally = self.agent.tally();
        match tenure.in_hand().filter(|_| takes_slot) {
            Some((task, since)) => {
                let running = RunningTask { task: task.id, name: task.name.clone(), since };
                tally.running.insert(self.chunk, running);
            }
            None => {
                tally.running.remove(&self.chunk);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, tenure: &Tenure) {
        match effect {
            Effect::Lease(ask) => self.lease.set(self.lease_request(ask)),
            Effect::Work(ask) => {
                if let Some(next) = tenure.following()
                    && !self.agent.processor.is_program()
                    && !self.agent.size_hint.says_large()
                {
                    self.ahead.begin(self.agent, next);
                }
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
