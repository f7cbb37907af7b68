//! From the settings to the first claim, and from the last tenure to the exit.

use std::sync::Arc;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::store::{StoreError, StoreErrorKind};
use tokio::task::JoinSet;

use super::agent::{Agent, Orders, Start};
use super::refresher::Refresher;
use super::{Ending, Parts, Settings, keeper, refresher, slot};

/// How long the record and the log are tried for at the end: the machine costs money.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(20);

/// Runs an agent from its start to its end.
///
/// # Errors
/// What kept it from its first claim: the text names the thing, what was left behind, and the fix.
pub async fn run(parts: Parts, settings: Settings) -> Result<Ending, StoreError> {
    let now = parts.clock.now();
    let store = parts.stores.open(settings.job.bucket());
    let bucket = JobBucket::new(settings.job.clone(), store);
    let seeded = bucket.job_settings().await?;
    let job = agree(&bucket, seeded.clone()).await?;
    // Before anything is written there: a mistyped prefix stays as empty as it was.
    is_a_job(&bucket, seeded.is_some()).await?;
    check_store(&bucket, &parts).await?;
    let processor = (parts.processors)(&job.processor);
    processor.prepare(&bucket).await.map_err(|failure| StoreError {
        kind: StoreErrorKind::Unsupported,
        action: "starting on",
        place: bucket.location.to_string(),
        detail: failure.to_string(),
    })?;
    let outputs = parts.stores.open(job.outputs(&bucket.location).bucket());
    let ports = (Arc::clone(&parts.clock), Arc::clone(&parts.dice));
    let mut refresher = Refresher::new(settings.me.clone(), job.clone(), bucket.clone(), outputs, ports);
    if bucket.segments_after(0).await?.is_empty() {
        refresher.refresh(true).await?;
        // The segment may be another agent's, made from another job.json a moment ago.
        agree(&bucket, seeded).await?;
    }
    let agent = Arc::new(Agent::new(parts, settings, Start { bucket, job, processor, refresher }));
    slot::new_segments(&agent).await?;
    tracing::info!(
        job = %agent.bucket.location, agent = %agent.settings.me, slots = agent.settings.slots,
        chunks = agent.board().total(), "ready"
    );
    Ok(work(agent, now.wall).await)
}

/// That there is a job at all: settings, a list, or a plan.
async fn is_a_job(bucket: &JobBucket, seeded: bool) -> Result<(), StoreError> {
    if seeded || bucket.view(View::Tasklist).await?.is_some() || !bucket.segments_after(0).await?.is_empty() {
        return Ok(());
    }
    Err(StoreError {
        kind: StoreErrorKind::Unsupported,
        action: "reading",
        place: bucket.place(&bucket.keys.view(View::Tasklist)),
        detail: "there is no job: no tasklist.txt, no job.json, no plan. Seed it (dayfly seed), or put a tasklist.txt \
                 there, one input's name a line; or the prefix is mistyped"
            .to_owned(),
    })
}

/// The settings that hold: those frozen in the plan; before there is one, those of `job.json`; without it the defaults.
async fn agree(bucket: &JobBucket, seeded: Option<JobSettings>) -> Result<JobSettings, StoreError> {
    let first = bucket.segments_after(0).await?.into_iter().next();
    let Some(frozen) = first.and_then(|segment| segment.settings) else { return Ok(seeded.unwrap_or_default()) };
    let Some(seeded) = seeded else { return Ok(frozen) };
    let differences = frozen.differences(&seeded);
    if differences.is_empty() {
        return Ok(frozen);
    }
    Err(StoreError {
        kind: StoreErrorKind::Unsupported,
        action: "comparing",
        place: bucket.place(&bucket.keys.job()),
        detail: format!(
            "it was changed after the job began; the plan froze other values (frozen / now): {}. Put the frozen values \
             back, or seed a new job under another prefix",
            differences.join("; ")
        ),
    })
}

/// Makes sure that the store honours conditions, unless a check of this very store is on record.
async fn check_store(bucket: &JobBucket, parts: &Parts) -> Result<(), StoreError> {
    bucket.check_store(&parts.stores.endpoint(), &*parts.clock, &*parts.dice).await
}

async fn work(agent: Arc<Agent>, born: Timestamp) -> Ending {
    let mut slots = JoinSet::new();
    for index in 0..agent.settings.slots {
        slots.spawn(slot::run(Arc::clone(&agent), index));
    }
    let mut beside = JoinSet::new();
    beside.spawn(keeper::run(Arc::clone(&agent), born));
    beside.spawn(refresher::run(Arc::clone(&agent)));
    let stop = tokio::spawn(watch_stop(Arc::clone(&agent)));
    while let Some(ended) = slots.join_next().await {
        if let Err(error) = ended {
            // A defect; the others give their chunks back, and the lease of this one expires.
            agent.fail(format!("a slot stopped: {error}"));
        }
    }
    if agent.dirty.load(std::sync::atomic::Ordering::SeqCst)
        && !slot::is_cut_off(&agent, agent.now().at)
        && let Err(error) = refresher::refresh(&agent).await
    {
        tracing::warn!(%error, "the last refresh of the views; a later one covers it");
    }
    let drain = match &*agent.orders().borrow() {
        Orders::Drain { why, .. } => Some(why.clone()),
        _ => None,
    };
    agent.order(Orders::End);
    let ending = agent.tally().ending.take();
    let ending = ending.unwrap_or_else(|| match drain {
        Some(why) => Ending { exit: Exit::Drained, why: format!("{why}; claims were given back") },
        None => Ending { exit: Exit::Done, why: "nothing left to do".to_owned() },
    });
    tracing::info!(exit = ending.exit.code(), why = ending.why, "the agent ends");
    stop.abort();
    let farewell = async {
        agent.poll.lock().await.leave(&agent).await;
        // The keeper first: its last record must not land on top of the farewell.
        while beside.join_next().await.is_some() {}
        keeper::put_record(&agent, born, Some(&ending.why)).await;
        keeper::LogShip::last().ship(&agent, true).await;
    };
    tokio::select! {
        () = farewell => {}
        () = agent.parts.clock.sleep(FAREWELL) => tracing::warn!("the store does not answer; leaving without a farewell"),
    }
    ending
}

/// Turns a wish to stop into orders.
async fn watch_stop(agent: Arc<Agent>) {
    let mut stop = agent.parts.stop.clone();
    loop {
        let wish = match stop.wait_for(Option::is_some).await {
            Ok(wish) => wish.clone(),
            Err(_) => return,
        };
        if let Some(wish) = wish {
            tracing::info!(why = wish.why, "draining");
            let deadline: Moment = wish.deadline;
            agent.order(Orders::Drain { why: wish.why, deadline });
        }
        if stop.changed().await.is_err() {
            return;
        }
    }
}
