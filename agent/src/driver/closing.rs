//! The end: what the last idle slot of an agent does when there is nothing to claim.

use std::sync::Arc;

use dayfly_shared::exit::Exit;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{AgentState, Summary};
use dayfly_shared::store::{Condition, Outcome, Result};
use std::sync::atomic::Ordering::SeqCst;

use super::agent::Agent;
use super::refresher;
use super::seat::Seat;

/// What comes next.
pub enum Next {
    /// There may be something to claim.
    Search,
    /// Nothing yet.
    Wait,
    /// The agent's work is over.
    End,
}

/// How often a summary is tried: it is a view, and whoever wins writes the same figures.
const SUMMARY_TRIES: u32 = 5;

/// Every chunk known is closed: the job is over if a refresh finds no unknown line.
pub async fn all_closed(agent: &Arc<Agent>) -> Next {
    match finish(agent).await {
        Ok(None) => Next::Search,
        Ok(Some(failed)) if agent.settings.linger => {
            let mut tally = agent.tally();
            if tally.state != Some(AgentState::Lingering) {
                tracing::info!(failed, "the job is over; lingering");
            }
            tally.state = Some(AgentState::Lingering);
            Next::Wait
        }
        Ok(Some(failed)) => {
            let why = match failed {
                0 => "the job is over".to_owned(),
                n => format!("the job is over; {n} of its tasks were given up"),
            };
            agent.decide(Exit::Done, why);
            Next::End
        }
        Err(error) if error.is_transient() => {
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
    if agent.dirty.load(SeqCst)
        && let Err(error) = refresher::refresh(agent).await
    {
        tracing::warn!(%error, "refreshing the views");
    }
    if seat.take(agent).await || agent.settings.linger {
        agent.tally().state = Some(AgentState::Standby);
        return Next::Wait;
    }
    agent.decide(Exit::Done, "no chunk is free, and enough agents wait for what the others may leave");
    Next::End
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
            agent.bucket.store().delete(&entry.key, Some(&entry.etag)).await?;
        }
    }
    let refresher = agent.refresher.lock().await;
    let totals = refresher.ledger().totals();
    let segments = refresher.ledger().segment_count();
    drop(refresher);
    let summary = Summary {
        schema: SCHEMA,
        job: agent.bucket.location.to_string(),
        segments,
        tasks: totals.tasks,
        done: totals.done,
        failed: totals.failed,
        bytes: totals.bytes,
        attempts: totals.attempts,
        first: totals.first,
        last: totals.last,
        by: agent.settings.me.clone(),
        at: agent.now().wall,
    };
    let key = agent.bucket.keys.summary();
    for _ in 0..SUMMARY_TRIES {
        let standing = agent.bucket.store().head(&key).await?;
        if standing.is_some() && same_figures(agent.bucket.summary().await?.as_ref(), &summary) {
            break;
        }
        let condition = standing.map_or(Condition::Create, |meta| Condition::Update(meta.etag));
        if matches!(agent.bucket.put_json(&key, &summary, &condition).await?, Outcome::Applied(_)) {
            break;
        }
    }
    Ok(Some(totals.failed))
}

fn same_figures(one: Option<&Summary>, other: &Summary) -> bool {
    one.is_some_and(|one| Summary { by: other.by.clone(), at: other.at, ..one.clone() } == *other)
}
