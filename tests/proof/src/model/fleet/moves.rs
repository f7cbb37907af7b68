//! Which steps there are, and what each one does.

use dayfly_shared::claim::{Event, Idle, RunEnd, Stage, WorkAsk};
use dayfly_shared::clock::{Moment, Now};

use super::super::pooled::Shared;
use super::bucket::{Ask, Request};
use super::world::{Agent, Lane, Mode, World};
use super::{Fleet, Step, Which, may_stand_by};

/// A state on its way to the next, and the agent that takes the step.
pub struct Change<'a> {
    pub fleet: &'a Fleet,
    pub world: World,
    pub agent: Agent,
    place: usize,
}

impl Fleet {
    /// The steps that an agent may take, or that may befall it.
    pub(super) fn agent_steps(&self, world: &World, n: u8, agent: &Agent, steps: &mut Vec<Step>) {
        let left = world.left;
        if agent.paused {
            steps.push(Step::Resume(n));
            if left.crashes > 0 {
                steps.push(Step::Crash(n));
            }
            return;
        }
        if left.crashes > 0 {
            steps.push(Step::Crash(n));
        }
        if left.pauses > 0 && agent.tenure().is_some() {
            steps.push(Step::Pause(n));
        }
        let draws = u8::try_from(self.places.len()).unwrap_or(1);
        match &agent.mode {
            Mode::Away => {}
            Mode::Choosing { .. } => steps.extend((0..draws).map(|draw| Step::Choose(n, draw))),
            Mode::Listing { .. } => {
                let old = !self.is_timed() && self.may_look_old(world);
                for draw in 0..draws {
                    steps.push(Step::Page(n, false, draw));
                    if old {
                        steps.push(Step::Page(n, true, draw));
                    }
                }
            }
            Mode::Idle(verdict) => {
                steps.extend((0..draws).map(|draw| Step::Choose(n, draw)));
                // It ends only if another has the standby seat, or has just had it: then the end may as well come first.
                let others = world.agents.iter().filter(|a| a.is_there()).count() > 1;
                if others && may_stand_by(agent) {
                    steps.push(Step::End(n));
                }
                if verdict.idle(false) == Idle::Finish {
                    steps.push(Step::Sweep(n));
                }
            }
            Mode::Sweeping(_) => {}
            Mode::Tenure(tenure) => {
                if agent.running {
                    steps.push(Step::Staged(n));
                    if left.failures > 0 {
                        steps.push(Step::Fail(n));
                    }
                }
                if agent.isolating {
                    steps.push(Step::Alone(n));
                }
                if let Some(at) = tenure.wake_at() {
                    let due = match self.is_timed() {
                        true => at <= self.now(world).at,
                        false => !is_heartbeat(agent, at) || left.heartbeats > 0,
                    };
                    // The wait for being alone ends with the chunk given back.
                    let isolating = matches!(tenure.stage(), Stage::Isolating(until) if *until == at);
                    if due && (!isolating || left.drains > 0) {
                        steps.push(Step::Tick(n));
                    }
                }
                if left.drains > 0 && !agent.draining {
                    steps.push(Step::Yield(n));
                }
            }
        }
        if agent.draining {
            if agent.running {
                steps.push(Step::Halt(n));
            }
        } else if left.drains > 0 {
            steps.push(Step::Drain(n));
            if agent.running {
                steps.push(Step::Halt(n));
            }
        }
        for (which, lane) in [(Which::Lease, &agent.lease), (Which::Work, &agent.work)] {
            self.lane_steps(world, n, (which, lane), agent, steps);
        }
    }

    fn lane_steps(&self, world: &World, n: u8, lane: (Which, &Lane), agent: &Agent, steps: &mut Vec<Step>) {
        let left = world.left;
        let (which, lane) = lane;
        match lane {
            Lane::Free => {}
            Lane::Sent(request) if request.is_write() => {
                steps.push(Step::Apply(n, which));
                if left.lost > 0 {
                    steps.push(Step::Lose(n, which));
                    if self.is_timed() {
                        steps.push(Step::LoseAnswer(n, which));
                    }
                }
                if left.late > 0 {
                    steps.push(Step::GiveUp(n, which));
                }
                if left.conflicts > 0 {
                    steps.push(Step::Conflict(n, which));
                    if matches!(request.ask, Ask::Work(WorkAsk::Commit(..))) {
                        steps.push(Step::Restage(n));
                    }
                }
            }
            Lane::Sent(_) | Lane::Answered(_) => {
                steps.push(Step::Deliver(n, which));
                if left.lost > 0 {
                    steps.push(Step::Lose(n, which));
                }
                if left.stalls > 0 && agent.tenure().is_some() {
                    steps.push(Step::DeliverLate(n, which));
                }
            }
        }
    }

    /// Whether a listing may show a lease as expired: that of an agent that is gone, or of one that lives.
    fn may_look_old(&self, world: &World) -> bool {
        world.left.expiries > 0 || world.bucket.semaphores.values().any(|s| !holder_lives(world, s.author))
    }

    /// Whether every agent that does not stand still has done what is due: then time may pass.
    pub(super) fn all_is_done_for_now(&self, world: &World) -> bool {
        let now = self.now(world).at;
        world.agents.iter().filter(|a| !a.paused).all(|a| match &a.mode {
            Mode::Away | Mode::Idle(_) => true,
            Mode::Choosing { .. } | Mode::Listing { .. } | Mode::Sweeping(_) => false,
            Mode::Tenure(tenure) => {
                a.lease == Lane::Free && a.work == Lane::Free && tenure.wake_at().is_none_or(|at| at > now)
            }
        })
    }

    /// The state after a step.
    pub(super) fn take(&self, world: &World, step: Step) -> Option<World> {
        let place = match step {
            Step::Advance => {
                return Some(World { time: world.time + 1, ..world.clone() });
            }
            Step::Ghost(n) => {
                let mut ghosts = (*world.ghosts).clone();
                let ghost = ghosts.remove(usize::from(n));
                let mut after = world.clone();
                self.carry_out(&mut after, &ghost);
                after.ghosts = self.ghosts.keep(ghosts);
                return Some(after);
            }
            Step::Launch(n)
            | Step::Choose(n, _)
            | Step::Page(n, ..)
            | Step::End(n)
            | Step::Sweep(n)
            | Step::Apply(n, _)
            | Step::Deliver(n, _)
            | Step::DeliverLate(n, _)
            | Step::Lose(n, _)
            | Step::LoseAnswer(n, _)
            | Step::GiveUp(n, _)
            | Step::Conflict(n, _)
            | Step::Restage(n)
            | Step::Staged(n)
            | Step::Fail(n)
            | Step::Tick(n)
            | Step::Alone(n)
            | Step::Drain(n)
            | Step::Halt(n)
            | Step::Yield(n)
            | Step::Crash(n)
            | Step::Pause(n)
            | Step::Resume(n) => usize::from(n),
        };
        let agent = (*world.agents[place]).clone();
        let mut change = Change { fleet: self, world: world.clone(), agent, place };
        change.step(step).then(|| change.finish())
    }

    /// Carries a request out on the bucket.
    pub(super) fn carry_out(&self, world: &mut World, request: &Request) -> dayfly_shared::claim::Reply {
        if self.is_timed() {
            self.note_taking(world, request);
        }
        let mut bucket = (*world.bucket).clone();
        let reply = bucket.carry_out(self, request, world.time, &mut world.broken);
        if request.is_write() {
            world.bucket = self.buckets.keep(bucket);
        }
        reply
    }
}

/// Whether the tenure's next timer is its heartbeat.
fn is_heartbeat(agent: &Agent, at: Moment) -> bool {
    agent.tenure().is_some_and(|tenure| {
        let lease = tenure.lease();
        lease.is_held() && lease.wake_at() == Some(at) && at >= lease.proven_at().after(HEARTBEAT)
    })
}

/// A third of the ttl where the adversary decides what expires. (Other timers of the lease are retries, sooner.)
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(20);

/// Whether the tenure that wrote a semaphore goes on.
pub fn holder_lives(world: &World, author: dayfly_shared::ids::Nonce) -> bool {
    world.agents.iter().any(|a| a.tenure().is_some() && a.nonce() == author)
}

impl Change<'_> {
    fn finish(self) -> World {
        let Self { fleet, mut world, agent, place } = self;
        world.agents[place] = fleet.agents.keep(agent);
        world.agents.sort_unstable_by_key(Shared::print);
        world
    }

    /// What the agent's clock shows.
    pub fn now(&self) -> Now {
        self.fleet.now(&self.world)
    }

    pub fn lane(&mut self, which: Which) -> &mut Lane {
        match which {
            Which::Lease => &mut self.agent.lease,
            Which::Work => &mut self.agent.work,
        }
    }

    /// The client gives a write up; it may yet be applied.
    pub fn haunt(&mut self, request: Request) {
        if request.is_write() {
            let mut ghosts = (*self.world.ghosts).clone();
            ghosts.push(request);
            ghosts.sort_by_cached_key(super::super::pooled::fingerprint);
            self.world.ghosts = self.fleet.ghosts.keep(ghosts);
            self.agent.traced = true;
        }
    }

    /// The agent is no more.
    pub fn leave(&mut self) {
        for which in [Which::Lease, Which::Work] {
            if let Lane::Sent(request) = std::mem::take(self.lane(which)) {
                self.haunt(request);
            }
        }
        self.agent = Agent::away(self.fleet.empty_board());
    }

    /// Takes the step; whether it changed anything.
    fn step(&mut self, step: Step) -> bool {
        let left = &mut self.world.left;
        match step {
            Step::Launch(_) => {
                left.launches = left.launches.saturating_sub(1);
                self.agent.mode = Mode::Choosing { first: true };
            }
            Step::Choose(_, draw) => self.choose(draw.into()),
            Step::Page(_, old, draw) => self.page(old, draw.into()),
            Step::End(_) => self.leave(),
            Step::Sweep(_) => self.sweep(),
            Step::Apply(_, which) => {
                let Lane::Sent(request) = std::mem::take(self.lane(which)) else { return false };
                let reply = self.fleet.carry_out(&mut self.world, &request);
                self.agent.traced |= matches!(reply, dayfly_shared::claim::Reply::Applied(_));
                *self.lane(which) = Lane::Answered(reply);
                // Nothing lies between the two where time does not pass.
                if self.fleet.is_timed() {
                    let now = self.now();
                    self.deliver(which, now);
                }
            }
            Step::LoseAnswer(_, which) => {
                left.lost -= 1;
                let Lane::Sent(request) = std::mem::take(self.lane(which)) else { return false };
                let reply = self.fleet.carry_out(&mut self.world, &request);
                self.agent.traced |= matches!(reply, dayfly_shared::claim::Reply::Applied(_));
                *self.lane(which) = Lane::Answered(dayfly_shared::claim::Reply::Unknown);
                let now = self.now();
                self.deliver(which, now);
            }
            Step::Deliver(_, which) => {
                let now = self.now();
                self.deliver(which, now);
            }
            Step::DeliverLate(_, which) => {
                left.stalls -= 1;
                return self.deliver_late(which);
            }
            Step::Lose(_, which) => {
                left.lost -= 1;
                *self.lane(which) = Lane::Answered(dayfly_shared::claim::Reply::Unknown);
                let now = self.now();
                self.deliver(which, now);
            }
            Step::GiveUp(_, which) => {
                left.late -= 1;
                let Lane::Sent(request) = std::mem::take(self.lane(which)) else { return false };
                self.haunt(request);
                *self.lane(which) = Lane::Answered(dayfly_shared::claim::Reply::Unknown);
                let now = self.now();
                self.deliver(which, now);
            }
            Step::Conflict(_, which) => {
                left.conflicts -= 1;
                self.conflict(which);
            }
            Step::Restage(_) => {
                left.conflicts -= 1;
                self.agent.work = Lane::Answered(dayfly_shared::claim::Reply::Restage);
                let now = self.now();
                self.deliver(Which::Work, now);
            }
            Step::Staged(_) => {
                self.agent.running = false;
                self.tell(Event::Ran(RunEnd::Staged { bytes: 1, checksum: None }));
            }
            Step::Fail(_) => {
                left.failures -= 1;
                self.agent.running = false;
                self.tell(Event::Ran(RunEnd::Failed { error: "it failed".to_owned(), permanent: false }));
            }
            Step::Tick(_) => self.tick(),
            Step::Alone(_) => {
                self.agent.isolating = false;
                self.tell(Event::Alone);
            }
            Step::Drain(_) => {
                left.drains -= 1;
                self.drain(Event::Release);
            }
            Step::Halt(_) => {
                if !self.agent.draining {
                    left.drains -= 1;
                }
                self.drain(Event::ReleaseNow);
            }
            Step::Yield(_) => {
                left.drains -= 1;
                self.tell(Event::Release);
            }
            Step::Crash(_) => {
                left.crashes -= 1;
                self.leave();
            }
            Step::Pause(_) => {
                left.pauses -= 1;
                self.agent.paused = true;
            }
            Step::Resume(_) => self.agent.paused = false,
            Step::Ghost(_) | Step::Advance => return false,
        }
        true
    }

    fn drain(&mut self, event: Event) {
        if self.agent.tenure().is_none() {
            return self.leave();
        }
        self.agent.draining = true;
        self.tell(event);
    }

    fn tick(&mut self) {
        let Some(at) = self.agent.tenure().and_then(|t| t.wake_at()) else { return };
        if self.fleet.is_timed() {
            return self.tell(Event::Tick);
        }
        if is_heartbeat(&self.agent, at) {
            self.world.left.heartbeats -= 1;
        }
        if matches!(self.agent.tenure().map(|t| t.stage()), Some(Stage::Isolating(until)) if *until == at) {
            self.world.left.drains -= 1;
        }
        let now = self.fleet.now_at(at);
        self.tell_at(Event::Tick, now);
    }
}
