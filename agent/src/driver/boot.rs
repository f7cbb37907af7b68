//! From the settings to the first claim, and from the last tenure to the exit.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::Segment;
use dayfly_shared::store::{Result, StoreError, StoreErrorKind};
use futures::{join, try_join};
use tokio::task::JoinSet;

use super::agent::{Agent, Orders, Start};
use super::first_look::FirstLook;
use super::refresher::Refresher;
use super::{Ending, Parts, Settings, fleet, keeper, refresher, slot};
use crate::processor::Processor;

/// How long the record and the log are tried for at the end: the machine costs money.
const FAREWELL: Duration = Duration::from_secs(20);

/// What `control.json` said is believed for so long before the first claim: a processor may take minutes to make ready.
const CONTROL_FRESH: Duration = Duration::from_secs(1);

/// Runs an agent from its start to its end; `look`: what it has seen of its job already.
///
/// # Errors
/// What kept it from its first claim: the text names the thing, what was left behind, and the fix.
pub async fn run(parts: Parts, settings: Settings, look: Option<FirstLook>) -> Result<Ending> {
    let born = parts.clock.now().wall;
    let mut stop = parts.stop.clone();
    let agent = tokio::select! {
        biased;
        agent = start(parts, settings, look) => agent?,
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

/// Makes everything ready for the first claim. What does not depend on each other is asked for at once.
async fn start(parts: Parts, mut settings: Settings, look: Option<FirstLook>) -> Result<Arc<Agent>> {
    let bucket = JobBucket::new(settings.job.clone(), parts.stores.open(settings.job.bucket()));
    let endpoint = parts.stores.endpoint();
    let look = match look {
        Some(look) => look,
        None => FirstLook::take(&bucket, &endpoint, parts.clock.now().at).await?,
    };
    if !look.exists {
        return Err(no_job(&bucket));
    }
    let seeded = look.seeded?;
    let job = agree(&bucket, seeded.as_ref(), look.first.as_ref())?;
    if !look.checked {
        bucket.check_store(&endpoint, &*parts.clock, &*parts.dice).await?;
    }
    let agent = match look.first {
        Some(first) => {
            let begun = begin(&parts, &settings, &bucket, job);
            settings.slots = slots(&settings, &begun, first.chunks.len());
            let agent = Arc::new(Agent::new(parts, settings, begun));
            try_join!(prepare(&*agent.processor, &bucket), take_in(&agent, first))?;
            agent
        }
        None => {
            let (begun, segments) = plan(&parts, &settings, &bucket, seeded.as_ref(), job).await?;
            settings.slots = slots(&settings, &begun, segments.iter().map(|segment| segment.chunks.len()).sum());
            let agent = Arc::new(Agent::new(parts, settings, begun));
            for segment in segments {
                agent.add_segment(segment).await?;
            }
            agent
        }
    };
    // Nothing is begun on a job that is paused or cancelled.
    match agent.now().at.since(look.at) <= CONTROL_FRESH {
        true => keeper::obey(&agent, look.control),
        false => keeper::read_control(&agent).await,
    }
    Ok(agent)
}

fn begin(parts: &Parts, settings: &Settings, bucket: &JobBucket, job: JobSettings) -> Start {
    let processor = (parts.processors)(&job);
    let outputs = parts.stores.open(job.outputs(&bucket.location).bucket());
    let ports = (Arc::clone(&parts.clock), Arc::clone(&parts.dice));
    let refresher = Refresher::new(settings.me.clone(), job.clone(), bucket.clone(), outputs, ports);
    Start { bucket: bucket.clone(), job, processor, refresher }
}

async fn prepare(processor: &dyn Processor, bucket: &JobBucket) -> Result<()> {
    processor.prepare(bucket).await.map_err(|failure| StoreError {
        kind: StoreErrorKind::Unsupported,
        action: "starting on",
        place: bucket.location.to_string(),
        detail: failure.to_string(),
    })
}

/// Tasks at once. A built-in processor has more of them than there are cores, but no more than this agent's share of the
/// chunks: what one agent holds and has not begun to read, another could be working on.
fn slots(settings: &Settings, begun: &Start, chunks: usize) -> u32 {
    match begun.processor.is_program() {
        true => settings.slots,
        // What comes is not known yet.
        false if settings.linger => settings.streams,
        false => streams(settings.slots..settings.streams, chunks, begun.job.agents),
    }
}

/// Of these numbers, the one that is nearest to an agent's share of the chunks.
fn streams(range: Range<u32>, chunks: usize, agents: u32) -> u32 {
    let share = u32::try_from(chunks).unwrap_or(u32::MAX).div_ceil(agents.max(1));
    range.end.min(share.max(range.start))
}

/// Takes in the first segment, and those after it.
async fn take_in(agent: &Agent, first: Segment) -> Result<()> {
    let (taken, second) = join!(agent.add_segment(first), agent.bucket.segment(2));
    taken?;
    if let Some(second) = second? {
        agent.add_segment(second).await?;
        slot::new_segments(agent).await?;
    }
    agent.note_answer();
    Ok(())
}

/// Plans the lines of the list with a processor that is ready; what is planned then, by whomever.
async fn plan(
    parts: &Parts,
    settings: &Settings,
    bucket: &JobBucket,
    seeded: Option<&JobSettings>,
    mut job: JobSettings,
) -> Result<(Start, Vec<Segment>)> {
    loop {
        let mut begun = begin(parts, settings, bucket, job);
        prepare(&*begun.processor, bucket).await?;
        begun.refresher.refresh(true).await?;
        let planned = begun.refresher.ledger().segments();
        let segments: Vec<Segment> = planned.iter().map(|planned| planned.segment.clone()).collect();
        // The plan may be another agent's, from a moment ago: what it froze is what holds.
        let settled = agree(bucket, seeded, segments.first())?;
        if settled == begun.job {
            return Ok((begun, segments));
        }
        job = settled;
    }
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
fn agree(bucket: &JobBucket, seeded: Option<&JobSettings>, first: Option<&Segment>) -> Result<JobSettings> {
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
    let mut slots = JoinSet::new();
    for _ in 0..agent.settings.slots {
        slots.spawn(slot::run(Arc::clone(&agent)));
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

#[cfg(test)]
mod tests {
    use super::streams;

    #[test]
    fn no_agent_takes_more_than_its_share() {
        // Two cores; ten tasks on three agents, then on one, then two tasks, then plenty.
        for (chunks, agents, wanted) in [(10, 3, 4), (10, 1, 8), (2, 2, 2), (1300, 100, 8), (0, 0, 2)] {
            assert_eq!(streams(2..8, chunks, agents), wanted, "{chunks} chunks, {agents} agents");
        }
        assert_eq!(streams(3..3, 100, 1), 3, "--slots 3 is three");
    }
}
