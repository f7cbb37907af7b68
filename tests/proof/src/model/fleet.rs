//! Agents that share chunks, as a model: the real [`Board`] and [`Tenure`] of each, a bucket, and an adversary who
//! decides what is applied, answered, lost and judged expired, and when.
//!
//! In the safety configurations clocks stand still but where a timer is due: whoever waits for one gets it when the
//! adversary likes, and a lease expires when the adversary says so. In the timed ones a clock runs, leases expire by the
//! [`Board`]'s own rules, and time passes only when every agent that does not stand still has done what is due.

mod bucket;
mod moves;
mod properties;
mod step;
mod tenures;
mod witness;
mod words;
mod world;

pub use step::{Step, Which};
pub use witness::Witness;
pub use world::{AGENTS, Agent, Bounds, Broken, Lane, Mode, World};

use std::time::Duration;

use dayfly_shared::claim::{Board, Idle, Policy, WHOLE_ROW};
use dayfly_shared::clock::{Moment, Now, Timestamp};
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::keys::Keys;
use dayfly_shared::plan::Task;
use dayfly_shared::records::{LeaseState, Running, Semaphore};
use stateright::{Model, Property};

use super::pooled::{Pool, Shared};
use super::search::Searched;
use bucket::Bucket;

/// One configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is called.
    pub name: &'static str,
    /// The tasks of each chunk, segment by segment.
    pub segments: &'static [&'static [u32]],
    /// Agents at once.
    pub agents: usize,
    /// What the adversary may do.
    pub bounds: Bounds,
    /// Processor errors allowed to a task.
    pub max_attempts: u32,
    /// Losses, alone and announced, allowed to a task.
    pub max_losses: u32,
    /// Whether the first chunk was held, in its second tenure, by an agent that vanished.
    pub lost_before: bool,
    /// Until when a clock runs, in half-seconds; none: the adversary decides what expires.
    pub horizon: Option<u16>,
}

/// A chunk of the plan.
#[derive(Clone, Debug)]
struct Place {
    chunk: ChunkId,
    /// The number of its semaphore's and its result's key.
    key: u8,
    /// The chunk that a listing takes that key for.
    listed: ChunkId,
    tasks: Vec<Task>,
}

/// The model of one configuration.
#[derive(Debug)]
pub struct Fleet {
    setup: Setup,
    policy: Policy,
    places: Vec<Place>,
    agents: Pool<Agent>,
    boards: Pool<Board>,
    buckets: Pool<Bucket>,
    ghosts: Pool<Vec<bucket::Request>>,
    witness: Witness,
}

impl Fleet {
    /// The model of a configuration.
    pub fn new(setup: Setup) -> Self {
        let timed = setup.horizon.is_some();
        let policy = Policy {
            // Where no clock runs, any; where one does, short leases, as every half-second is a step.
            ttl: Duration::from_secs(if timed { 3 } else { 60 }),
            slack: Duration::from_millis(if timed { 1100 } else { 3000 }),
            max_attempts: setup.max_attempts,
            max_losses: setup.max_losses,
            whole_row: WHOLE_ROW,
        };
        let keys: Option<Keys> = "s3://bucket/job".parse().ok().map(|job| Keys::new(&job));
        let mut texts: Vec<String> = Vec::new();
        let mut places = Vec::new();
        for (segment, chunks) in (1..).zip(setup.segments) {
            let mut line = 0;
            for (index, tasks) in (1..).zip(*chunks) {
                let chunk = ChunkId { segment, index };
                let text = keys.as_ref().map(|k| k.semaphore(chunk, None)).unwrap_or_default();
                let listed = keys.as_ref().and_then(|k| k.parse_chunk(&text)).unwrap_or(chunk);
                let known = texts.iter().position(|t| *t == text);
                let key = u8::try_from(known.unwrap_or(texts.len())).unwrap_or(u8::MAX);
                if known.is_none() {
                    texts.push(text);
                }
                let lines = line + 1..=line + tasks;
                line += tasks;
                let task = |line| {
                    let id = TaskId { segment, line };
                    Task { id, name: format!("in{segment}{line}"), problem: None }
                };
                places.push(Place { chunk, key, listed, tasks: lines.map(task).collect() });
            }
        }
        let (agents, boards) = (Pool::default(), Pool::default());
        Self {
            setup,
            policy,
            places,
            agents,
            boards,
            buckets: Pool::default(),
            ghosts: Pool::default(),
            witness: Witness::default(),
        }
    }

    /// What was seen of the tenure.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The configuration.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    fn place(&self, chunk: ChunkId) -> &Place {
        self.places.iter().find(|p| p.chunk == chunk).unwrap_or(&self.places[0])
    }

    fn key(&self, chunk: ChunkId) -> u8 {
        self.place(chunk).key
    }

    fn tasks(&self, chunk: ChunkId) -> &[Task] {
        &self.place(chunk).tasks
    }

    fn is_timed(&self) -> bool {
        self.setup.horizon.is_some()
    }

    /// What clocks show. Where none runs, they stand at zero between timers, so that states do not differ by time alone.
    fn now(&self, world: &World) -> Now {
        self.now_at(Moment(Duration::from_millis(u64::from(world.time) * 500)))
    }

    /// The wall clock, which no decision is made on, stands still, so that bodies are as alike as can be.
    fn now_at(&self, at: Moment) -> Now {
        Now { at, wall: Timestamp::default() }
    }

    fn keep(&self, mut agents: [Agent; AGENTS]) -> [Shared<Agent>; AGENTS] {
        let mut kept = agents.each_mut().map(|agent| {
            let away = Agent::away(agent.board.clone());
            self.agents.keep(std::mem::replace(agent, away))
        });
        kept.sort_unstable_by_key(Shared::print);
        kept
    }

    /// Who left the first chunk behind, where somebody did.
    fn left_behind(&self) -> Semaphore {
        let gone = Nonce(1);
        let chunk = &self.places[0];
        let attempt = Attempt { epoch: 2, tenure: gone, n: 1 };
        Semaphore {
            schema: 1,
            agent: AgentId::of("gone", gone),
            tenure: gone,
            write: 1,
            epoch: 2,
            ttl_seconds: u32::try_from(self.policy.ttl.as_secs()).unwrap_or(u32::MAX),
            state: LeaseState::Held,
            since: Timestamp::default(),
            name: None,
            decided: 0,
            running: Some(Running { task: chunk.tasks[0].id, attempt, from: Timestamp::default(), alone: false }),
            attempts: Vec::new(),
            losses: 1,
            tenures: Vec::new(),
        }
    }

    /// Every chunk is closed, every task decided, no semaphore left.
    fn is_over(&self, world: &World) -> bool {
        let bucket = &world.bucket;
        let closed = |p: &Place| bucket.results.contains(&p.key) && p.tasks.iter().all(|t| bucket.is_decided(t.id));
        bucket.semaphores.is_empty() && self.places.iter().all(closed)
    }

    fn empty_board(&self) -> Shared<Board> {
        let mut board = Board::new(self.policy);
        for chunks in self.setup.segments {
            board.add_segment(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
        }
        self.boards.keep(board)
    }
}

impl Model for Fleet {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let away = Agent::away(self.empty_board());
        let mut agents = [away.clone(), away.clone(), away];
        for agent in agents.iter_mut().take(self.setup.agents) {
            agent.mode = Mode::Choosing { first: true };
        }
        let mut bucket = Bucket::default();
        if self.setup.lost_before {
            let record = self.left_behind();
            bucket.put_semaphore(self.places[0].key, &record, record.tenure, 0);
        }
        vec![World {
            agents: self.keep(agents),
            bucket: self.buckets.keep(bucket),
            ghosts: self.ghosts.keep(Vec::new()),
            left: self.setup.bounds,
            names: 0,
            broken: Broken::default(),
            time: 0,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // What is broken is found: nothing more to look for behind it.
        if world.broken != Broken::default() {
            return;
        }
        let there = world.agents.iter().filter(|a| a.is_there()).count();
        let wanted = there == 0 && !self.is_over(world);
        if wanted || (there < self.setup.agents && world.left.launches > 0) {
            let free = world.agents.iter().zip(0..).find(|(a, _)| !a.is_there());
            steps.extend(free.map(|(_, n)| Step::Launch(n)));
        }
        for (n, agent) in (0..).zip(&world.agents) {
            // Two that are alike in everything do alike things.
            let twin = n > 0 && world.agents[usize::from(n) - 1] == *agent;
            if agent.is_there() && !twin {
                self.agent_steps(world, n, agent, steps);
            }
        }
        for (n, ghost) in (0..).zip(world.ghosts.iter()) {
            if n == 0 || world.ghosts[usize::from(n) - 1] != *ghost {
                steps.push(Step::Ghost(n));
            }
        }
        let before_end = self.setup.horizon.is_some_and(|horizon| world.time < horizon) && !self.is_over(world);
        if before_end && self.all_is_done_for_now(world) {
            steps.push(Step::Advance);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        self.take(world, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn format_action(&self, step: &Step) -> String {
        format!("{step:?}")
    }
}

impl Searched for Fleet {
    /// Where a clock runs it may run out before the job is over: no end is looked for.
    fn is_end(&self, world: &World) -> Option<bool> {
        (!self.is_timed()).then(|| self.is_over(world))
    }

    fn describe(&self, before: &World, step: &Step) -> String {
        words::describe(self, before, *step)
    }
}

/// Whether an agent that found nothing may end while others hold what is left.
fn may_stand_by(agent: &Agent) -> bool {
    matches!(agent.mode, Mode::Idle(verdict) if verdict.idle(false) == Idle::StandBy)
}
