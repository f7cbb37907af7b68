//! From the settings to the first claim, and from the last tenure to the exit.

use std::sync::Arc;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::Segment;
use dayfly_shared::store::{StoreError, StoreErrorKind};
use tokio::task::JoinSet;

use super::agent::{Agent, Orders, Start};
use super::refresher::Refresher;
use super::{Ending, Parts, Settings, fleet, keeper, refresher, slot};

/// How long the record and the log are tried for at the end: the machine costs money.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(20);

/// Runs an agent from its start to its end.
///
/// # Errors
/// What kept it from its first claim: the text names the thing, what was left behind, and the fix.
pub async fn run(parts: Parts, settings: Settings) -> Result<Ending, StoreError> {
    let born = parts.clock.now().wall;
    let mut stop = parts.stop.clone();
    let agent = tokio::select! {
        biased;
        agent = start(parts, settings) => agent?,
        wish = async { stop.wait_for(Option::is_some).await.ok().and_then(|wish| wish.clone()) } => {
            let why = wish.map_or_else(|| "told to stop".to_owned(), |stop| stop.why);
            return Ok(Ending { exit: Exit::Drained, why: format!("{why}, before the first claim") });
        }
    };
    tracing::info!(
        job = %agent.bucket.location, agent = %agent.settings.me, slots = agent.settings.slots,
        chunks = agent.board().total(), "ready"
    );
    Ok(work(agent, born).await)
}

/// Makes everything ready for the first claim.
async fn start(parts: Parts, mut settings: Settings) -> Result<Arc<Agent>, StoreError> {
    let store = parts.stores.open(settings.job.bucket());
    let bucket = JobBucket::new(settings.job.clone(), store);
    // The list before the settings: whoever seeds writes them the other way round, so a list that is there has its
    // settings beside it.
    let mut first = bucket.segment(1).await?;
    if first.is_none() && bucket.view(View::Tasklist).await?.is_none() {
        return Err(no_job(&bucket));
    }
    let seeded = bucket.job_settings().await?;
    let mut job = agree(&bucket, seeded.as_ref(), first.as_ref())?;
    bucket.check_store(&parts.stores.endpoint(), &*parts.clock, &*parts.dice).await?;
    let (processor, refresher) = loop {
        let processor = (parts.processors)(&job);
        processor.prepare(&bucket).await.map_err(|failure| StoreError {
            kind: StoreErrorKind::Unsupported,
            action: "starting on",
            place: bucket.location.to_string(),
            detail: failure.to_string(),
        })?;
        let outputs = parts.stores.open(job.outputs(&bucket.location).bucket());
        let ports = (Arc::clone(&parts.clock), Arc::clone(&parts.dice));
        let mut refresher = Refresher::new(settings.me.clone(), job.clone(), bucket.clone(), outputs, ports);
        if first.is_none() {
            refresher.refresh(true).await?;
            first = bucket.segment(1).await?;
        }
        // The plan may be another agent's, from a moment ago: what it froze is what holds.
        let settled = agree(&bucket, seeded.as_ref(), first.as_ref())?;
        if settled == job {
            break (processor, refresher);
        }
        job = settled;
    };
    if !processor.is_program() {
        settings.slots = settings.streams;
    }
    let agent = Arc::new(Agent::new(parts, settings, Start { bucket, job, processor, refresher }));
    if let Some(first) = first {
        agent.add_segment(first).await?;
    }
    slot::new_segments(&agent).await?;
    Ok(agent)
}

fn no_job(bucket: &JobBucket) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Unsupported,
        action: "reading",
        place: bucket.place(&bucket.keys.view(View::Tasklist)),
        detail:
            "there is no job: no tasklist.txt and no plan. Seed it (dayfly seed), or put a tasklist.txt there, one \
                 input's name a line; or the prefix is mistyped"
                .to_owned(),
    }
}

/// The settings that hold: those frozen in the plan; before there is one, those of `job.json`; without it the defaults.
fn agree(bucket: &JobBucket, seeded: Option<&JobSettings>, first: Option<&Segment>) -> Result<JobSettings, StoreError> {
    let Some(frozen) = first.and_then(|segment| segment.settings.clone()) else {
        return Ok(seeded.cloned().unwrap_or_default());
    };
    let Some(seeded) = seeded else { return Ok(frozen) };
    let differences = frozen.differences(seeded);
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

async fn work(agent: Arc<Agent>, born: Timestamp) -> Ending {
    // Before the first claim: nothing is begun on a job that is paused or cancelled.
    keeper::read_control(&agent).await;
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
    let drain = match agent.orders().see() {
        Orders::Drain { why, .. } => Some(why),
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
        if !slot::is_cut_off(&agent, agent.now().at) {
            refresher::refresh_small(&agent).await;
        }
        agent.poll.lock().await.leave(&agent).await;
        if ending.exit == Exit::Done {
            fleet::shut_off_at_last(&agent).await;
        }
        // The keeper first: its last record must not land on top of the farewell.
        while beside.join_next().await.is_some() {}
        keeper::put_record(&agent, born, Some(&ending.why)).await;
        keeper::LogShip::last().ship(&agent, true).await;
    };
    tokio::select! {
        biased;
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
