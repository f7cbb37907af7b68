//! The simulation: a queue of happenings in virtual time, one fleet, one bucket, one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use dayfly_shared::claim::{Board, Event, Policy};
use dayfly_shared::ids::{AgentId, Nonce};
use dayfly_shared::views::refresh_interval;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::agent::{Agent, Answer, Request};
use super::bill::{Bill, Kind, Prefix, Purpose};
use super::bucket::Bucket;
use super::ending::Refreshing;
use super::scenario::{CLAIM_SPREAD, NOTICE, Scenario};
use super::{Micros, latency};

/// Something that happens to an agent.
#[derive(Debug)]
pub enum Happening {
    /// Its machine is up.
    Boot(u32),
    /// It makes its first claim.
    Start(u32),
    Arrive(u32, Box<Request>, Micros),
    Hear(u32, Box<Answer>),
    Tick(u32),
    Ran(u32, u32),
    LookAgain(u32),
    /// Its round of control.json and its own record.
    Keeper(u32),
    Refresh(u32),
    Refreshed(Refreshing),
    Finish(u32),
    End(u32),
    Crash(u32),
    Notice(u32),
    Deadline(u32),
    /// Takes the place of a machine that is gone.
    Replace,
}

struct Entry(Reverse<(Micros, u64)>, Happening);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// A fleet at work.
pub struct Fleet {
    pub scenario: Scenario,
    pub policy: Policy,
    pub sizes: Vec<u32>,
    /// The first line of each chunk.
    pub first_line: Vec<u32>,
    pub bucket: Bucket,
    pub bill: Bill,
    pub agents: Vec<Agent>,
    /// Of each agent: from when on it may refresh the views, and whether it is going to.
    pub refreshes: Vec<(Micros, bool)>,
    pub rng: StdRng,
    pub now: Micros,
    queue: BinaryHeap<Entry>,
    sequence: u64,
    /// When each machine of the first fleet is up.
    pub boots: Vec<Micros>,
    /// The version of the views.
    pub views: u64,
    pub summary_at: Option<Micros>,
    pub summaries: u64,
    pub refreshed: u64,
    pub runs: u64,
    pub waits: u64,
    pub crashes: u64,
    pub reclaims: u64,
    /// Of released and of expired chunks.
    pub takeovers: [u64; 2],
    /// Machine time so far of agents that are gone.
    pub agent_time: Micros,
    pub done_at: Option<Micros>,
    pub last_off: Micros,
}

impl Fleet {
    pub fn new(scenario: Scenario) -> Self {
        let job = scenario.job();
        let sizes = scenario.cut();
        let mut first_line = Vec::with_capacity(sizes.len());
        let mut line = 1;
        for size in &sizes {
            first_line.push(line);
            line += size;
        }
        let mut bucket = Bucket::new(u32::try_from(sizes.len()).unwrap_or(u32::MAX), scenario.tasks);
        bucket.seats = vec![None; (scenario.agents / 100).clamp(1, 5) as usize];
        let mut fleet = Self {
            policy: Policy::of(&job),
            rng: StdRng::seed_from_u64(scenario.seed),
            sizes,
            first_line,
            bucket,
            bill: Bill::default(),
            agents: Vec::new(),
            refreshes: Vec::new(),
            now: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            boots: Vec::new(),
            views: 0,
            summary_at: None,
            summaries: 0,
            refreshed: 0,
            runs: 0,
            waits: 0,
            crashes: 0,
            reclaims: 0,
            takeovers: [0; 2],
            agent_time: 0,
            done_at: None,
            last_off: 0,
            scenario,
        };
        for _ in 0..fleet.scenario.agents {
            let spread = u64::try_from(fleet.scenario.boot_spread.as_micros()).unwrap_or(u64::MAX);
            let at = fleet.rng.random_range(0..=spread);
            fleet.boots.push(at);
            fleet.add_agent(at);
        }
        fleet
    }

    fn add_agent(&mut self, at: Micros) {
        let n = u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        let id = AgentId::of("agent", Nonce(self.rng.random()));
        self.agents.push(Agent::new(id, self.board(), at));
        let first = refresh_interval(self.scenario.tasks.into(), self.scenario.job().agents, 0);
        let first = self.rng.random_range(0..=u64::try_from(first.as_micros()).unwrap_or(u64::MAX));
        self.refreshes.push((at + first, false));
        self.schedule(at, Happening::Boot(n));
    }

    fn board(&self) -> Board {
        let mut board = Board::new(self.policy);
        board.add_cut(self.sizes.iter().copied(), self.scenario.job().agents);
        board
    }

    pub fn schedule(&mut self, at: Micros, what: Happening) {
        self.sequence += 1;
        self.queue.push(Entry(Reverse((at, self.sequence)), what));
    }

    pub fn after(&mut self, wait: Micros, what: Happening) {
        self.schedule(self.now.saturating_add(wait), what);
    }

    /// Sends a request: it reaches the store after half of the time that its answer takes.
    pub fn send(&mut self, n: u32, kind: Kind, request: Request) {
        let mut took = latency::of(kind, &mut self.rng);
        if kind == Kind::List {
            // Two listings at once.
            took = took.max(latency::of(kind, &mut self.rng));
        }
        self.after(took / 2, Happening::Arrive(n, Box::new(request), took - took / 2));
    }

    /// Runs until the last agent is off.
    pub fn run(&mut self) {
        while let Some(Entry(Reverse((at, _)), what)) = self.queue.pop() {
            self.now = at;
            self.happen(what);
        }
    }

    fn happen(&mut self, what: Happening) {
        let gone = |n: u32| !self.agents[n as usize].alive;
        match what {
            // A request that is under way when its agent dies reaches the store all the same.
            Happening::Arrive(n, request, back) => {
                let answer = self.serve(n, *request);
                self.after(back, Happening::Hear(n, Box::new(answer)));
            }
            Happening::Replace => {
                if !self.bucket.all_closed() {
                    self.add_agent(self.now);
                }
            }
            Happening::Refreshed(refreshing) => self.refresh_done(refreshing),
            Happening::Boot(n) => self.boot(n),
            Happening::Start(n)
            | Happening::Tick(n)
            | Happening::Ran(n, _)
            | Happening::LookAgain(n)
            | Happening::Keeper(n)
            | Happening::Refresh(n)
            | Happening::Finish(n)
            | Happening::End(n)
            | Happening::Crash(n)
            | Happening::Notice(n)
            | Happening::Deadline(n)
            | Happening::Hear(n, _)
                if gone(n) => {}
            Happening::Hear(n, answer) => self.hear(n, *answer),
            Happening::Start(n) | Happening::LookAgain(n) if self.agents[n as usize].draining => self.end(n),
            Happening::Start(n) => self.search(n),
            Happening::LookAgain(n) => self.look_again(n),
            Happening::Tick(n) => self.tick(n),
            Happening::Ran(n, run) => self.ran(n, run),
            Happening::Keeper(n) => self.keep_record(n),
            Happening::Refresh(n) => self.refresh(n, false),
            Happening::Finish(n) => self.finish(n),
            Happening::End(n) => self.end(n),
            Happening::Crash(n) => {
                self.crashes += 1;
                self.replace();
                self.gone(n);
            }
            Happening::Notice(n) => {
                self.reclaims += 1;
                self.replace();
                self.agents[n as usize].draining = true;
                self.after(u64::try_from(NOTICE.as_micros()).unwrap_or(u64::MAX), Happening::Deadline(n));
                self.tell(n, Event::Release);
            }
            Happening::Deadline(n) => self.tell(n, Event::ReleaseNow),
        }
    }

    fn replace(&mut self) {
        let after = u64::try_from(self.scenario.replaced_after.as_micros()).unwrap_or(u64::MAX);
        self.after(after, Happening::Replace);
    }

    /// From the machine's start to the first claim (`boot::start`).
    fn boot(&mut self, n: u32) {
        let steps = [
            (Prefix::Plan, Kind::Get),
            // `job.json`, `store.json`, the kernel.
            (Prefix::Root, Kind::Get),
            (Prefix::Root, Kind::Get),
            (Prefix::Root, Kind::Get),
            // The segment after the last.
            (Prefix::Plan, Kind::Get),
        ];
        let mut wait = 0;
        for (prefix, kind) in steps {
            self.bill.count(self.now + wait, prefix, kind, Purpose::Start);
            wait += latency::of(kind, &mut self.rng);
        }
        self.bill.count(self.now + wait, Prefix::Root, Kind::Get, Purpose::Control);
        wait += latency::of(Kind::Get, &mut self.rng);
        self.after(wait, Happening::Keeper(n));
        wait += self.rng.random_range(0..=u64::try_from(CLAIM_SPREAD.as_micros()).unwrap_or(u64::MAX));
        self.after(wait, Happening::Start(n));
        if let Some(at) = latency::exponential(self.scenario.crashes, &mut self.rng) {
            self.after(at, Happening::Crash(n));
        }
        if let Some(at) = latency::exponential(self.scenario.reclaims, &mut self.rng) {
            self.after(at, Happening::Notice(n));
        }
    }

    /// Each heartbeat, and a little jitter (`keeper::run`).
    fn keep_record(&mut self, n: u32) {
        self.bill.count(self.now, Prefix::Root, Kind::Get, Purpose::Control);
        self.bill.count(self.now, Prefix::Agents, Kind::Put, Purpose::Records);
        let wait = u64::try_from(self.policy.heartbeat().as_micros()).unwrap_or(u64::MAX);
        let jitter = self.rng.random_range(0..=wait / 10);
        self.after(wait + jitter, Happening::Keeper(n));
    }

    /// A chunk was closed.
    pub fn note_closed(&mut self) {
        if self.bucket.all_closed() && self.done_at.is_none() {
            self.done_at = Some(self.now);
        }
    }

    /// The agent ends in order: leaves its seat, writes its record and its log.
    pub fn end(&mut self, n: u32) {
        self.leave_seat(n);
        self.bill.count(self.now, Prefix::Agents, Kind::Put, Purpose::Records);
        self.bill.count(self.now, Prefix::Logs, Kind::Put, Purpose::Records);
        self.gone(n);
    }

    fn gone(&mut self, n: u32) {
        let board = Board::new(self.policy);
        let agent = &mut self.agents[n as usize];
        agent.alive = false;
        agent.tenure = None;
        agent.board = board;
        self.agent_time += self.now - agent.born;
        self.last_off = self.now;
    }

    /// The shortest time in which the machines that boot could do the work, were nothing lost and nothing cost a request: the
    /// larger of work over booted capacity and the longest task, both from the first machine's start.
    pub fn ideal(&self) -> Duration {
        let task = |line| latency::task(self.scenario.seed, line, super::scenario::MEAN_SECONDS, self.scenario.sigma);
        let (mut work, mut longest) = (0, 0);
        for line in 1..=self.scenario.tasks {
            work += task(line);
            longest = longest.max(task(line));
        }
        let mut boots = self.boots.clone();
        boots.sort_unstable();
        // With the first k machines up the work takes until (work + their boot times) / k, if that is before the next boots.
        let mut sum = 0;
        let mut over = Micros::MAX;
        for (k, at) in (1..).zip(&boots) {
            if over <= *at {
                break;
            }
            sum += at;
            over = (work + sum) / k;
        }
        let first = boots.first().copied().unwrap_or(0);
        Duration::from_micros(over.max(first + longest) - first)
    }
}
