//! How long a killed agent's chunk lies idle: from SIGKILL to the takeover's applied write, by real processes on the
//! project's endpoint. `scripts/bench-takeover` runs it and says what its settings are.
//!
//! Pairs of agents, several at once, each with a job of its own: the first has a task in hand that the proxy holds, the
//! second has nothing to do and waits on the standby seat; the first is killed.

use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock};
use dayfly_shared::ids::ChunkId;
use dayfly_shared::job::JobSettings;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Kind, Layout, Rule, World, world};
use futures::future::join_all;
use hyper::Method;

/// The task that is taken over.
const TASK: &str = "in1.dat";
/// Between two looks at the semaphore: what is measured is too long by at most this and a request.
const LOOK: Duration = Duration::from_millis(50);

/// When the first agent is killed.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// At any time between two heartbeats.
    AtAnyTime,
    /// Right after a heartbeat: the lease is as fresh as can be.
    AfterHeartbeat,
}

fn told(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn now() -> Moment {
    SystemClock.now().at
}

fn main() {
    let (ttl, pairs) = (told("DAYFLY_TTL", 20), told("DAYFLY_PAIRS", 8));
    let (batches, worst) = (told("DAYFLY_BATCHES", 4), told("DAYFLY_WORST_BATCHES", 2));
    dayfly_tests::run(Kind::Endpoint, async |world: &World| {
        let listing = listing(world).await;
        println!("ttl {ttl} s, {pairs} pairs at once, one listing {:.1} ms", listing.as_secs_f64() * 1000.0);
        let bound = Duration::from_secs(ttl.into()) * 11 / 10 + listing;
        for (when, name, batches) in [
            (When::AtAnyTime, "killed at any time", batches),
            (When::AfterHeartbeat, "killed after a heartbeat", worst),
        ] {
            let mut times = Vec::new();
            for batch in 0..batches {
                let prefix = |pair| format!("{}-{batch}-{pair}", when as u8);
                times.extend(join_all((0..pairs).map(|pair| takeover(world, prefix(pair), ttl, when))).await);
            }
            tell(name, times, bound);
        }
    });
}

/// One LIST of semaphores and one of results, side by side, as an agent's search makes them: the median of some.
async fn listing(world: &World) -> Duration {
    let bucket = world.job_bucket(world::BUCKET, "listing").await;
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = now();
        bucket.coverage(ChunkId { segment: 1, index: 1 }).await.expect("a listing");
        times.push(now().since(begun));
    }
    times.sort();
    times[times.len() / 2]
}

async fn takeover(world: &World, prefix: String, ttl: u32, when: When) -> Duration {
    let settings = JobSettings { lease_ttl_seconds: ttl, agents: 2, ..JobSettings::default() };
    let mut job = Layout::new(2).prefix(&prefix).settings(Some(settings)).unwatched().lay_out(world).await;
    let input = || Rule::on(Method::GET).key_ends(format!("/{TASK}"));
    let (first_proxy, second_proxy) = (world.proxy(1).await, world.proxy(2).await);
    let first_gate = first_proxy.hold(input());
    let mut first = job.agent(&format!("first-{prefix}")).through(&first_proxy).start();
    world.held(&mut first, &first_gate).await;
    // Its task is held too, so that what it writes at the takeover stands until it was seen.
    let second_gate = second_proxy.hold(input());
    let mut second = job.agent(&format!("second-{prefix}")).through(&second_proxy).start();
    job.until("the second waits", async |job| {
        !job.bucket.store().list_all(&job.bucket.keys.seats()).await.expect("a listing").is_empty()
    })
    .await;
    let (key, before) = semaphore(&job).await;
    let etag = async || job.bucket.store().head(&key).await.expect("a head").map(|meta| meta.etag);
    let standing = etag().await;
    while etag().await == standing {
        SystemClock.sleep(LOOK).await;
    }
    if when == When::AtAnyTime {
        SystemClock.sleep(StdDice::from_os().up_to(Duration::from_secs(ttl.into()) / 3)).await;
    }
    first.kill();
    let killed = now();
    let last = etag().await;
    while etag().await == last {
        SystemClock.sleep(LOOK).await;
    }
    let took = now().since(killed);
    let (_, after) = semaphore(&job).await;
    assert!(before == 1 && after == 2, "the second tenure stands: {before}, {after}");
    world.held(&mut second, &second_gate).await;
    second_gate.open();
    second.ended().await.expect(0, &[]);
    job.finish(&[]).await;
    took
}

/// The key of the task's semaphore, and its epoch.
async fn semaphore(job: &dayfly_tests::Job<'_>) -> (String, u32) {
    let folder = job.bucket.keys.semaphores();
    let entries = job.bucket.store().list_all(&folder).await.expect("a listing");
    let entry = entries.into_iter().find(|entry| entry.key.contains(TASK)).expect("the task's semaphore");
    let (record, _) = job.bucket.semaphore(&entry.key).await.expect("a semaphore").expect("it stands");
    (entry.key, record.epoch)
}

fn tell(name: &str, mut times: Vec<Duration>, bound: Duration) {
    if times.is_empty() {
        return;
    }
    times.sort();
    let rank = |part: f64| times[((times.len() as f64 * part).ceil() as usize).max(1) - 1].as_secs_f64();
    let verdict = if rank(0.99) <= bound.as_secs_f64() { "within" } else { "BEYOND" };
    println!(
        "{name}: {} kills, least {:.2} s, p50 {:.2} s, p99 {:.2} s; {verdict} ttl + 10 % + one listing = {:.2} s",
        times.len(),
        rank(0.0),
        rank(0.5),
        rank(0.99),
        bound.as_secs_f64()
    );
    println!("  each: {}", times.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect::<Vec<_>>().join(" "));
}
