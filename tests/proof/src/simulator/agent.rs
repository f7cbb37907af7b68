//! One agent: the very driver that the binary runs, on simulated ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_agent::driver::{Gauge, Journal, Parts, Settings, Stop, Stores, Usage};
use dayfly_agent::processor::{Failure, Processor, TaskIo};
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Clock;
use dayfly_shared::ids::AgentId;
use dayfly_shared::records::Machine;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Patient, RequestCounts, Store};
use futures::StreamExt;
use tokio::sync::watch;

use super::clock::{AgentClock, sleep};
use super::faults::Fault;
use super::scenario::{Scenario, output_of};
use super::store::FaultyStore;
use super::world::{World, trace};

struct OneBucket {
    store: FaultyStore,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
}

impl Stores for OneBucket {
    fn open(&self, _bucket: &str) -> Arc<dyn Store> {
        Arc::new(Patient::new(self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.dice)))
    }

    fn counts(&self) -> RequestCounts {
        RequestCounts::default()
    }

    fn endpoint(&self) -> String {
        "simulated".to_owned()
    }
}

struct Nothing;

impl Gauge for Nothing {
    fn read(&self) -> Usage {
        Usage::default()
    }
}

#[async_trait]
impl Journal for Nothing {
    async fn size(&self) -> u64 {
        0
    }

    async fn content(&self) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// Tells of a run's end, however it ends.
struct AtWork<'a> {
    world: &'a World,
    agent: usize,
    name: &'a str,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.world.state().bystander.in_hand.on_run_end(self.agent, self.name);
    }
}

/// Takes the input, takes its time, and does what its nature says.
struct SimulatedTask {
    world: Arc<World>,
    agent: usize,
    disk_full: bool,
    scenario: Arc<Scenario>,
}

#[async_trait]
impl Processor for SimulatedTask {
    async fn prepare(&self, _job: &JobBucket) -> Result<(), Failure> {
        Ok(())
    }

    async fn process(&self, io: &mut TaskIo) -> Result<(), Failure> {
        let name = io.task.name.clone();
        trace!(self.world, "agent {} runs {name} as {}", self.agent, io.attempt);
        let broken = self.world.state().bystander.on_run(self.agent, &name, io.attempt);
        let _until_it_ends = AtWork { world: &self.world, agent: self.agent, name: &name };
        if let Err(broken) = broken {
            self.world.violated(broken);
        }
        let mut input = io.open_input().await?;
        let mut body = Vec::new();
        while let Some(piece) = input.body.next().await {
            body.extend_from_slice(&piece?);
        }
        if self.disk_full {
            self.world.note(Fault::DiskFull);
            return Err(Failure::Refused("the scratch folder cannot be made: no space left on device".to_owned()));
        }
        let nature = self.scenario.nature(&name);
        sleep(nature.takes).await;
        self.world.gate(self.agent).await;
        // What kills and what fails does so by chance, or each time.
        if nature.kills > self.world.dice.below(100) {
            self.world.note(Fault::TaskKills);
            self.world.kill(self.agent);
            std::future::pending::<()>().await;
        }
        if nature.fails > self.world.dice.below(100) {
            self.world.note(Fault::TaskFails);
            return Err(Failure::Processor { error: "it did not work out".to_owned(), permanent: nature.fails > 99 });
        }
        io.write(Bytes::from(output_of(&body))).await
    }
}

/// How an agent is born.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Tasks at once.
    pub slots: u32,
    /// How much too fast its clock runs, in millionths.
    pub drift_ppm: i32,
    /// Whether it bears the name that others bear too, as copies of one machine do.
    pub has_namesakes: bool,
    /// From which size on its outputs go up in parts.
    pub part_bytes: usize,
    /// Whether its disk is full.
    pub disk_full: bool,
    /// How long, at most, it waits before its first claim.
    pub boot_spread: Duration,
    /// After how long without an answer it gives up.
    pub give_up_after: Duration,
}

/// What an agent is made of, and the way to tell it to stop.
pub fn parts(
    world: &Arc<World>,
    agent: usize,
    scenario: &Arc<Scenario>,
    birth: &Birth,
) -> (Parts, Settings, watch::Sender<Option<Stop>>) {
    let dice: Arc<dyn Dice> = Arc::new(StdDice::seeded(world.dice.next_u64()));
    let clock: Arc<dyn Clock> = Arc::new(AgentClock {
        world: Arc::clone(world),
        agent,
        origin: dice.up_to(Duration::from_secs(1_000_000)),
        drift_ppm: birth.drift_ppm,
    });
    let (stop, told) = watch::channel(None);
    let store = FaultyStore::new(Arc::clone(world), agent);
    let name = if birth.has_namesakes { "agent".to_owned() } else { format!("agent{agent}") };
    let me = AgentId::of(&name, dice.nonce());
    let task =
        SimulatedTask { world: Arc::clone(world), agent, disk_full: birth.disk_full, scenario: Arc::clone(scenario) };
    let task: Arc<dyn Processor> = Arc::new(task);
    let parts = Parts {
        stores: Arc::new(OneBucket { store, clock: Arc::clone(&clock), dice: Arc::clone(&dice) }),
        clock,
        dice,
        processors: Arc::new(move |_| Arc::clone(&task)),
        gauge: Arc::new(Nothing),
        journal: Arc::new(Nothing),
        stop: told,
        notice: watch::channel(None).1,
        fleet: None,
        herald: None,
    };
    let settings = Settings {
        job: scenario.job.clone(),
        me,
        slots: birth.slots,
        streams: birth.slots,
        linger: false,
        boot_spread: birth.boot_spread,
        suspended_wait: Duration::from_secs(600),
        give_up_after: birth.give_up_after,
        part_bytes: birth.part_bytes,
        whole_row: scenario.whole_row,
        notify: Vec::new(),
        work_dir: PathBuf::from("/nonexistent"),
        machine: Machine::default(),
    };
    (parts, settings, stop)
}
