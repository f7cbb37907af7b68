//! One simulated agent: the board and the tenure are the product's, what is around them mirrors `agent/src/driver`.

use std::time::Duration;

use dayfly_shared::claim::{Board, Candidate, Effect, Event, LeaseAsk, Prior, Reply, RunEnd, Tenure, TenureOver};
use dayfly_shared::claim::{Coverage, Stood, Verdict, WorkAsk};
use dayfly_shared::clock::{Moment, Now, Timestamp};
use dayfly_shared::ids::{AgentId, ChunkId, Nonce, TaskId};
use dayfly_shared::plan::Task;
use dayfly_shared::records::{LeaseState, Semaphore};
use dayfly_shared::store::{Condition, ETag};
use rand::Rng;

use super::bill::{Kind, Prefix, Purpose};
use super::ending::Idle;
use super::fleet::{Fleet, Happening};
use super::scenario::MEAN_SECONDS;
use super::{Micros, latency};

/// A semaphore that was read.
type Seen = Option<(Semaphore, ETag, Option<Duration>)>;

/// What an agent asks of the store.
#[derive(Debug)]
pub enum Request {
    List(ChunkId),
    Look(ChunkId),
    Lease(ChunkId, LeaseAsk),
    Work(ChunkId, WorkAsk),
    /// Look for new segments.
    Segments,
    Seat(u32),
    TakeSeat(u32, Option<u64>),
}

/// What the store answers.
#[derive(Debug)]
pub enum Answer {
    Page(Coverage),
    Looked(ChunkId, Seen),
    Lease(Reply),
    Work(Reply),
    Segments,
    /// The version that stands and its age.
    Seat(Option<(u64, Duration)>),
    TookSeat(Option<u64>),
}

/// An agent.
pub struct Agent {
    pub id: AgentId,
    pub board: Board,
    pub tenure: Option<Box<Tenure>>,
    /// Distinguishes runs of tasks, and ticks, from those that were cancelled.
    pub run: u32,
    tick_at: Option<Micros>,
    pub first: bool,
    pub draining: bool,
    pub alive: bool,
    /// The machine is another agent's from here on.
    pub born: Micros,
    pub idle: Idle,
}

impl Agent {
    pub fn new(id: AgentId, board: Board, born: Micros) -> Self {
        Self {
            id,
            board,
            tenure: None,
            run: 0,
            tick_at: None,
            first: true,
            draining: false,
            alive: true,
            born,
            idle: Idle::default(),
        }
    }
}

impl Fleet {
    pub fn at(&self) -> Moment {
        Moment(Duration::from_micros(self.now))
    }

    fn both(&self) -> Now {
        Now { at: self.at(), wall: Timestamp::from_unix_ms(self.now / 1000) }
    }

    /// One step of a slot's search (`slot::choose`).
    pub fn search(&mut self, n: u32) {
        let (at, draw) = (self.at(), self.rng.random());
        let agent = &mut self.agents[n as usize];
        if agent.draining {
            return self.end(n);
        }
        let first = if std::mem::take(&mut agent.first) { agent.board.first_choice(draw) } else { None };
        let candidate = first.map_or_else(|| agent.board.next(draw, at), Candidate::Open);
        match candidate {
            Candidate::Open(chunk) => self.claim(n, chunk, None),
            Candidate::Take(chunk, prior) => self.claim(n, chunk, Some(*prior)),
            Candidate::Look(chunk) => self.send(n, Kind::Get, Request::Look(chunk)),
            Candidate::List(chunk) => self.send(n, Kind::List, Request::List(chunk)),
            Candidate::None(verdict) => self.nothing(n, verdict),
        }
    }

    fn claim(&mut self, n: u32, chunk: ChunkId, prior: Option<Prior>) {
        self.leave_seat(n);
        let first = self.first_line[chunk.index as usize - 1];
        let lines = first..first + self.sizes[chunk.index as usize - 1];
        if lines.len() > 1 {
            // The chunk's part of the plan's text.
            self.bill.count(self.now, Prefix::Plan, Kind::Get, Purpose::Data);
        }
        let tasks =
            lines.map(|line| Task { id: TaskId { segment: 1, line }, name: format!("in{line}.dat"), problem: None });
        let nonce = Nonce(self.rng.random());
        let (now, policy) = (self.both(), self.policy);
        let agent = &mut self.agents[n as usize];
        agent.board.begin(chunk);
        agent.idle = Idle::default();
        let tenure = Tenure::claim(agent.id.clone(), nonce, chunk, tasks.collect(), policy, prior, now);
        agent.tenure = Some(Box::new(tenure));
        self.pump(n);
    }

    /// Carries out what the tenure asks for (`tenure_run`).
    pub fn pump(&mut self, n: u32) {
        loop {
            let now = self.both();
            let Some(tenure) = self.agents[n as usize].tenure.as_mut() else { return };
            let chunk = tenure.chunk();
            match tenure.effect() {
                None => break,
                Some(Effect::Lease(ask)) => {
                    let kind = match ask {
                        LeaseAsk::Put { .. } => Kind::Put,
                        LeaseAsk::Get => Kind::Get,
                        LeaseAsk::Delete { .. } => Kind::Delete,
                    };
                    self.send(n, kind, Request::Lease(chunk, ask));
                }
                Some(Effect::Work(ask)) => {
                    let kind = match ask {
                        WorkAsk::HeadResult | WorkAsk::HeadOutput(_) => Kind::Head,
                        WorkAsk::GetDeadLetter(_) => Kind::Get,
                        WorkAsk::Commit(..) | WorkAsk::PutDeadLetter(_) | WorkAsk::PutResult(_) => Kind::Put,
                    };
                    self.send(n, kind, Request::Work(chunk, ask));
                }
                Some(Effect::Isolate) => tenure.on(Event::Alone, now),
                Some(Effect::Share) => {}
                Some(Effect::Run(task, _)) => {
                    // The input is read within the task's time.
                    self.bill.count(self.now, Prefix::Inputs, Kind::Get, Purpose::Data);
                    let time = latency::task(self.scenario.seed, task.line, MEAN_SECONDS, self.scenario.sigma);
                    self.runs += 1;
                    let run = self.agents[n as usize].run;
                    self.after(time, Happening::Ran(n, run));
                }
                Some(Effect::Cancel) => {
                    tenure.on(Event::Ran(RunEnd::Stopped), now);
                    self.agents[n as usize].run += 1;
                }
                Some(Effect::Over(over)) => {
                    self.agents[n as usize].tenure = None;
                    self.settle(n, chunk, over);
                    return;
                }
            }
        }
        let agent = &mut self.agents[n as usize];
        let wake = agent.tenure.as_ref().and_then(|t| t.wake_at());
        let wake = wake.map(|at| u64::try_from(at.0.as_micros()).unwrap_or(u64::MAX).max(self.now));
        if wake != agent.tick_at {
            agent.tick_at = wake;
            if let Some(at) = wake {
                self.schedule(at, Happening::Tick(n));
            }
        }
    }

    /// A tick that is not the one waited for last is of no use.
    pub fn tick(&mut self, n: u32) {
        let agent = &mut self.agents[n as usize];
        if agent.tick_at.is_none_or(|at| at > self.now) {
            return;
        }
        agent.tick_at = None;
        self.tell(n, Event::Tick);
    }

    /// Tells the tenure, if there is one.
    pub fn tell(&mut self, n: u32, event: Event) {
        let now = self.both();
        if let Some(tenure) = self.agents[n as usize].tenure.as_mut() {
            tenure.on(event, now);
            self.pump(n);
        }
    }

    pub fn ran(&mut self, n: u32, run: u32) {
        let agent = &mut self.agents[n as usize];
        if agent.run == run {
            agent.run += 1;
            self.tell(n, Event::Ran(RunEnd::Staged { bytes: 1000, checksum: None }));
        }
    }

    /// Notes how a tenure ended (`slot::settle`).
    fn settle(&mut self, n: u32, chunk: ChunkId, over: TenureOver) {
        let at = self.at();
        let agent = &mut self.agents[n as usize];
        match over {
            TenureOver::NotOurs | TenureOver::Lost => agent.board.end(chunk, true, at),
            TenureOver::Released => agent.board.end(chunk, false, at),
            TenureOver::AlreadyClosed => {
                agent.board.close(chunk);
                agent.board.end(chunk, true, at);
            }
            TenureOver::Closed(_) => {
                agent.board.end_closed(chunk);
                self.mark_dirty(n);
            }
            TenureOver::Broken(why) => unreachable!("the store refuses nothing: {why}"),
        }
        self.search(n);
    }

    /// What becomes of a request when it reaches the store.
    pub fn serve(&mut self, n: u32, request: Request) -> Answer {
        let now = self.now;
        let mut count = |prefix, kind, purpose| self.bill.count(now, prefix, kind, purpose);
        match request {
            Request::List(from) => {
                count(Prefix::Semaphores, Kind::List, Purpose::Listings);
                count(Prefix::Results, Kind::List, Purpose::Listings);
                Answer::Page(self.bucket.coverage(from, now))
            }
            Request::Look(chunk) => {
                count(Prefix::Semaphores, Kind::Get, Purpose::Listings);
                Answer::Looked(chunk, self.bucket.semaphore(chunk.index, now))
            }
            Request::Lease(chunk, ask) => Answer::Lease(self.serve_lease(chunk, ask)),
            Request::Work(chunk, ask) => Answer::Work(self.serve_work(chunk, ask)),
            Request::Segments => {
                count(Prefix::Plan, Kind::Get, Purpose::Listings);
                Answer::Segments
            }
            Request::Seat(seat) => Answer::Seat(self.look_at_seat(seat)),
            Request::TakeSeat(seat, version) => Answer::TookSeat(self.take_seat(n, seat, version)),
        }
    }

    fn serve_lease(&mut self, chunk: ChunkId, ask: LeaseAsk) -> Reply {
        match ask {
            LeaseAsk::Put { record, condition } => {
                let claims = record.write == 1 || record.state == LeaseState::Released;
                let purpose = if claims { Purpose::Claims } else { Purpose::Heartbeats };
                self.bill.count(self.now, Prefix::Semaphores, Kind::Put, purpose);
                let losses = record.losses;
                let takes_over = record.write == 1 && matches!(condition, Condition::Update(_));
                let reply = self.bucket.put_semaphore(chunk.index, record, &condition, self.now);
                match reply {
                    Reply::Rejected | Reply::Missing => self.bill.reject(purpose),
                    _ => self.takeovers[usize::from(losses > 0)] += u64::from(takes_over),
                }
                reply
            }
            LeaseAsk::Get => unreachable!("every request is answered"),
            LeaseAsk::Delete { etag } => {
                self.bill.count(self.now, Prefix::Semaphores, Kind::Delete, Purpose::Claims);
                self.bucket.delete_semaphore(chunk.index, &etag)
            }
        }
    }

    fn serve_work(&mut self, chunk: ChunkId, ask: WorkAsk) -> Reply {
        let now = self.now;
        let created = |new: bool| if new { Reply::Applied(ETag::new("1")) } else { Reply::Rejected };
        match ask {
            WorkAsk::HeadResult => {
                self.bill.count(now, Prefix::Results, Kind::Head, Purpose::Claims);
                if self.bucket.has_result(chunk.index) { Reply::Present } else { Reply::Absent }
            }
            WorkAsk::HeadOutput(task) => {
                self.bill.count(now, Prefix::Outputs, Kind::Head, Purpose::Claims);
                let stood = Stood { bytes: 1000, checksum: None, attempt: None };
                if self.bucket.has_output(task.line) { Reply::Output(stood) } else { Reply::Absent }
            }
            WorkAsk::GetDeadLetter(_) => {
                self.bill.count(now, Prefix::Failed, Kind::Get, Purpose::Claims);
                Reply::Absent
            }
            WorkAsk::Commit(task, _) => {
                self.bill.count(now, Prefix::Outputs, Kind::Put, Purpose::Data);
                let new = self.bucket.put_output(task.line);
                if !new {
                    self.bill.reject(Purpose::Data);
                }
                created(new)
            }
            WorkAsk::PutDeadLetter(_) => unreachable!("no task fails"),
            WorkAsk::PutResult(_) => {
                self.bill.count(now, Prefix::Results, Kind::Put, Purpose::Results);
                let new = self.bucket.put_result(chunk.index);
                if !new {
                    self.bill.reject(Purpose::Results);
                }
                self.note_closed();
                created(new)
            }
        }
    }

    /// What an agent does with an answer.
    pub fn hear(&mut self, n: u32, answer: Answer) {
        let at = self.at();
        let board = &mut self.agents[n as usize].board;
        match answer {
            Answer::Page(page) => {
                board.on_page(&page, at);
                self.search(n);
            }
            Answer::Looked(chunk, found) => {
                board.on_look(chunk, found, at);
                self.search(n);
            }
            Answer::Lease(reply) => self.tell(n, Event::Lease(reply)),
            Answer::Work(reply) => self.tell(n, Event::Work(reply)),
            Answer::Segments => self.decide(n),
            Answer::Seat(standing) => self.seen_seat(n, standing),
            Answer::TookSeat(version) => self.took_seat(n, version),
        }
    }

    fn nothing(&mut self, n: u32, verdict: Verdict) {
        self.agents[n as usize].idle.verdict = Some(verdict);
        self.send(n, Kind::Get, Request::Segments);
    }
}
