//! One schedule: a scenario, run from its first write to its last agent's end.

use std::sync::Arc;
use std::time::Duration;

use dayfly_agent::driver::{self, Stop};
use dayfly_shared::clock::{Clock, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::ids::{AgentId, ChunkId, Nonce};
use dayfly_shared::job::SCHEMA;
use dayfly_shared::keys::{Keys, View, output_name, problem_with};
use dayfly_shared::plan::{Frozen, Segment, Span, clean_lines, join_lines};
use dayfly_shared::records::{Control, ControlState, to_json};
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Attributes, Condition, Outcome, Store, StoreCheck, StoreExt};
use tokio::sync::watch;

use super::agent::{Birth, parts};
use super::bystander::{Bystander, Who};
use super::clock::sleep;
use super::faults::{Fault, FaultCounts};
use super::overlap::Overlaps;
use super::scenario::{Blow, Scenario, input_of, later_names, output_of};
use super::world::{Being, World, trace};

/// After the calm the job has to be over within so many leases, the deaths of tasks that kill their agents included.
const LEASES_TO_THE_END: u32 = 400;

/// So many agents may be launched into the calm: some tasks take several with them.
const LAUNCHES: u32 = 60;

/// How a schedule went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What did not hold.
    pub violation: Option<String>,
    /// Simulated time.
    pub simulated: Duration,
    /// Requests of agents.
    pub requests: u64,
    /// What went wrong on the way.
    pub faults: FaultCounts,
    /// What overlapped within agents.
    pub overlaps: Overlaps,
    /// Every event, if asked for.
    pub trace: Option<String>,
}

/// A runtime of one thread whose clock is the simulation's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap_or_else(|e| panic!("a runtime cannot be made: {e}"))
}

/// Runs the schedule of a seed.
pub fn run(seed: u64, traced: bool) -> Report {
    let dice = StdDice::seeded(seed);
    let scenario = Arc::new(Scenario::draw(&dice));
    runtime().block_on(async move {
        let mut director = Director::new(dice, scenario, traced);
        trace!(director.world, "seed {seed}: {:?}", director.scenario);
        director.direct_until_calm().await;
        director.bring_to_the_end().await;
        let world = director.world;
        let trace = world.take_trace();
        let mut state = world.state();
        Report {
            violation: state.violation.take(),
            simulated: world.elapsed(),
            requests: state.requests,
            faults: std::mem::take(&mut state.faults),
            overlaps: {
                state.bystander.in_hand.on_end();
                state.bystander.in_hand.seen
            },
            trace,
        }
    })
}

type StopSender = watch::Sender<Option<Stop>>;

/// Runs the fleet and strikes the blows.
pub struct Director {
    world: Arc<World>,
    scenario: Arc<Scenario>,
    keys: Keys,
    /// How each agent is told to stop, and its clock.
    stops: Vec<(StopSender, Arc<dyn Clock>)>,
    launches: u32,
}

impl Director {
    /// Of a world at its beginning, inside a runtime whose clock is paused.
    pub fn new(dice: StdDice, scenario: Arc<Scenario>, traced: bool) -> Self {
        let bystander = Bystander::new(&scenario.job, scenario.settings.clone());
        let world = World::new(dice, bystander, scenario.profile.clone(), traced);
        Self { world, keys: Keys::new(&scenario.job), scenario, stops: Vec::new(), launches: 0 }
    }

    /// Everything up to the moment from which on nothing goes wrong any more.
    pub async fn direct_until_calm(&mut self) {
        self.seed().await;
        let mut births = self.scenario.births.clone();
        births.sort_by_key(|(at, _)| *at);
        let mut births = births.into_iter().peekable();
        let scenario = Arc::clone(&self.scenario);
        let mut blows = scenario.blows.iter().copied().peekable();
        loop {
            let now = self.world.elapsed();
            while let Some((_, birth)) = births.next_if(|(at, _)| *at <= now) {
                self.launch(birth);
            }
            while let Some((_, blow)) = blows.next_if(|(at, _)| *at <= now) {
                self.strike(blow);
            }
            if now >= scenario.calm_at {
                break;
            }
            let next = [births.peek().map(|b| b.0), blows.peek().map(|b| b.0), Some(scenario.calm_at)];
            let wake = next.into_iter().flatten().min().unwrap_or(scenario.calm_at);
            tokio::select! {
                biased;
                () = self.world.news.notified() => {}
                () = sleep(wake - now) => {}
            }
            if self.world.is_violated() {
                return;
            }
            if scenario.replaces && !self.anybody_alive() {
                self.launch(Birth::draw(&self.world.dice));
            }
        }
    }

    /// Kills an agent that holds a chunk: its lease, and when.
    pub fn kill_a_holder(&self) -> Option<(ChunkId, Duration)> {
        let chunk = self.world.state().bystander.held().first().copied()?;
        let holder = self.world.state().bystander.holder(chunk)?;
        self.world.kill(holder);
        Some((chunk, self.world.elapsed()))
    }

    /// How long after the kill the chunk was taken over; none within `patience`.
    pub async fn wait_for_takeover(
        &self,
        (chunk, killed): (ChunkId, Duration),
        patience: Duration,
    ) -> Option<Duration> {
        let before = self.world.state().bystander.epoch(chunk);
        while self.world.elapsed() < killed + patience {
            if self.world.state().bystander.epoch(chunk) > before {
                return Some(self.world.elapsed() - killed);
            }
            sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// Nothing goes wrong any more: the job has to come to its end.
    pub async fn bring_to_the_end(&mut self) {
        {
            let mut state = self.world.state();
            state.profile.calm_down();
            state.burst_until = Duration::ZERO;
        }
        trace!(self.world, "calm");
        self.control(ControlState::Running).await;
        let calm_at = self.world.elapsed();
        let deadline = calm_at + self.scenario.settings.lease_ttl() * LEASES_TO_THE_END;
        // Whatever is still on its way arrives first.
        let late = self.scenario.profile.late * 2 + self.scenario.profile.timeout * 2;
        let mut landed = false;
        loop {
            if self.world.is_violated() {
                return;
            }
            let now = self.world.elapsed();
            if now > deadline {
                let why = self.world.state().bystander.finished().err().unwrap_or_default();
                return self.world.violated(format!("never stuck: no end within {LEASES_TO_THE_END} leases; {why}"));
            }
            if !self.anybody_alive() {
                if !landed && now < calm_at + late {
                    sleep(calm_at + late - now).await;
                    landed = true;
                    continue;
                }
                let unfinished = self.world.state().bystander.finished().err();
                match unfinished {
                    None => return self.check_the_end().await,
                    Some(why) if self.launches >= LAUNCHES => {
                        return self.world.violated(format!("never stuck: {LAUNCHES} agents came and went; {why}"));
                    }
                    Some(_) => {
                        self.launches += 1;
                        self.launch(Birth::healthy());
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.world.news.notified() => {}
                () = sleep(Duration::from_secs(600)) => {}
            }
        }
    }

    fn anybody_alive(&self) -> bool {
        self.world.state().beings.iter().any(|being| being.gone_at.is_none())
    }

    /// Puts the job into the bucket, as a controller or a person does.
    async fn seed(&self) {
        let scenario = &self.scenario;
        let job = &scenario.job;
        for name in scenario.names.iter().chain(&later_names()) {
            if problem_with(name, &scenario.settings, job).is_some() {
                continue;
            }
            if !scenario.missing.contains(name) {
                self.put(&job.key(name), input_of(name), Attributes::default()).await;
            }
            if scenario.done_before.contains(name) {
                let key = job.key(&output_name(name));
                self.put(&key, output_of(&input_of(name)), Attributes::default()).await;
                self.world.state().bystander.stood_before(&key);
            }
        }
        self.put(&self.keys.job(), scenario.settings.to_json(), Attributes::json()).await;
        if scenario.store_checked {
            let at = Timestamp::default();
            let check = StoreCheck { schema: SCHEMA, endpoint: "simulated".to_owned(), at, ok: true };
            self.put(&self.keys.store_check(), to_json(&check), Attributes::json()).await;
        }
        let text = join_lines(&scenario.names);
        self.put(&self.keys.view(View::Tasklist), text.clone().into_bytes(), Attributes::text()).await;
        if let Some(chunks) = &scenario.chunks {
            self.plan(&text, chunks).await;
        }
    }

    /// Plans the first segment beforehand, in chunks of several tasks.
    async fn plan(&self, text: &str, chunks: &[usize]) {
        let settings = Some(self.scenario.settings.clone());
        let by = AgentId::of("planner", Nonce(1));
        let mut segment = Segment::cut(1, text, 1, Frozen { settings, source: None, by, at: Timestamp::default() });
        let mut lines = segment.chunks.iter();
        segment.chunks = chunks
            .iter()
            .map(|size| {
                let of = lines.by_ref().take(*size).fold((0, 0), |(n, bytes), s| (n + s.tasks, bytes + s.bytes));
                Span { tasks: of.0, bytes: of.1 }
            })
            .collect();
        self.put(&self.keys.segment_text(1), text.as_bytes().to_vec(), Attributes::text()).await;
        self.put(&self.keys.segment(1), to_json(&segment), Attributes::json()).await;
    }

    /// A person's write: whatever stands there is overwritten.
    async fn put(&self, key: &str, body: Vec<u8>, attributes: Attributes) {
        put_by_hand(&self.world, key, body, attributes).await;
    }

    fn launch(&mut self, birth: Birth) {
        let index = {
            let mut state = self.world.state();
            state.beings.push(Being { born_at: self.world.elapsed(), ..Being::default() });
            state.beings.len() - 1
        };
        self.world.state().bystander.in_hand.on_launch(index, birth.slots);
        trace!(self.world, "agent {index} launched: {birth:?}");
        let (parts, settings, stop) = parts(&self.world, index, &self.scenario, &birth);
        self.stops.push((stop, Arc::clone(&parts.clock)));
        let (world, scenario) = (Arc::clone(&self.world), Arc::clone(&self.scenario));
        let process = tokio::spawn(async move {
            let ending = driver::run(parts, settings, None).await;
            world.gate(index).await;
            trace!(world, "agent {index} ends: {ending:?}");
            let now = world.elapsed();
            let mut state = world.state();
            state.beings[index].gone_at = Some(now);
            // It decided where it saw a seat taken; its farewell may have taken long. One that was there a moment before may
            // have held that seat.
            let decided = state.bystander.sights.saw_a_seat(index).unwrap_or(now);
            let moment = scenario.settings.lease_ttl() * 3;
            let others = state.beings.iter().enumerate().any(|(n, b)| n != index && b.was_there(decided, moment));
            let seen = match &ending {
                Ok(ending) if ending.exit == Exit::Done => state.bystander.on_end(index, others, scenario.whole_row),
                _ => Ok(()),
            };
            drop(state);
            if let Err(broken) = seen {
                world.violated(broken);
            }
            world.news.notify_one();
        });
        self.world.state().beings[index].process = Some(process.abort_handle());
    }

    /// Some agent that is alive.
    fn somebody(&self) -> Option<usize> {
        let alive: Vec<usize> = {
            let state = self.world.state();
            state
                .beings
                .iter()
                .enumerate()
                .filter(|(_, being)| being.gone_at.is_none())
                .map(|(index, _)| index)
                .collect()
        };
        let pick = usize::try_from(self.world.dice.below(alive.len() as u64)).ok()?;
        alive.get(pick).copied()
    }

    fn strike(&mut self, blow: Blow) {
        trace!(self.world, "{blow:?}");
        let now = self.world.elapsed();
        match blow {
            Blow::Kill => {
                if let Some(agent) = self.somebody() {
                    self.world.note(Fault::Kill);
                    self.world.kill(agent);
                }
            }
            Blow::Pause(long) => {
                if let Some(agent) = self.somebody() {
                    self.world.note(Fault::Pause);
                    self.world.state().beings[agent].stopped_until = now + long;
                }
            }
            Blow::SpotNotice(notice) => {
                if let Some(agent) = self.somebody() {
                    self.world.note(Fault::SpotNotice);
                    let (stop, clock) = &self.stops[agent];
                    let deadline = clock.now().at.after(notice / 2);
                    stop.send_replace(Some(Stop { why: "spot notice".to_owned(), deadline }));
                    let world = Arc::clone(&self.world);
                    tokio::spawn(async move {
                        sleep(notice).await;
                        world.kill(agent);
                    });
                }
            }
            Blow::ClockStep(ms) => {
                if let Some(agent) = self.somebody() {
                    self.world.note(Fault::ClockStep);
                    self.world.state().beings[agent].wall_skew_ms += ms;
                }
            }
            Blow::Burst(long) => {
                self.world.note(Fault::Burst);
                self.world.state().burst_until = now + long;
            }
            Blow::Suspend(long) => {
                self.world.note(Fault::Suspend);
                let (world, key) = (Arc::clone(&self.world), self.keys.control());
                tokio::spawn(async move {
                    put_by_hand(&world, &key, control(ControlState::Paused), Attributes::json()).await;
                    sleep(long).await;
                    put_by_hand(&world, &key, control(ControlState::Running), Attributes::json()).await;
                });
            }
            Blow::Join => self.launch(Birth::draw(&self.world.dice)),
            Blow::AddLines(count, think) => {
                let later = later_names();
                let mut more = Vec::new();
                for _ in 0..count {
                    let all: Vec<&String> = later.iter().chain(&self.scenario.names).collect();
                    let pick = usize::try_from(self.world.dice.below(all.len() as u64)).unwrap_or(0);
                    more.push(all[pick].clone());
                }
                self.edit(think, move |lines| lines.extend(more));
            }
            Blow::TakeOut(think) => self.edit(think, |lines| {
                lines.pop();
            }),
        }
    }

    /// A person looks at the list, thinks, and puts it back changed.
    fn edit(&self, think: Duration, change: impl FnOnce(&mut Vec<String>) + Send + 'static) {
        self.world.note(Fault::Edit);
        let (world, key) = (Arc::clone(&self.world), self.keys.view(View::Tasklist));
        tokio::spawn(async move {
            let read = world.store.read(&key).await.ok().flatten();
            let mut lines = read.map(|(_, body)| clean_lines(&body)).unwrap_or_default();
            change(&mut lines);
            sleep(think).await;
            let text = lines.join("\r\n");
            put_by_hand(&world, &key, text.into_bytes(), Attributes::text()).await;
        });
    }

    async fn control(&self, state: ControlState) {
        self.put(&self.keys.control(), control(state), Attributes::json()).await;
    }

    /// The bucket as the job left it.
    async fn check_the_end(&self) {
        let (done, failed) = self.world.state().bystander.decided();
        for name in &done {
            let key = self.scenario.job.key(&output_name(name));
            let body = self.world.store.read(&key).await.ok().flatten().map(|(_, body)| body);
            if body.as_deref() != Some(&output_of(&input_of(name))) {
                return self.world.violated(format!("the output of {name} is wrong: {body:?}"));
            }
        }
        let letters = self.world.state().bystander.errors();
        for name in &failed {
            let Some(error) = letters.get(name) else {
                return self.world.violated(format!("{name} was given up without a dead letter"));
            };
            if !self.is_a_reason(name, error) {
                return self.world.violated(format!("{name} was given up without need: {error}"));
            }
        }
    }

    /// Whether a task may have been given up for that.
    fn is_a_reason(&self, name: &str, error: &str) -> bool {
        let scenario = &self.scenario;
        if error.contains("vanished") {
            return self.world.state().faults.takes_agents_away();
        }
        if error.contains("does not exist") {
            return scenario.missing.iter().any(|missing| missing == name);
        }
        if error.contains("cannot be a task") {
            return problem_with(name, &scenario.settings, &scenario.job).is_some();
        }
        scenario.nature(name).fails > 0
    }
}

fn control(state: ControlState) -> Vec<u8> {
    to_json(&Control { schema: SCHEMA, state, why: None, by: None, at: None, max_cost: None })
}

async fn put_by_hand(world: &World, key: &str, body: Vec<u8>, attributes: Attributes) {
    let put = world.store.put(key, body.clone().into(), &attributes, &Condition::Overwrite).await;
    trace!(world, "by hand: PUT {key}: {:?}", String::from_utf8_lossy(&body));
    if matches!(put, Ok(Outcome::Applied(_))) {
        let now = world.elapsed();
        let seen = world.state().bystander.on_put(Who::Person, key, &body.into(), &attributes, now);
        if let Err(broken) = seen {
            world.violated(broken);
        }
    }
}
