//! The end: what the last idle slot of an agent does when there is nothing to claim.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::backoff::Backoff;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::console;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::keys::View;
use dayfly_shared::notice::{Notice, Teller, Telling};
use dayfly_shared::records::{AgentState, Summary};
use dayfly_shared::store::{Condition, ETag, Entry, Outcome, Rejection, Result};
use dayfly_shared::views::{Ledger, Totals};

use super::Ending;
use super::agent::Agent;
use super::refresher;
use super::seat::{Seat, Take};

/// What comes next.
pub enum Next {
    /// Nothing yet.
    Wait,
    /// The agent's work is over, and so it ends.
    End(Ending),
}

/// How often the last writes are tried before the agent looks at the job again: some seconds of a store that does not answer.
const TRIES: u32 = 6;

/// Every chunk known is closed: the job is over if a refresh finds no unknown line.
pub async fn all_closed(agent: &Arc<Agent>) -> Next {
    let lingering = agent.tally().state == Some(AgentState::Lingering);
    if lingering && list_version(agent).await == *agent.lingering_at.lock().await {
        return Next::Wait;
    }
    match finish(agent).await {
        // Nothing to search for unless a segment is new; whoever took it in has said so.
        Ok(None) => Next::Wait,
        Ok(Some(failed)) if agent.settings.linger => {
            let before = agent.tally().state.replace(AgentState::Lingering);
            if before != Some(AgentState::Lingering) {
                tracing::info!(failed, "the job is over; lingering");
            }
            *agent.lingering_at.lock().await = list_version(agent).await;
            Next::Wait
        }
        Ok(Some(failed)) => {
            let why = match failed {
                0 => "the job is over".to_owned(),
                n => format!("the job is over; tasks given up: {n}"),
            };
            Next::End(Ending { exit: Exit::Done, why })
        }
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "closing the job");
            Next::Wait
        }
        Err(error) => {
            agent.fail(error.to_string());
            Next::Wait
        }
    }
}

/// Others hold what is left: waits on a standby seat if one is free, else ends.
pub async fn others_work(agent: &Arc<Agent>, seat: &mut Seat) -> Next {
    refresher::refresh_small(agent).await;
    match seat.take(agent).await {
        Take::Held => {
            agent.tally().state = Some(AgentState::Standby);
            return Next::Wait;
        }
        Take::Doubtful => return Next::Wait,
        Take::Taken if agent.settings.linger => {
            agent.tally().state = Some(AgentState::Lingering);
            return Next::Wait;
        }
        Take::Taken => {}
    }
    let why = "no chunk is free, and enough agents wait for what the others may leave".to_owned();
    Next::End(Ending { exit: Exit::Done, why })
}

/// The version of `tasklist.txt`, as far as a head tells; a lingering agent looks no further while it is the same.
async fn list_version(agent: &Agent) -> Option<(ETag, Option<Timestamp>)> {
    let key = agent.bucket.keys.view(View::Tasklist);
    agent.bucket.store().head(&key).await.ok().flatten().map(|meta| (meta.etag, meta.modified))
}

/// Refreshes the views and, if the job is over, sweeps semaphores whose result stands and writes the summary. How many
/// tasks were given up; `None`: it is not over.
async fn finish(agent: &Agent) -> Result<Option<u64>> {
    let over = refresher::refresh(agent).await?;
    if !over.job_over || !agent.board().all_closed() {
        return Ok(None);
    }
    for (chunk, entry) in agent.bucket.semaphores().await? {
        if agent.board().is_closed(chunk) {
            sweep(agent, &entry).await?;
        }
    }
    let segments = agent.board().segments();
    let standing = agent.bucket.summary().await.ok().flatten();
    let (tasks, failed) = {
        let refresher = agent.refresher.lock().await;
        let totals = refresher.ledger().totals();
        (totals.tasks, totals.failed)
    };
    if let Some(standing) = standing.filter(|s| (s.segments, s.tasks, s.failed) == (segments, tasks, failed)) {
        return Ok(is_told(agent, &standing).await?.then_some(failed));
    }
    // The figures are in the results' bodies: read once, by those who see the end.
    let mut ledger = Ledger::default();
    agent.bucket.catch_up(&mut ledger).await?;
    if ledger.segment_count() != segments {
        // Planned since the refresh: the job goes on.
        return Ok(None);
    }
    let totals = Totals { failed, done: tasks - failed, ..ledger.totals() };
    let summary = Summary {
        schema: SCHEMA,
        job: agent.bucket.location.to_string(),
        segments,
        tasks: totals.tasks,
        done: totals.done,
        failed: totals.failed,
        bytes: totals.bytes,
        attempts: totals.attempts,
        usage: totals.usage,
        first: totals.first,
        last: totals.last,
        by: agent.settings.me.clone(),
        at: agent.now().wall,
        cost: None,
    };
    Ok((put_summary(agent, &summary).await? && is_told(agent, &summary).await?).then_some(failed))
}

/// Deletes a semaphore whose result stands. One that nobody answers for stays: a later sweep finds it.
async fn sweep(agent: &Agent, entry: &Entry) -> Result<()> {
    let mut backoff = Backoff::default();
    for _ in 0..TRIES {
        match agent.bucket.store().delete(&entry.key, Some(&entry.etag)).await? {
            Outcome::Unknown(_) | Outcome::Rejected(Rejection::Conflict) => {
                agent.parts.clock.sleep(backoff.next(&*agent.parts.dice)).await;
            }
            Outcome::Applied(()) | Outcome::Rejected(_) => break,
        }
    }
    Ok(())
}

/// Writes the summary. Whether it stands, by whomever.
async fn put_summary(agent: &Agent, summary: &Summary) -> Result<bool> {
    let key = agent.bucket.keys.summary();
    let mut backoff = Backoff::default();
    for _ in 0..TRIES {
        let standing = agent.bucket.store().head(&key).await?;
        // Another agent's of this very end is not written over.
        if standing.is_some() && agent.bucket.summary().await.ok().flatten().is_some_and(|s| says_the_same(&s, summary))
        {
            return Ok(true);
        }
        let condition = standing.map_or(Condition::Create, |meta| Condition::Update(meta.etag));
        if matches!(agent.bucket.put_json(&key, summary, &condition).await?, Outcome::Applied(_)) {
            return Ok(true);
        }
        agent.parts.clock.sleep(backoff.next(&*agent.parts.dice)).await;
        if agent.bucket.summary().await.ok().flatten().is_some_and(|s| says_the_same(&s, summary)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells that the job is over, unless that is told. Whether this agent may end: not while another is about to tell, as that
/// one may die.
async fn is_told(agent: &Agent, summary: &Summary) -> Result<bool> {
    let mut to = [&agent.job.notify[..], &agent.settings.notify].concat();
    to.sort();
    to.dedup();
    let Some(herald) = agent.parts.herald.clone().filter(|_| !to.is_empty()) else { return Ok(true) };
    let place = agent.job.outputs(&agent.bucket.location);
    let console = agent.parts.stores.region().and_then(|region| console::link(place, region));
    let teller = Teller {
        herald,
        me: agent.settings.me.to_string(),
        after: Duration::ZERO,
        clock: Arc::clone(&agent.parts.clock),
        dice: Arc::clone(&agent.parts.dice),
    };
    Ok(teller.tell(&agent.bucket, &to, &Notice::new(summary, console)).await? != Telling::UnderWay)
}

/// Whether two summaries are of the same end.
fn says_the_same(one: &Summary, other: &Summary) -> bool {
    (one.segments, one.tasks, one.failed) == (other.segments, other.tasks, other.failed)
}
