//! One agent's holding of one chunk, from the claim to the close.

use std::collections::VecDeque;

use crate::clock::{Moment, Now, Timestamp};
use crate::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use crate::job::SCHEMA;
use crate::plan::Task;
use crate::planted::Defect;
use crate::records::{
    AttemptEnd, AttemptRecord, DeadLetter, ResultRecord, Running, TaskOutcome, TaskResult, TenureEnd, TenureRecord,
};

use super::{ISOLATE_FROM_LOSSES, Lease, LeaseAsk, LeaseNews, Policy, Prior, Reply, retry_wait};

/// A request beside the lease's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkAsk {
    /// Does the chunk's result stand?
    HeadResult,
    /// What does the task's output say, if it stands?
    HeadOutput(TaskId),
    /// The task's dead letter, if it stands.
    GetDeadLetter(TaskId),
    /// Make the staged output of the attempt the task's output, if there is none: the commit.
    Commit(TaskId, Attempt),
    /// Put the dead letter, if there is none.
    PutDeadLetter(Box<DeadLetter>),
    /// Put the chunk's result, if there is none.
    PutResult(Box<ResultRecord>),
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a request about the lease object; answer with [`Event::Lease`].
    Lease(LeaseAsk),
    /// Send a request; answer with [`Event::Work`].
    Work(WorkAsk),
    /// Wait until nothing else runs on this agent, and keep it so; answer with [`Event::Alone`].
    Isolate,
    /// Others may run again.
    Share,
    /// Run the task and stage its output; answer with [`Event::Ran`].
    Run(TaskId, Attempt),
    /// Stop the run; it is answered as any run is.
    Cancel,
    /// The tenure has ended; nothing follows.
    Over(TenureOver),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunEnd {
    /// The output is staged, ready to be committed.
    Staged {
        /// Its size.
        bytes: u64,
        /// Its checksum as the store will have it, where known.
        checksum: Option<String>,
    },
    /// The processor failed.
    Failed {
        /// What it said.
        error: String,
        /// Whether another try cannot help (the input does not exist).
        permanent: bool,
    },
    /// The store did not answer, or what arrived was damaged on the way: the task is run again, under a new attempt.
    Interrupted {
        /// What happened.
        why: String,
    },
    /// It was stopped on request.
    Stopped,
}

/// What happens to a tenure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The answer to [`Effect::Lease`].
    Lease(Reply),
    /// The answer to [`Effect::Work`].
    Work(Reply),
    /// The agent runs nothing else now.
    Alone,
    /// The run has ended.
    Ran(RunEnd),
    /// Time has passed.
    Tick,
    /// Give the chunk back as soon as the task in hand is decided.
    Release,
    /// Give the chunk back now: stop the task in hand.
    ReleaseNow,
}

/// How a tenure ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenureOver {
    /// Another agent was faster; nothing was held.
    NotOurs,
    /// The chunk's result stood already; its semaphore was removed.
    AlreadyClosed,
    /// Every task is decided and the result stands.
    Closed(Box<ResultRecord>),
    /// It was given back.
    Released,
    /// Somebody took it over.
    Lost,
    /// The store refuses for good, in its words.
    Broken(String),
}

/// Where a tenure stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Getting the semaphore.
    Claiming,
    /// Finding out whether the chunk is closed already.
    CheckingResult,
    /// Another tenure was here: finding out whether the task's output stands.
    InspectingOutput,
    /// … or its dead letter.
    InspectingDeadLetter,
    /// Waiting for a renewal, as the lease is too old to begin something.
    Renewing,
    /// Waiting until the agent runs nothing else, at the latest until then.
    Isolating(Moment),
    /// Waiting for the announcement to be written.
    Announcing(Attempt),
    /// The processor is at work.
    Running(Attempt, Timestamp),
    /// Waiting a little after a failure before the next attempt.
    Pausing(Moment),
    /// The output is being put.
    Committing {
        /// The attempt.
        attempt: Attempt,
        /// When it began.
        from: Timestamp,
        /// Size of the staged output.
        bytes: u64,
        /// Its checksum.
        checksum: Option<String>,
        /// Whether a try went unanswered.
        doubtful: bool,
    },
    /// An output stands that may be another's: finding out what it is.
    Confirming(Attempt, Timestamp),
    /// Before a task is given up: renewing (a lost lease stops it).
    GivingUp(String),
    /// … then looking whether its output stands after all.
    GivingUpHead(String),
    /// … then putting the dead letter.
    GivingUpPut(Box<DeadLetter>),
    /// Putting the result.
    Closing(Box<ResultRecord>),
    /// Deleting the semaphore; the result, if this tenure put it.
    Deleting(Option<Box<ResultRecord>>),
    /// Giving the chunk back.
    Releasing,
    /// Over.
    Over,
}

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

    fn on_lease_news(&mut self, news: LeaseNews, now: Now) {
        match (news, &self.stage) {
            (LeaseNews::NotOurs, _) => self.over(TenureOver::NotOurs),
            (LeaseNews::Acquired, _) => {
                self.stage = Stage::CheckingResult;
                self.ask(WorkAsk::HeadResult);
            }
            (LeaseNews::Renewed, Stage::Renewing) => self.next(now),
            (LeaseNews::Renewed, Stage::Announcing(attempt)) => {
                let attempt = *attempt;
                let announced = |r: &Running| r.alone && r.attempt == attempt;
                if self.lease.written().and_then(|w| w.running.as_ref()).is_some_and(announced) {
                    self.run(attempt, now);
                }
            }
            (LeaseNews::Renewed, Stage::GivingUp(error)) => {
                let error = error.clone();
                self.ask(WorkAsk::HeadOutput(self.tasks[self.cursor].id));
                self.stage = Stage::GivingUpHead(error);
            }
            (LeaseNews::Renewed, _) => {}
            (LeaseNews::Lost, stage) => {
                self.lost = true;
                match stage {
                    Stage::Running(..) => self.effects.push_back(Effect::Cancel),
                    // What is on its way is settled first: its answer says whether the task is done.
                    Stage::Committing { .. } | Stage::Confirming(..) | Stage::GivingUpPut(_) | Stage::Closing(_) => {}
                    Stage::Deleting(Some(result)) => self.over(TenureOver::Closed(result.clone())),
                    Stage::Deleting(None) => self.over(TenureOver::AlreadyClosed),
                    _ => self.over(TenureOver::Lost),
                }
            }
            (LeaseNews::Released, _) => self.over(TenureOver::Released),
            (LeaseNews::Deleted, Stage::Deleting(result)) => {
                let over = match result.clone() {
                    Some(result) => TenureOver::Closed(result),
                    None => TenureOver::AlreadyClosed,
                };
                self.over(over);
            }
            (LeaseNews::Deleted, _) => {}
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

    fn on_ran(&mut self, end: RunEnd, now: Now) {
        let Stage::Running(attempt, from) = self.stage else { return };
        let task = self.tasks[self.cursor].id;
        match end {
            RunEnd::Staged { bytes, checksum } => {
                self.stage = Stage::Committing { attempt, from, bytes, checksum, doubtful: false };
                self.ask(WorkAsk::Commit(task, attempt));
            }
            RunEnd::Failed { error, permanent } => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Failed, Some(error.clone()));
                let failures = self.count(AttemptEnd::Failed);
                if self.lost {
                    self.over(TenureOver::Lost);
                } else if permanent || failures >= self.policy.max_attempts {
                    self.give_up(error, now);
                } else {
                    // Written at once, so that a crash does not forgive the failure; and a moment's pause.
                    self.renew(now);
                    self.stage = Stage::Pausing(now.at.after(retry_wait(failures + 2)));
                    if self.release {
                        self.next(now);
                    }
                }
            }
            RunEnd::Interrupted { why } => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Interrupted, Some(why));
                let interruptions = self.count(AttemptEnd::Interrupted);
                self.stage = Stage::Pausing(now.at.after(retry_wait(interruptions + 1)));
                if self.release || self.lost {
                    self.next(now);
                }
            }
            RunEnd::Stopped => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Preempted, None);
                // A run is only ever stopped to give the chunk back, or because it was lost.
                self.release = true;
                self.next(now);
            }
        }
    }

    fn on_work_reply(&mut self, reply: Reply, now: Now) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        // The same again, later: nobody answered, or something concurrent was in the way.
        let repeat = match (&stage, &reply) {
            (Stage::CheckingResult, Reply::Unknown) => Some(WorkAsk::HeadResult),
            (Stage::InspectingOutput | Stage::Confirming(..) | Stage::GivingUpHead(_), Reply::Unknown) => {
                Some(WorkAsk::HeadOutput(self.tasks[self.cursor].id))
            }
            (Stage::InspectingDeadLetter, Reply::Unknown) => Some(WorkAsk::GetDeadLetter(self.tasks[self.cursor].id)),
            (Stage::Committing { attempt, .. }, Reply::Unknown | Reply::Conflict) => {
                Some(WorkAsk::Commit(self.tasks[self.cursor].id, *attempt))
            }
            (Stage::GivingUpPut(letter), other) if !settles_create(other) => {
                Some(WorkAsk::PutDeadLetter(letter.clone()))
            }
            (Stage::Closing(result), other) if !settles_create(other) => Some(WorkAsk::PutResult(result.clone())),
            _ => None,
        };
        if let Some(ask) = repeat {
            self.tries += 1;
            self.again = Some((now.at.after(retry_wait(self.tries)), ask));
            self.stage = match stage {
                Stage::Committing { attempt, from, bytes, checksum, doubtful } => {
                    let doubtful = doubtful || reply == Reply::Unknown;
                    Stage::Committing { attempt, from, bytes, checksum, doubtful }
                }
                other => other,
            };
            return;
        }
        match (stage, reply) {
            (Stage::CheckingResult, Reply::Present) => self.delete(None),
            (Stage::CheckingResult, Reply::Absent) => self.next(now),

            (Stage::InspectingOutput, Reply::Output(stood)) => self.done_as(stood, now),
            (Stage::InspectingOutput, _) => {
                self.stage = Stage::InspectingDeadLetter;
                self.ask(WorkAsk::GetDeadLetter(self.tasks[self.cursor].id));
            }
            (Stage::InspectingDeadLetter, Reply::DeadLetter(letter)) => {
                self.lease.draft.attempts.retain(|a| a.task != letter.task);
                self.decide(TaskOutcome::Failed { error: letter.error }, letter.attempts, now);
            }
            (Stage::InspectingDeadLetter, _) => {
                self.inspected = true;
                self.next(now);
            }

            (Stage::Committing { attempt, from, bytes, checksum, .. }, Reply::Applied(_)) => {
                self.note_attempt(attempt, from, now, AttemptEnd::Done, None);
                self.decide_done(TaskOutcome::Done { bytes, checksum, attempt: Some(attempt) }, now);
            }
            // The first complete output stands. Which it is, head says.
            (Stage::Committing { attempt, from, .. }, Reply::Rejected)
            | (Stage::Committing { attempt, from, doubtful: true, .. }, Reply::Restage | Reply::Missing) => {
                self.stage = Stage::Confirming(attempt, from);
                self.ask(WorkAsk::HeadOutput(self.tasks[self.cursor].id));
            }
            (Stage::Confirming(attempt, from), Reply::Output(stood)) => {
                self.note_attempt(attempt, from, now, AttemptEnd::Done, None);
                self.done_as(stood, now);
            }
            // The staged output is gone, or what stood was removed by hand: run it again, under a new attempt.
            (Stage::Committing { attempt, from, .. } | Stage::Confirming(attempt, from), _) => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Preempted, None);
                self.stage = Stage::Pausing(now.at.after(retry_wait(2)));
                if self.release || self.lost {
                    self.next(now);
                }
            }

            (Stage::GivingUpHead(_), Reply::Output(stood)) => self.done_as(stood, now),
            (Stage::GivingUpHead(error), _) => self.put_dead_letter(error, now),
            (Stage::GivingUpPut(letter), Reply::Applied(_) | Reply::Rejected) => {
                self.lease.draft.attempts.retain(|a| a.task != letter.task);
                self.decide(TaskOutcome::Failed { error: letter.error }, letter.attempts, now);
            }

            (Stage::Closing(result), Reply::Applied(_) | Reply::Rejected) => {
                if self.lost {
                    self.over(TenureOver::Closed(result));
                } else {
                    self.delete(Some(result));
                }
            }
            // An answer that nothing waits for.
            (stage, _) => self.stage = stage,
        }
    }

    /// Goes on to whatever comes next for the task in hand, or for the chunk.
    fn next(&mut self, now: Now) {
        if self.lost {
            return self.over(TenureOver::Lost);
        }
        if self.release && self.cursor < self.tasks.len() {
            self.share();
            self.stage = Stage::Releasing;
            let ask = self.lease.release(now);
            self.effects.extend(ask.map(Effect::Lease));
            return;
        }
        let Some(task) = self.tasks.get(self.cursor) else { return self.close(now) };
        let id = task.id;
        if let Some(problem) = task.problem.clone() {
            let error = format!("cannot be a task: {problem}");
            return self.put_dead_letter(error, now);
        }
        if self.inherited && !self.inspected {
            self.stage = Stage::InspectingOutput;
            return self.ask(WorkAsk::HeadOutput(id));
        }
        let vanished = self.count(AttemptEnd::VanishedAlone);
        if vanished >= self.policy.max_losses {
            return self.give_up(format!("its agent vanished {vanished} times while the task ran alone on it"), now);
        }
        if self.count(AttemptEnd::Failed) >= self.policy.max_attempts {
            let failed = |a: &&AttemptRecord| a.task == id && a.end == AttemptEnd::Failed;
            let last = self.lease.draft.attempts.iter().rev().find(failed);
            let error = last.and_then(|a| a.error.clone()).unwrap_or_else(|| "it failed".to_owned());
            return self.give_up(error, now);
        }
        if !self.lease.is_fresh(now.at) {
            self.stage = Stage::Renewing;
            return self.renew(now);
        }
        if self.lease.draft.losses >= ISOLATE_FROM_LOSSES {
            if self.alone {
                return self.on_isolated_again(now);
            }
            self.stage = Stage::Isolating(now.at.after(self.policy.ttl));
            return self.effects.push_back(Effect::Isolate);
        }
        let attempt = self.new_attempt();
        self.note_running(attempt, now);
        self.run(attempt, now);
    }

    /// Alone already, from the task before: only the announcement is needed.
    fn on_isolated_again(&mut self, now: Now) {
        self.stage = Stage::Isolating(now.at);
        self.on_alone(now);
    }

    fn run(&mut self, attempt: Attempt, now: Now) {
        self.stage = Stage::Running(attempt, now.wall);
        self.effects.push_back(Effect::Run(self.tasks[self.cursor].id, attempt));
    }

    fn give_up(&mut self, error: String, now: Now) {
        self.stage = Stage::GivingUp(error);
        self.renew(now);
    }

    fn put_dead_letter(&mut self, error: String, now: Now) {
        let task = &self.tasks[self.cursor];
        let letter = Box::new(DeadLetter {
            schema: SCHEMA,
            task: task.id,
            name: task.name.clone(),
            error,
            attempts: self.lease.draft.attempts.iter().filter(|a| a.task == task.id).cloned().collect(),
            at: now.wall,
            log: None,
        });
        self.stage = Stage::GivingUpPut(letter.clone());
        self.ask(WorkAsk::PutDeadLetter(letter));
    }

    fn done_as(&mut self, stood: super::Stood, now: Now) {
        let super::Stood { bytes, checksum, attempt } = stood;
        self.decide_done(TaskOutcome::Done { bytes, checksum, attempt }, now);
    }

    fn decide_done(&mut self, outcome: TaskOutcome, now: Now) {
        let id = self.tasks[self.cursor].id;
        let (mine, others) = std::mem::take(&mut self.lease.draft.attempts).into_iter().partition(|a| a.task == id);
        // Attempts that did not end well stay in the semaphore until the chunk is closed; a good one needs no keeping.
        self.lease.draft.attempts = others;
        let mine: Vec<AttemptRecord> = mine;
        self.lease.draft.attempts.extend(mine.iter().filter(|a| a.end != AttemptEnd::Done).cloned());
        self.decide(outcome, mine, now);
    }

    /// The task in hand is decided.
    fn decide(&mut self, outcome: TaskOutcome, attempts: Vec<AttemptRecord>, now: Now) {
        let task = &self.tasks[self.cursor];
        self.decided.push(TaskResult { task: task.id, name: task.name.clone(), outcome, attempts });
        self.lease.draft.decided = u32::try_from(self.decided.len()).unwrap_or(u32::MAX);
        self.lease.draft.running = None;
        self.cursor += 1;
        self.inspected = false;
        self.tries = 0;
        self.next(now);
    }

    fn close(&mut self, now: Now) {
        self.share();
        let draft = &self.lease.draft;
        let mut tenures = draft.tenures.clone();
        tenures.push(TenureRecord {
            agent: draft.agent.clone(),
            epoch: draft.epoch,
            tenure: draft.tenure,
            from: draft.since,
            to: now.wall,
            end: TenureEnd::Closed,
        });
        let tasks = std::mem::take(&mut self.decided);
        let result = Box::new(ResultRecord { schema: SCHEMA, chunk: self.chunk, tenures, tasks });
        self.stage = Stage::Closing(result.clone());
        self.ask(WorkAsk::PutResult(result));
    }

    fn delete(&mut self, result: Option<Box<ResultRecord>>) {
        self.stage = Stage::Deleting(result);
        let ask = self.lease.delete();
        self.effects.extend(ask.map(Effect::Lease));
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
        });
    }

    /// How many attempts at the task in hand ended so.
    fn count(&self, end: AttemptEnd) -> u32 {
        let id = self.tasks[self.cursor].id;
        let n = self.lease.draft.attempts.iter().filter(|a| a.task == id && a.end == end).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }
}

/// Whether the answer to a Create says that an object stands.
fn settles_create(reply: &Reply) -> bool {
    matches!(reply, Reply::Applied(_) | Reply::Rejected | Reply::Broken(_))
}
