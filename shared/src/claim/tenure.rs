//! One agent's holding of one chunk, from the claim to the close.
//!
//! What is asked and told is in `exchange`, where it stands in `stage`; what an answer changes is in `answers`, and what
//! comes next then in `steps`.

mod answers;
mod exchange;
mod stage;
mod steps;

use std::collections::VecDeque;

use crate::clock::{Moment, Now, Timestamp};
use crate::ids::{AgentId, Attempt, ChunkId, Nonce};
use crate::plan::Task;
use crate::planted::Defect;
use crate::records::{AttemptEnd, AttemptRecord, Running, TaskResult};

use super::{Lease, Policy, Prior, Reply};

pub use exchange::{Effect, Event, RunEnd, TenureOver, WorkAsk};
pub use stage::Stage;

/// One agent's holding of one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenure {
    chunk: ChunkId,
    tasks: Vec<Task>,
    policy: Policy,
    lease: Lease,
    stage: Stage,
    /// Index of the task in hand.
    cursor: usize,
    decided: Vec<TaskResult>,
    attempts: u32,
    /// Whether an earlier tenure may have decided tasks.
    inherited: bool,
    /// Whether the task in hand was looked up already.
    inspected: bool,
    alone: bool,
    release: bool,
    lost: bool,
    /// A request of the work lane that is to be sent again, and when.
    again: Option<(Moment, WorkAsk)>,
    tries: u32,
    effects: VecDeque<Effect>,
}

impl Tenure {
    /// Claims `chunk`, whose tasks are `tasks`; `prior` is the semaphore to take over, judged released or expired by
    /// the caller; `nonce` was never used before. Ask for [`Tenure::effect`]s at once.
    pub fn claim(
        me: AgentId,
        nonce: Nonce,
        chunk: ChunkId,
        tasks: Vec<Task>,
        policy: Policy,
        prior: Option<Prior>,
        now: Now,
    ) -> Self {
        let inherited = prior.is_some();
        let name = match tasks.as_slice() {
            [task] => Some(task.name.clone()),
            _ => None,
        };
        let (lease, ask) = Lease::claim(me, nonce, policy, prior, name, now);
        Self {
            chunk,
            tasks,
            policy,
            lease,
            stage: Stage::Claiming,
            cursor: 0,
            decided: Vec::new(),
            attempts: 0,
            inherited,
            inspected: false,
            alone: false,
            release: false,
            lost: false,
            again: None,
            tries: 0,
            effects: VecDeque::from([Effect::Lease(ask)]),
        }
    }

    /// The chunk.
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// Where it stands.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The task in hand, while one is being run or committed, and since when.
    pub fn in_hand(&self) -> Option<(&Task, Timestamp)> {
        let task = self.tasks.get(self.cursor)?;
        match &self.stage {
            Stage::Running(_, from) | Stage::Committing { from, .. } | Stage::Confirming(_, from) => {
                Some((task, *from))
            }
            _ => None,
        }
    }

    /// Whether nothing of the chunk is left to run, as far as is known: its last output is going up, or the chunk is being
    /// closed.
    pub fn has_run_all(&self) -> bool {
        let is_last = self.cursor + 1 == self.tasks.len();
        match self.stage {
            Stage::Committing { .. } | Stage::Confirming(..) => is_last && !self.release && !self.lost,
            Stage::Closing(_) | Stage::Deleting(Some(_)) => !self.lost,
            _ => false,
        }
    }

    /// The task that is run next as soon as the request under way is answered well, if nothing stands against it.
    pub fn following(&self) -> Option<&Task> {
        let next = match self.stage {
            Stage::CheckingResult => 0,
            Stage::Committing { .. } => self.cursor + 1,
            _ => return None,
        };
        let goes_on = !self.inherited && !self.alone && !self.release && !self.lost;
        self.tasks.get(next).filter(|task| goes_on && task.problem.is_none())
    }

    /// The next thing to do, in order; `None`: wait for an event.
    pub fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When a [`Event::Tick`] is next of use.
    pub fn wake_at(&self) -> Option<Moment> {
        let pause = match self.stage {
            Stage::Pausing(until) | Stage::Isolating(until) => Some(until),
            _ => None,
        };
        [self.lease.wake_at(), self.again.as_ref().map(|(at, _)| *at), pause].into_iter().flatten().min()
    }

    /// Takes an event in. An event that nothing waits for does nothing.
    pub fn on(&mut self, event: Event, now: Now) {
        if self.stage == Stage::Over {
            return;
        }
        match event {
            Event::Lease(Reply::Broken(why)) | Event::Work(Reply::Broken(why)) => self.over(TenureOver::Broken(why)),
            Event::Lease(reply) => {
                let (news, ask) = self.lease.on_reply(reply, now);
                self.effects.extend(ask.map(Effect::Lease));
                if let Some(news) = news {
                    self.on_lease_news(news, now);
                }
            }
            Event::Work(reply) => self.on_work_reply(reply, now),
            Event::Alone => self.on_alone(now),
            Event::Ran(end) => self.on_ran(end, now),
            Event::Tick => self.on_tick(now),
            Event::Release => self.on_release(now),
            Event::ReleaseNow => {
                if matches!(self.stage, Stage::Running(..)) {
                    self.effects.push_back(Effect::Cancel);
                }
                self.on_release(now);
            }
        }
    }

    fn on_release(&mut self, now: Now) {
        self.release = true;
        // Where nothing is in hand, at once; elsewhere when the task in hand is decided.
        if matches!(self.stage, Stage::Renewing | Stage::Isolating(_) | Stage::Announcing(_) | Stage::Pausing(_)) {
            self.next(now);
        }
    }

    fn on_tick(&mut self, now: Now) {
        let ask = self.lease.on_tick(now.at);
        self.effects.extend(ask.map(Effect::Lease));
        if let Some((at, ask)) = self.again.take() {
            if now.at >= at {
                self.effects.push_back(Effect::Work(ask));
            } else {
                self.again = Some((at, ask));
            }
        }
        match self.stage {
            Stage::Pausing(until) if now.at >= until => self.next(now),
            // What runs beside it takes its time, and new tasks wait for this one: leave the chunk to somebody else.
            Stage::Isolating(until) if now.at >= until => {
                self.effects.push_back(Effect::Share);
                self.on_release(now);
            }
            _ => {}
        }
    }

    fn on_alone(&mut self, now: Now) {
        if !matches!(self.stage, Stage::Isolating(_)) {
            self.effects.push_back(Effect::Share);
            return;
        }
        self.alone = true;
        let attempt = self.new_attempt();
        self.note_running(attempt, now);
        self.stage = Stage::Announcing(attempt);
        self.renew(now);
    }

    fn ask(&mut self, ask: WorkAsk) {
        self.tries = 0;
        self.again = None;
        self.effects.push_back(Effect::Work(ask));
    }

    fn renew(&mut self, now: Now) {
        let ask = self.lease.renew(now.at);
        self.effects.extend(ask.map(Effect::Lease));
    }

    fn share(&mut self) {
        if std::mem::take(&mut self.alone) {
            self.effects.push_back(Effect::Share);
        }
    }

    fn over(&mut self, over: TenureOver) {
        self.share();
        self.again = None;
        self.stage = Stage::Over;
        self.effects.push_back(Effect::Over(over));
    }

    fn new_attempt(&mut self) -> Attempt {
        if self.attempts == 0 || !Defect::AttemptUsedTwice.is_planted() {
            self.attempts += 1;
        }
        Attempt { epoch: self.lease.draft.epoch, tenure: self.lease.draft.tenure, n: self.attempts }
    }

    fn note_running(&mut self, attempt: Attempt, now: Now) {
        let task = self.tasks[self.cursor].id;
        self.lease.draft.running = Some(Running { task, attempt, from: now.wall, alone: self.alone });
    }

    fn note_attempt(&mut self, attempt: Attempt, from: Timestamp, now: Now, end: AttemptEnd, error: Option<String>) {
        self.lease.draft.attempts.push(AttemptRecord {
            task: self.tasks[self.cursor].id,
            attempt,
            agent: self.lease.draft.agent.clone(),
            from,
            to: now.wall,
            end,
            error,
            // Whoever runs the task knows, and adds it to the result.
            usage: None,
        });
    }

    /// How many attempts at the task in hand ended so.
    fn count(&self, end: AttemptEnd) -> u32 {
        let id = self.tasks[self.cursor].id;
        let n = self.lease.draft.attempts.iter().filter(|a| a.task == id && a.end == end).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }
}
