//! A tenure on a desk: the test is its driver and its store.

use std::time::Duration;

use dayfly_shared::claim::{Effect, Event, LeaseAsk, Policy, Prior, Reply, RunEnd, Stood, Tenure, TenureOver, WorkAsk};
use dayfly_shared::clock::{Moment, Now, Timestamp};
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::plan::Task;
use dayfly_shared::records::{LeaseState, ResultRecord, Running, Semaphore};
use dayfly_shared::store::{Condition, ETag};

pub const CHUNK: ChunkId = ChunkId { segment: 1, index: 1 };

pub fn tag(n: u32) -> ETag {
    ETag::new(&format!("v{n}"))
}

pub fn task(line: u32) -> TaskId {
    TaskId { segment: 1, line }
}

/// A tenure with its time, and the effects that it has asked for.
pub struct Desk {
    pub tenure: Tenure,
    pub now: Now,
    pub version: u32,
}

impl Desk {
    pub fn claim(tasks: u32, prior: Option<Prior>) -> Self {
        let tasks = (1..=tasks).map(|n| Task { id: task(n), name: format!("in{n}.dat"), problem: None }).collect();
        let now = Now { at: Moment(Duration::from_secs(1000)), wall: Timestamp::from_unix_ms(1_000_000) };
        let tenure = Tenure::claim(agent("me"), Nonce(7), CHUNK, tasks, policy(), prior, now);
        Self { tenure, now, version: 0 }
    }

    /// A tenure that holds its chunk and has asked to run its first task.
    pub fn working(tasks: u32) -> (Self, Attempt) {
        let mut desk = Self::claim(tasks, None);
        desk.lease_put();
        desk.applied();
        assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
        desk.on(Event::Work(Reply::Absent));
        let attempt = desk.run(1);
        (desk, attempt)
    }

    pub fn on(&mut self, event: Event) {
        self.tenure.on(event, self.now);
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now.at = self.now.at.after(Duration::from_secs(seconds));
        self.on(Event::Tick);
    }

    pub fn effect(&mut self) -> Effect {
        self.tenure.effect().unwrap_or_else(|| panic!("nothing asked for at {:?}", self.tenure.stage()))
    }

    pub fn idle(&mut self) {
        assert_eq!(self.tenure.effect(), None, "at {:?}", self.tenure.stage());
    }

    /// The next effect is a write of the lease.
    pub fn lease_put(&mut self) -> (Semaphore, Condition) {
        match self.effect() {
            Effect::Lease(LeaseAsk::Put { record, condition }) => (*record, condition),
            other => panic!("{other:?} is no lease write"),
        }
    }

    /// The lease's write went through.
    pub fn applied(&mut self) {
        self.version += 1;
        self.on(Event::Lease(Reply::Applied(tag(self.version))));
    }

    /// The next effect is a run of that task.
    pub fn run(&mut self, line: u32) -> Attempt {
        match self.effect() {
            Effect::Run(id, attempt) if id == task(line) => attempt,
            other => panic!("{other:?} is no run of task {line}"),
        }
    }

    /// The run staged its output; the commit is asked for.
    pub fn staged(&mut self, line: u32, attempt: Attempt) {
        self.on(Event::Ran(RunEnd::Staged { bytes: 10, checksum: None }));
        assert_eq!(self.effect(), Effect::Work(WorkAsk::Commit(task(line), attempt)));
    }

    pub fn fail(&mut self, permanent: bool) {
        self.on(Event::Ran(RunEnd::Failed { error: "no luck".to_owned(), permanent }));
    }

    /// The result is put and the semaphore deleted.
    pub fn close(&mut self) -> ResultRecord {
        let result = match self.effect() {
            Effect::Work(WorkAsk::PutResult(result)) => *result,
            other => panic!("{other:?} does not close"),
        };
        self.on(Event::Work(Reply::Applied(tag(0))));
        let version = tag(self.version);
        assert_eq!(self.effect(), Effect::Lease(LeaseAsk::Delete { etag: version.clone() }));
        self.on(Event::Lease(Reply::Applied(version)));
        assert!(matches!(self.effect(), Effect::Over(TenureOver::Closed(_))));
        result
    }

    pub fn over(&mut self) -> TenureOver {
        match self.effect() {
            Effect::Over(over) => over,
            other => panic!("{other:?} is no end"),
        }
    }
}

pub fn agent(name: &str) -> AgentId {
    AgentId::of(name, Nonce(1))
}

pub fn policy() -> Policy {
    Policy::of(&JobSettings::default())
}

/// A semaphore that somebody left.
pub fn left(state: LeaseState, losses: u32, running: Option<Running>) -> Prior {
    let mut desk = Desk::claim(1, None);
    let (record, _) = desk.lease_put();
    let record = Semaphore { agent: agent("other"), tenure: Nonce(5), epoch: 3, state, losses, running, ..record };
    Prior { record, etag: tag(99) }
}

pub fn stood(attempt: Option<Attempt>) -> Reply {
    Reply::Output(Stood { bytes: 20, checksum: None, attempt })
}
