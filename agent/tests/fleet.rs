//! Whole fleets of agents in one process, against a store in memory: the driver, the state machines and the views, with
//! everything but the S3 protocol.

use std::sync::Arc;
use std::time::Duration;

use dayfly_agent::driver::{self, Ending, Gauge, Journal, Parts, Settings, Stop, Stores, Usage};
use dayfly_agent::processor;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::exit::Exit;
use dayfly_shared::ids::AgentId;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{View, output_name};
use dayfly_shared::records::{Control, ControlState, Machine, TaskOutcome};
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Attributes, Condition, Counted, MemoryStore, RequestCounts, Store, StoreExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

struct OneStore(Counted<MemoryStore>);

impl Stores for OneStore {
    fn open(&self, _bucket: &str) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
    fn counts(&self) -> RequestCounts {
        self.0.snapshot()
    }
    fn endpoint(&self) -> String {
        "memory".to_owned()
    }
}

struct Nothing;

impl Gauge for Nothing {
    fn read(&self) -> Usage {
        Usage::default()
    }
}

#[async_trait::async_trait]
impl Journal for Nothing {
    async fn size(&self) -> u64 {
        0
    }
    async fn content(&self) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

struct World {
    store: MemoryStore,
    clock: Arc<dyn Clock>,
    job: Location,
    bucket: JobBucket,
}

const KERNEL: &[u8] = b"a kernel";

fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(1000 + name.len()).collect()
}

impl World {
    async fn new(names: &[String], settings: Option<JobSettings>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = MemoryStore::new("bucket", Arc::clone(&clock));
        let job: Location = "s3://bucket/job".parse().unwrap();
        let bucket = JobBucket::new(job.clone(), Arc::new(store.clone()));
        let world = Self { store, clock, job, bucket };
        world.put("kernel.dat", KERNEL.to_vec()).await;
        for name in names {
            world.put(name, content(name)).await;
        }
        if let Some(settings) = settings {
            world.put("job.json", settings.to_json()).await;
        }
        world.put("tasklist.txt", names.join("\n").into_bytes()).await;
        world
    }

    async fn put(&self, name: &str, body: Vec<u8>) {
        let key = self.job.key(name);
        self.store.put(&key, body.into(), &Attributes::default(), &Condition::Overwrite).await.unwrap();
    }

    async fn lines(&self, view: View) -> Vec<String> {
        let read = self.bucket.view(view).await.unwrap().map(|v| v.text).unwrap_or_default();
        let mut lines: Vec<String> = String::from_utf8(read).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    async fn check_outputs(&self, names: &[String]) {
        for name in names {
            let (_, body) = self.store.read(&self.job.key(&output_name(name))).await.unwrap().expect(name);
            let expected: Vec<u8> =
                content(name).iter().enumerate().map(|(n, b)| b ^ KERNEL[n % KERNEL.len()]).collect();
            assert_eq!(body, expected, "{name}");
        }
    }

    fn agent(&self, n: u64, linger: bool) -> (watch::Sender<Option<Stop>>, impl Future<Output = Ending> + use<>) {
        let (stop_sender, stop) = watch::channel(None);
        let dice = StdDice::from_os();
        let me = AgentId::of(&format!("agent{n}"), dice.nonce());
        let workshop = processor::Workshop {
            work_dir: std::env::temp_dir(),
            supervisor: "unused: these jobs run no programs".into(),
            user: None,
            metadata: None,
            cgroups: Arc::default(),
            clock: Arc::clone(&self.clock),
            vault: None,
            containers: processor::Means::default(),
        };
        let parts = Parts {
            stores: Arc::new(OneStore(Counted::new(self.store.clone()))),
            clock: Arc::clone(&self.clock),
            dice: Arc::new(dice),
            processors: Arc::new(move |job| processor::of(job, &workshop)),
            gauge: Arc::new(Nothing),
            journal: Arc::new(Nothing),
            stop,
            notice: watch::channel(None).1,
            fleet: None,
            herald: None,
        };
        let settings = Settings {
            job: self.job.clone(),
            me,
            slots: 2,
            streams: 2,
            linger,
            boot_spread: Duration::from_millis(20),
            suspended_wait: Duration::from_secs(600),
            give_up_after: Duration::from_secs(600),
            part_bytes: processor::PART_BYTES,
            whole_row: dayfly_shared::claim::WHOLE_ROW,
            notify: Vec::new(),
            work_dir: std::env::temp_dir(),
            machine: Machine::default(),
        };
        (stop_sender, async move { driver::run(parts, settings, None).await.unwrap() })
    }

    async fn run_fleet(&self, agents: u64) -> Vec<Ending> {
        let mut fleet = JoinSet::new();
        for n in 0..agents {
            let (stop, agent) = self.agent(n, false);
            fleet.spawn(async move {
                let _stop = stop;
                agent.await
            });
        }
        fleet.join_all().await
    }

    async fn is_closed(&self) {
        assert!(self.bucket.semaphores().await.unwrap().is_empty(), "no semaphore is left");
        assert!(self.store.list_all("job/standby/").await.unwrap().is_empty(), "no seat is left");
        assert!(self.store.list_all("job/scratch/").await.unwrap().is_empty(), "no scratch object is left");
        assert!(self.bucket.summary().await.unwrap().is_some(), "the summary is there");
    }
}

fn names(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("in{n}.dat")).collect()
}

fn short_lease() -> JobSettings {
    JobSettings { lease_ttl_seconds: 2, agents: 3, ..JobSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_does_every_task_once_and_ends() {
    let names = names(0..40);
    let world = World::new(&names, Some(short_lease())).await;
    let endings = world.run_fleet(4).await;
    assert!(endings.iter().all(|e| e.exit == Exit::Done), "{endings:?}");
    world.check_outputs(&names).await;
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(world.lines(View::Completed).await, sorted);
    assert!(world.lines(View::Tasklist).await.is_empty());
    world.is_closed().await;
    let results = world.bucket.results().await.unwrap();
    assert_eq!(results.len(), 40);
    for result in results {
        assert!(matches!(result.tasks[0].outcome, TaskOutcome::Done { attempt: Some(_), .. }), "{result:?}");
        assert_eq!(result.tenures.last().unwrap().end, dayfly_shared::records::TenureEnd::Closed);
    }
    let agents = world.bucket.agents().await.unwrap();
    assert_eq!(agents.iter().map(|a| a.done).sum::<u64>(), 40);
    assert!(agents.iter().all(|a| a.state == dayfly_shared::records::AgentState::Ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_many_tasks_work_too() {
    let names = names(0..10_050);
    let world = World::new(&[], Some(short_lease())).await;
    for name in &names {
        world.put(name, content(name)).await;
    }
    world.put("tasklist.txt", names.join("\r\n").into_bytes()).await;
    let endings = world.run_fleet(3).await;
    assert!(endings.iter().all(|e| e.exit == Exit::Done), "{endings:?}");
    world.check_outputs(&names).await;
    assert_eq!(world.lines(View::Completed).await.len(), names.len());
    assert!(world.lines(View::Tasklist).await.is_empty());
    world.is_closed().await;
    assert!(world.bucket.results().await.unwrap().len() < 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_inputs_and_bad_lines_become_dead_letters_and_the_rest_goes_on() {
    let names = names(0..3);
    let world = World::new(&names, Some(short_lease())).await;
    world.put("tasklist.txt", b"in0.dat\nin9.dat\n../up\nin1.dat\njob.json\nin1.dat\nin2.dat".to_vec()).await;
    let endings = world.run_fleet(2).await;
    assert!(endings.iter().all(|e| e.exit == Exit::Done), "{endings:?}");
    world.check_outputs(&names).await;
    assert_eq!(world.lines(View::Failed).await, ["../up", "in9.dat", "job.json"]);
    assert_eq!(world.lines(View::Completed).await, ["in0.dat", "in1.dat", "in2.dat"]);
    assert!(world.lines(View::Tasklist).await.is_empty());
    let letters = world.bucket.dead_letters().await.unwrap();
    let missing = letters.iter().find(|l| l.name == "in9.dat").unwrap();
    assert!(missing.error.contains("does not exist"), "{}", missing.error);
    assert_eq!(missing.attempts.len(), 1, "an input that is not there is not tried again");
    assert!(missing.log.is_some());
    world.is_closed().await;

    // Put right and listed again by hand: a new task in a new segment.
    world.put("in9.dat", content("in9.dat")).await;
    world.put("tasklist.txt", b"in9.dat\nin0.dat\n".to_vec()).await;
    world.run_fleet(1).await;
    world.check_outputs(&["in9.dat".to_owned()]).await;
    assert_eq!(world.lines(View::Failed).await, ["../up", "job.json"]);
    assert_eq!(world.lines(View::Completed).await.len(), 4);
    assert!(world.lines(View::Tasklist).await.is_empty());
    assert_eq!(world.bucket.summary().await.unwrap().unwrap().segments, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_a_finished_job() {
    let world = World::new(&[], None).await;
    let endings = world.run_fleet(1).await;
    assert_eq!(endings[0].exit, Exit::Done);
    world.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lingering_agent_does_lines_added_later_and_a_cancel_ends_it() {
    let all = names(0..6);
    let world = World::new(&all, Some(short_lease())).await;
    world.put("tasklist.txt", b"in0.dat\nin1.dat\n".to_vec()).await;
    let (_stop, agent) = world.agent(0, true);
    let agent = tokio::spawn(agent);
    until(async || world.lines(View::Completed).await.len() == 2).await;
    world.put("tasklist.txt", all[2..].join("\n").into_bytes()).await;
    until(async || world.lines(View::Completed).await.len() == 6).await;
    world.check_outputs(&all).await;
    let control = Control {
        schema: 1,
        state: ControlState::Cancelled,
        why: Some("enough".to_owned()),
        by: None,
        at: None,
        max_cost: None,
    };
    world.bucket.put_json(&world.bucket.keys.control(), &control, &Condition::Create).await.unwrap();
    assert_eq!(agent.await.unwrap().exit, Exit::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_agent_ends_and_another_finishes() {
    let all = names(0..900);
    let world = World::new(&all, Some(short_lease())).await;
    let (stop, agent) = world.agent(0, false);
    let agent = tokio::spawn(agent);
    until(async || !world.lines(View::Completed).await.is_empty()).await;
    let deadline = world.clock.now().at;
    stop.send(Some(Stop { why: "a test".to_owned(), deadline })).unwrap();
    let ending = agent.await.unwrap();
    assert_eq!(ending.exit, Exit::Drained, "{ending:?}");
    assert!(world.bucket.results().await.unwrap().len() < 900);
    world.run_fleet(1).await;
    world.check_outputs(&all).await;
    assert_eq!(world.lines(View::Completed).await.len(), 900);
    world.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_drains_ends_its_agents_and_goes_on_when_it_is_resumed() {
    let all = names(0..900);
    let world = World::new(&all, Some(short_lease())).await;
    let (_stop, agent) = world.agent(0, true);
    let agent = tokio::spawn(agent);
    until(async || !world.lines(View::Completed).await.is_empty()).await;
    let say = |state| Control { schema: 1, state, why: Some("the cap".to_owned()), by: None, at: None, max_cost: None };
    let key = world.bucket.keys.control();
    world.bucket.put_json(&key, &say(ControlState::Draining), &Condition::Create).await.unwrap();
    let ending = agent.await.unwrap();
    assert_eq!(ending.exit, Exit::Drained, "{ending:?}");
    assert!(ending.why.contains("the cap"), "{ending:?}");
    // One that comes meanwhile begins nothing.
    let done = world.bucket.results().await.unwrap().len();
    let (_stop, late) = world.agent(1, false);
    assert_eq!(late.await.exit, Exit::Drained);
    assert_eq!(world.bucket.results().await.unwrap().len(), done);
    world.bucket.put_json(&key, &say(ControlState::Running), &Condition::Overwrite).await.unwrap();
    world.run_fleet(1).await;
    world.check_outputs(&all).await;
    world.is_closed().await;
}

/// Waits for a condition, as long as the test's own limit allows.
async fn until(condition: impl AsyncFn() -> bool) {
    while !condition().await {
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
}
