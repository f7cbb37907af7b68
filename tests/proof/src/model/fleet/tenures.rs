//! What an agent does: choose, hold a chunk, settle, idle. The decisions are the real types'; this is the driver's part
//! between them (agent/src/driver: slot.rs, tenure_run.rs, closing.rs).

use std::time::Duration;

use dayfly_shared::bucket::reply_to_write;
use dayfly_shared::claim::{
    Board, Candidate, Coverage, Effect, Event, LeaseAsk, Prior, Reply, RunEnd, Stage, Tenure, TenureOver, WorkAsk,
};
use dayfly_shared::clock::{Moment, Now};
use dayfly_shared::ids::{AgentId, ChunkId, Nonce};
use dayfly_shared::records::LeaseState;
use dayfly_shared::store::{Condition, Outcome, Rejection};

use super::bucket::{Ask, Request, Standing};
use super::moves::{Change, holder_lives};
use super::world::{Agent, Broken, Lane, Mode, World};
use super::{Fleet, Which};

impl Fleet {
    /// The age that the store's clock gives a version: what it shows now less `LastModified`, both in whole seconds.
    fn age(world: &World, standing: &Standing) -> Duration {
        Duration::from_secs(u64::from(world.time / 2).saturating_sub(u64::from(standing.at / 2)))
    }

    /// Notes it if a lease is taken from a holder that does not stand still and renewed it less than a ttl ago.
    pub(super) fn note_taking(&self, world: &mut World, request: &Request) {
        let Ask::Lease(LeaseAsk::Put { condition: Condition::Update(etag), .. }) = &request.ask else { return };
        let Some(standing) = world.bucket.standing(self.key(request.chunk)) else { return };
        let held = standing.record.state == LeaseState::Held && standing.author != request.author;
        let holds = |a: &Agent| !a.paused && a.nonce() == standing.author && a.tenure().is_some();
        let young = Duration::from_millis(u64::from(world.time - standing.at) * 500) <= self.policy.ttl;
        if standing.etag == *etag && held && young && world.agents.iter().any(|a| holds(a)) {
            world.broken.set(Broken::TAKEN_IN_TIME);
        }
    }
}

impl Change<'_> {
    /// The next step of a search, up to its next look at the bucket.
    pub(super) fn choose(&mut self, draw: u64) {
        let mut board = (*self.agent.board).clone();
        let first = matches!(self.agent.mode, Mode::Choosing { first: true });
        if matches!(self.agent.mode, Mode::Idle(_)) {
            self.agent.open = 0;
        }
        let unseen = if first { board.first_choice(draw) } else { None };
        let candidate = match unseen {
            Some(chunk) => Candidate::Open(chunk),
            None => board.next(draw, self.now().at),
        };
        self.follow(board, candidate, draw);
    }

    fn keep_board(&mut self, board: Board) {
        self.agent.board = self.fleet.boards.keep(board);
    }

    fn follow(&mut self, board: Board, candidate: Candidate, draw: u64) {
        match candidate {
            Candidate::Open(chunk) => self.begin(board, chunk, None),
            Candidate::Take(chunk, prior) => self.begin(board, chunk, Some(*prior)),
            Candidate::Look(chunk) => self.look(board, chunk, draw),
            Candidate::List(from) => {
                self.keep_board(board);
                let bucket = &self.world.bucket;
                let closed = self.fleet.places.iter().filter(|p| bucket.results.contains(&p.key));
                let results = closed.map(|p| p.listed).collect();
                self.agent.mode = Mode::Listing { from, results };
            }
            Candidate::None(verdict) => {
                if !verdict.all_closed && self.agent.open != 0 {
                    self.world.broken.set(Broken::FREE_OVERLOOKED);
                }
                self.agent.open = 0;
                self.keep_board(board);
                self.agent.mode = Mode::Idle(verdict);
            }
        }
    }

    /// Reads a semaphore that may be released or expired. It is as old as the listing said if it is the same version.
    fn look(&mut self, mut board: Board, chunk: ChunkId, draw: u64) {
        let key = self.fleet.key(chunk);
        self.note_open(chunk);
        let now = self.now().at;
        let standing = self.world.bucket.standing(key).cloned();
        let found = standing.map(|standing| {
            let age = match self.fleet.is_timed() {
                true => Fleet::age(&self.world, &standing),
                false => self.looked_old(&board, chunk, &standing),
            };
            (standing.record, standing.etag, Some(age))
        });
        board.on_look(chunk, found, now);
        self.go_on(board, draw);
    }

    fn looked_old(&mut self, board: &Board, chunk: ChunkId, standing: &Standing) -> Duration {
        let seen = board.sightings().get(&chunk).filter(|s| s.etag.as_ref() == Some(&standing.etag));
        let Some(age) = seen.and_then(|s| s.age).filter(|age| !age.is_zero()) else { return Duration::ZERO };
        if standing.record.state == LeaseState::Held && holder_lives(&self.world, standing.author) {
            if self.world.left.expiries == 0 {
                return Duration::ZERO;
            }
            self.world.left.expiries -= 1;
        }
        age
    }

    fn note_open(&mut self, chunk: ChunkId) {
        let Some(place) = self.fleet.places.iter().position(|p| p.chunk == chunk) else { return };
        self.agent.open &= !(1 << place);
        if self.world.bucket.is_free(self.fleet.places[place].key) {
            self.agent.open |= 1 << place;
        }
    }

    /// The semaphores' listing arrives.
    pub(super) fn page(&mut self, old: bool, draw: u64) {
        let mode = std::mem::replace(&mut self.agent.mode, Mode::Choosing { first: false });
        let Mode::Listing { from, results } = mode else { return };
        let mut semaphores = Vec::new();
        for place in self.fleet.places.iter().filter(|p| p.chunk >= from) {
            self.note_open(place.chunk);
            let Some(standing) = self.world.bucket.standing(place.key) else { continue };
            let age = match (self.fleet.is_timed(), old) {
                (true, _) => Fleet::age(&self.world, standing),
                (false, true) => self.fleet.policy.expiry() * 2,
                (false, false) => Duration::ZERO,
            };
            semaphores.push((place.listed, standing.etag.clone(), Some(age), standing.hint));
        }
        let mut board = (*self.agent.board).clone();
        board.on_page(&Coverage { from: Some(from), to: None, results, semaphores }, self.now().at);
        self.go_on(board, draw);
    }

    /// Goes on with what needs no look at the bucket; else the adversary decides when.
    fn go_on(&mut self, board: Board, draw: u64) {
        let mut ahead = board.clone();
        match ahead.next(draw, self.now().at) {
            Candidate::Look(_) | Candidate::List(_) => {
                self.keep_board(board);
                self.agent.mode = Mode::Choosing { first: false };
            }
            candidate => self.follow(ahead, candidate, draw),
        }
    }

    fn begin(&mut self, mut board: Board, chunk: ChunkId, prior: Option<Prior>) {
        board.begin(chunk);
        self.keep_board(board);
        let name = match self.agent.name {
            Some(name) => name,
            None => {
                self.world.names += 1;
                *self.agent.name.insert(self.world.names - 1)
            }
        };
        self.agent.open = 0;
        self.agent.traced = false;
        self.agent.attempt = 0;
        let me = AgentId::of("a", Nonce(name.into()));
        let nonce = self.agent.nonce();
        let tasks = self.fleet.tasks(chunk).to_vec();
        let now = self.now();
        let tenure = Tenure::claim(me, nonce, chunk, tasks, self.fleet.policy, prior, now);
        self.drive(tenure, now);
    }

    /// Tells the tenure of an event now.
    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now();
        self.tell_at(event, now);
    }

    pub(super) fn tell_at(&mut self, event: Event, now: Now) {
        let mode = std::mem::replace(&mut self.agent.mode, Mode::Away);
        let Mode::Tenure(mut tenure) = mode else {
            self.agent.mode = mode;
            return;
        };
        tenure.on(event, now);
        self.drive(*tenure, now);
    }

    fn drive(&mut self, mut tenure: Tenure, now: Now) {
        let chunk = tenure.chunk();
        while let Some(effect) = tenure.effect() {
            match effect {
                Effect::Over(over) => return self.settle(chunk, &over, now),
                Effect::Cancel => {
                    self.agent.running = false;
                    tenure.on(Event::Ran(RunEnd::Stopped), now);
                }
                Effect::Lease(ask) => self.send(Which::Lease, chunk, Ask::Lease(ask)),
                Effect::Work(ask) => self.send(Which::Work, chunk, Ask::Work(ask)),
                Effect::Isolate => self.agent.isolating = true,
                Effect::Share => self.agent.isolating = false,
                Effect::Run(_, attempt) => {
                    if attempt.n <= self.agent.attempt {
                        self.world.broken.set(Broken::ATTEMPT_AGAIN);
                    }
                    self.agent.attempt = attempt.n;
                    self.agent.running = true;
                }
            }
        }
        self.fleet.witness.stage(tenure.stage());
        self.agent.mode = Mode::Tenure(Box::new(tenure));
    }

    fn send(&mut self, which: Which, chunk: ChunkId, ask: Ask) {
        let request = Request { chunk, author: self.agent.nonce(), ask };
        let before = std::mem::replace(self.lane(which), Lane::Sent(request));
        if before != Lane::Free {
            self.world.broken.set(Broken::TWO_AT_ONCE);
        }
    }

    /// The tenure is over.
    fn settle(&mut self, chunk: ChunkId, over: &TenureOver, now: Now) {
        self.fleet.witness.over(over);
        let mut board = (*self.agent.board).clone();
        board.settle(chunk, over, now.at);
        self.keep_board(board);
        let closed = self.world.bucket.results.contains(&self.fleet.key(chunk));
        let decided = |task: &dayfly_shared::plan::Task| self.world.bucket.is_decided(task.id);
        if matches!(over, TenureOver::AlreadyClosed | TenureOver::Closed(_))
            && !self.fleet.tasks(chunk).iter().all(decided)
        {
            self.world.broken.set(Broken::CLOSED_EARLY);
        }
        // Once a result stands, a semaphore means nothing: a claim that was given up may put it back after the delete.
        if matches!(over, TenureOver::NotOurs | TenureOver::Lost) && !closed {
            let standing = self.world.bucket.standing(self.fleet.key(chunk));
            let own = |s: &Standing| s.author == self.agent.nonce() && s.record.state == LeaseState::Held;
            if standing.is_some_and(own) {
                self.world.broken.set(Broken::OWN_NOT_KNOWN);
            }
        }
        for which in [Which::Lease, Which::Work] {
            if let Lane::Sent(request) = std::mem::take(self.lane(which)) {
                self.haunt(request);
            }
        }
        self.agent.running = false;
        self.agent.isolating = false;
        self.agent.attempt = 0;
        if std::mem::take(&mut self.agent.traced) {
            self.agent.serial += 1;
        } else if self.agent.serial == 0 && self.agent.name.is_some_and(|name| name + 1 == self.world.names) {
            // Nobody ever saw the name: the next may have it.
            self.agent.name = None;
            self.world.names -= 1;
        }
        if self.agent.draining {
            return self.leave();
        }
        self.agent.mode = Mode::Choosing { first: false };
    }

    /// The answer in a lane arrives; a read is carried out now.
    pub(super) fn deliver(&mut self, which: Which, now: Now) {
        let (reply, author) = match std::mem::take(self.lane(which)) {
            Lane::Free => return,
            Lane::Answered(reply) => (reply, None),
            Lane::Sent(request) => {
                let author = self.world.bucket.standing(self.fleet.key(request.chunk)).map(|s| s.author);
                (self.fleet.carry_out(&mut self.world, &request), author)
            }
        };
        if let Mode::Sweeping(verdict) = self.agent.mode {
            self.agent.mode = Mode::Idle(verdict);
            return;
        }
        let foreign = matches!(reply, Reply::Semaphore(..)) && author != Some(self.agent.nonce());
        let event = match which {
            Which::Lease => Event::Lease(reply),
            Which::Work => Event::Work(reply),
        };
        self.tell_at(event, now);
        if foreign && self.agent.tenure().is_some_and(|t| t.lease().is_held()) {
            self.world.broken.set(Broken::OTHERS_ADOPTED);
        }
    }

    /// The answer arrives after the process stood still for so long that its lease is too old to begin anything. Only
    /// where that makes a difference.
    pub(super) fn deliver_late(&mut self, which: Which) -> bool {
        let proven = self.agent.tenure().map_or(Moment::default(), |t| t.lease().proven_at());
        let late = proven.after(self.fleet.policy.fresh() + Duration::from_secs(1));
        let now = self.fleet.now_at(late);
        self.deliver(which, now);
        self.agent.tenure().is_some_and(|t| *t.stage() == Stage::Renewing)
    }

    /// The store answers 409 to a write.
    pub(super) fn conflict(&mut self, which: Which) {
        let reply = match self.lane(which) {
            Lane::Sent(Request { ask: Ask::Lease(LeaseAsk::Delete { .. }) | Ask::Sweep(_), .. }) => Reply::Conflict,
            _ => reply_to_write(Ok(Outcome::Rejected(Rejection::Conflict))),
        };
        *self.lane(which) = Lane::Answered(reply);
        let now = self.now();
        self.deliver(which, now);
    }

    /// All is closed: deletes a semaphore that is left, as the last refresh of a job does; or ends.
    pub(super) fn sweep(&mut self) {
        let Mode::Idle(verdict) = self.agent.mode else { return };
        let standing = |p: &super::Place| Some((p.chunk, self.world.bucket.standing(p.key)?.etag.clone()));
        let left = self.fleet.places.iter().filter(|p| self.agent.board.is_closed(p.chunk)).find_map(standing);
        let Some((chunk, etag)) = left else { return self.leave() };
        self.send(Which::Work, chunk, Ask::Sweep(etag));
        self.agent.mode = Mode::Sweeping(verdict);
    }
}

/// What a request is about, in words, for traces.
pub fn name_of(ask: &Ask) -> &'static str {
    match ask {
        Ask::Lease(LeaseAsk::Put { record, condition }) => match (record.state, condition, record.write) {
            (LeaseState::Released, ..) => "release",
            (_, Condition::Create, _) => "claim",
            (_, _, 1) => "takeover",
            _ => "renewal",
        },
        Ask::Lease(LeaseAsk::Get) => "read of the semaphore",
        Ask::Lease(LeaseAsk::Delete { .. }) => "delete",
        Ask::Sweep(_) => "sweeping delete",
        Ask::Work(WorkAsk::HeadResult) => "head of the result",
        Ask::Work(WorkAsk::HeadOutput(_)) => "head of the output",
        Ask::Work(WorkAsk::GetDeadLetter(_)) => "read of the dead letter",
        Ask::Work(WorkAsk::Commit(..)) => "commit",
        Ask::Work(WorkAsk::PutDeadLetter(_)) => "dead letter",
        Ask::Work(WorkAsk::PutResult(_)) => "result",
    }
}
