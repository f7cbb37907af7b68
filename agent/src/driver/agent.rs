//! The state that an agent's tasks share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::claim::{Board, Policy, Verdict};
use dayfly_shared::clock::{Moment, Now, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::ids::{ChunkId, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::plan::{Segment, Task};
use dayfly_shared::records::{AgentState, RunningTask};
use dayfly_shared::store::{ETag, Result, Store};
use tokio::sync::{Notify, RwLock, Semaphore};

use super::fleet::ShutOff;
use super::plan_shelf::PlanShelf;
use super::refresher::Refresher;
use super::seat::Seat;
use super::suspicion::Suspicion;
use super::tenure_run::AheadRoom;
use super::watched::{Watched, Watcher};
use super::{Ending, Parts, Settings};
use crate::processor::{PartBudget, Place, Processor, SizeHint};

/// What the slots are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Claim and work.
    Work,
    /// Begin nothing more, give chunks back, wait.
    Pause(String),
    /// Begin nothing more; at the deadline stop what runs; give chunks back; end.
    Drain {
        /// Why.
        why: String,
        /// When what runs is stopped.
        deadline: Moment,
    },
    /// Stop what runs, give chunks back, end.
    Halt,
    /// Nothing runs any more: end.
    End,
}

impl Orders {
    /// Whether nothing more is to be begun, for good.
    pub fn is_end(&self) -> bool {
        self.rank() > 0
    }

    /// Orders only ever grow stricter, but for a pause that is lifted.
    fn rank(&self) -> u8 {
        match self {
            Orders::Work | Orders::Pause(_) => 0,
            Orders::Drain { .. } => 1,
            Orders::Halt => 2,
            Orders::End => 3,
        }
    }
}

/// How often a program may ask to be tried again later, on one agent, before that counts as a failure: with the waits
/// between tries, which grow to half a minute, some ten minutes.
pub const PUT_OFF_MOST: u32 = 25;

/// Counts of one agent.
#[derive(Debug, Default)]
pub struct Tally {
    pub running: BTreeMap<ChunkId, RunningTask>,
    pub done: u64,
    pub failed: u64,
    /// Chunks that are held or about to be.
    pub active: u32,
    pub state: Option<AgentState>,
    /// Since when the job has been seen to be suspended.
    pub suspended_since: Option<Moment>,
    /// What decided how the agent ends; the first to speak is heard.
    pub ending: Option<Ending>,
    /// When the store last answered.
    pub answered: Moment,
}

/// What the last search came to that found nothing: whoever asked before it began, and saw no change since, need not
/// search again.
pub struct LastVerdict {
    pub began: Moment,
    pub changes: u64,
    pub verdict: Verdict,
}

/// The state that an agent's tasks share.
pub struct Agent {
    pub parts: Parts,
    pub settings: Settings,
    pub bucket: JobBucket,
    pub job: JobSettings,
    pub policy: Policy,
    pub inputs: Arc<dyn Store>,
    pub outputs: Arc<dyn Store>,
    pub processor: Arc<dyn Processor>,
    /// Room for parts of large objects, for all slots.
    pub part_budget: PartBudget,
    /// Room for small ones that are fetched ahead.
    pub ahead_room: AheadRoom,
    /// What the last input says of the next one's size.
    pub size_hint: SizeHint,
    pub plan: PlanShelf,
    board: Mutex<Board>,
    tally: Mutex<Tally>,
    orders: Watched<Orders>,
    /// One search at a time: a page listed by one slot serves all.
    pub search: tokio::sync::Mutex<Option<LastVerdict>>,
    /// Tasks run under it together; an announced task holds it alone.
    pub gate: Arc<RwLock<()>>,
    /// So many tasks run at once as there are slots, whatever else their tenures are at.
    pub turns: Semaphore,
    /// One idle slot at a time waits for the world to change.
    pub poll: tokio::sync::Mutex<Seat>,
    pub refresher: tokio::sync::Mutex<Refresher>,
    /// The version of the list after which the job was over, for one that lingers.
    pub lingering_at: tokio::sync::Mutex<Option<(ETag, Option<Timestamp>)>>,
    /// How far shutting the fleet off has got.
    pub fleet: tokio::sync::Mutex<ShutOff>,
    /// Segments are taken in one at a time, by whoever finds them.
    taking_in: tokio::sync::Mutex<()>,
    /// Counts the changes after which there may be something to claim, or nothing left to wait for.
    changes: Watched<u64>,
    /// Looks in a row, of all slots, that found nothing.
    pub idle_looks: AtomicU32,
    /// How often tasks were put off.
    put_off: Mutex<BTreeMap<TaskId, u32>>,
    /// Whether the job's program works at all.
    suspicion: Mutex<Suspicion>,
    /// A chunk was closed: the views are behind.
    pub dirty: AtomicBool,
    pub refresh: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an agent starts from.
pub struct Start {
    pub bucket: JobBucket,
    pub job: JobSettings,
    pub processor: Arc<dyn Processor>,
    pub refresher: Refresher,
}

impl Agent {
    pub fn new(parts: Parts, settings: Settings, start: Start) -> Self {
        let Start { bucket, job, processor, refresher } = start;
        let policy = Policy { whole_row: settings.whole_row, ..Policy::of(&job) };
        let inputs = parts.stores.open(job.inputs(&bucket.location).bucket());
        let outputs = parts.stores.open(job.outputs(&bucket.location).bucket());
        let answered = parts.clock.now().at;
        Self {
            plan: PlanShelf::new(bucket.clone(), job.clone()),
            board: Mutex::new(Board::new(policy)),
            tally: Mutex::new(Tally { answered, ..Tally::default() }),
            orders: Watched::new(Orders::Work),
            search: tokio::sync::Mutex::new(None),
            gate: Arc::new(RwLock::new(())),
            turns: Semaphore::new(settings.slots.max(1) as usize),
            poll: tokio::sync::Mutex::new(Seat::default()),
            refresher: tokio::sync::Mutex::new(refresher),
            lingering_at: tokio::sync::Mutex::new(None),
            fleet: tokio::sync::Mutex::new(ShutOff::default()),
            taking_in: tokio::sync::Mutex::new(()),
            changes: Watched::new(0),
            idle_looks: AtomicU32::new(0),
            put_off: Mutex::default(),
            suspicion: Mutex::default(),
            dirty: AtomicBool::new(false),
            refresh: Notify::new(),
            parts,
            settings,
            bucket,
            job,
            policy,
            inputs,
            outputs,
            processor,
            part_budget: PartBudget::default(),
            ahead_room: AheadRoom::default(),
            size_hint: SizeHint::default(),
        }
    }

    pub fn now(&self) -> Now {
        self.parts.clock.now()
    }

    pub fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    pub fn orders(&self) -> Watcher<Orders> {
        self.orders.watch()
    }

    /// Sees every change from now on.
    pub fn changes(&self) -> Watcher<u64> {
        self.changes.watch()
    }

    /// How many changes there have been.
    pub fn change_count(&self) -> u64 {
        self.changes.get()
    }

    /// There may be something to claim, or nothing left to wait for.
    pub fn note_change(&self) {
        self.changes.change_if(|n| {
            *n += 1;
            true
        });
    }

    /// Gives orders, unless stricter ones stand. Of two deadlines the nearer one holds: a machine that goes in two minutes
    /// does so whatever time its job would have given it.
    pub fn order(&self, orders: Orders) {
        self.orders.change_if(|standing| {
            let change = match (&orders, &*standing) {
                (Orders::Drain { deadline, .. }, Orders::Drain { deadline: before, .. }) => deadline < before,
                _ => orders.rank() >= standing.rank() && orders != *standing && standing.rank() < 3,
            };
            if change {
                *standing = orders;
            }
            change
        });
    }

    /// Decides how the agent ends, unless that is decided.
    pub fn decide(&self, exit: Exit, why: impl Into<String>) {
        let why = why.into();
        let mut tally = self.tally();
        if tally.ending.is_none() {
            tracing::info!(exit = exit.code(), why, "ending");
            tally.ending = Some(Ending { exit, why });
        }
    }

    /// Nothing that this agent tries will work: stops what runs, gives chunks back, and ends with the reason.
    pub fn fail(&self, why: impl Into<String>) {
        let why = why.into();
        tracing::error!(why, "the agent cannot go on");
        self.decide(Exit::Failed, why);
        self.order(Orders::Halt);
    }

    /// Whether a task that asks for it may be tried again later, without spending an attempt.
    pub fn may_be_put_off(&self, task: TaskId) -> bool {
        let mut all = lock(&self.put_off);
        let times = all.entry(task).or_default();
        *times += 1;
        *times <= PUT_OFF_MOST
    }

    /// What speaks for and against the job's program.
    pub fn suspicion(&self) -> MutexGuard<'_, Suspicion> {
        lock(&self.suspicion)
    }

    /// The store answered.
    pub fn note_answer(&self) {
        let now = self.now().at;
        self.tally().answered = now;
    }

    /// Takes in the next segment; one that is known changes nothing. Whether it was new.
    ///
    /// # Errors
    /// A text that cannot be read, or is not the one committed.
    pub async fn add_segment(&self, segment: Segment) -> Result<bool> {
        let _in_order = self.taking_in.lock().await;
        let sizes: Vec<u32> = segment.chunks.iter().map(|chunk| chunk.tasks).collect();
        let new = self.plan.add(segment).await?;
        if new {
            self.board().add_cut(sizes, self.job.agents);
        }
        Ok(new)
    }

    /// The views are behind.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, SeqCst);
        self.refresh.notify_one();
    }

    pub fn input(&self, task: &Task) -> Place {
        let key = self.job.inputs(&self.bucket.location).key(&task.name);
        Place { store: Arc::clone(&self.inputs), key }
    }

    pub fn output(&self, task: &Task) -> Place {
        let key = self.job.outputs(&self.bucket.location).key(&self.job.commit_name(&task.name));
        Place { store: Arc::clone(&self.outputs), key }
    }
}
