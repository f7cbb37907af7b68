//! One slot: finds a chunk, works on it, finds the next; and decides what to do when there is none.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use dayfly_shared::bucket::age;
use dayfly_shared::claim::{Candidate, Idle, Prior, TenureOver, Verdict};
use dayfly_shared::clock::Moment;
use dayfly_shared::ids::{AgentId, ChunkId, Nonce};
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{LeaseState, Semaphore, TaskOutcome};
use dayfly_shared::store::{Result, StoreErrorKind};

use super::agent::{Agent, LastVerdict, Orders};
use super::relay::Relay;
use super::watched::Watcher;
use super::{closing, fleet, refresher};

/// What a search came to.
enum Choice {
    Claim(ChunkId, Option<Box<Prior>>),
    Nothing(Verdict),
}

/// A verdict older than this is looked at again before anything is decided on it.
const VERDICT_FRESH: Duration = Duration::from_millis(500);

/// The wait before the second look of a slot that found nothing; it doubles from look to look.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// First claims are spread over no more than this: by then the agents of a large fleet are up at times of their own.
const SPREAD_MOST: Duration = Duration::from_secs(3);

/// Works until there are orders to end.
pub async fn run(agent: Arc<Agent>) {
    let mut orders = agent.orders();
    let mut relay = Relay::default();
    let spread = agent.settings.boot_spread.saturating_mul(agent.job.agents.saturating_sub(1)).min(SPREAD_MOST);
    let spread = agent.parts.dice.up_to(spread);
    wait_or_orders(&agent, &mut orders, spread).await;
    let mut first = true;
    loop {
        let standing = orders.see();
        match standing {
            Orders::Work => {}
            Orders::Pause(_) => {
                orders.changed().await;
                continue;
            }
            Orders::Drain { .. } | Orders::Halt | Orders::End => return relay.end(&agent).await,
        }
        // From before the search: a change while it goes on must not be slept through.
        let mut changes = agent.changes();
        // A store that does not answer must not keep an agent from its end.
        let mut end = agent.orders();
        let choice = tokio::select! {
            biased;
            choice = choose(&agent, std::mem::take(&mut first)) => choice,
            _ = end.wait_for(Orders::is_end) => continue,
        };
        match choice {
            Ok(Choice::Claim(chunk, prior)) => {
                // Who works does not wait: the seat is for somebody who can take this very chunk over. (Where another slot
                // has the seat in hand, that one sees to it.)
                if let Ok(mut seat) = agent.poll.try_lock() {
                    seat.leave(&agent).await;
                }
                relay.run(&agent, chunk, prior).await;
            }
            Ok(Choice::Nothing(verdict)) => tokio::select! {
                biased;
                () = idle(&agent, verdict, &mut orders, &mut changes) => {}
                _ = end.wait_for(Orders::is_end) => {}
            },
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "looking for work");
                agent.board().forget_search();
                wait_or_orders(&agent, &mut orders, agent.parts.dice.up_to(Duration::from_secs(5))).await;
            }
            Err(error) => agent.fail(error.to_string()),
        }
    }
}

async fn wait_or_orders(agent: &Agent, orders: &mut Watcher<Orders>, wait: Duration) {
    tokio::select! {
        biased;
        () = agent.parts.clock.sleep(wait) => {}
        () = orders.changed() => orders.mark_changed(),
    }
}

async fn choose(agent: &Agent, first: bool) -> Result<Choice> {
    let (asked, changes) = (agent.now().at, agent.change_count());
    let mut last = agent.search.lock().await;
    if let Some(known) = &*last
        && known.began >= asked
        && known.changes == changes
    {
        return Ok(Choice::Nothing(known.verdict));
    }
    let began = agent.now().at;
    let mut first = first;
    loop {
        let draw = agent.parts.dice.next_u64();
        let now = agent.now().at;
        let first_choice = if std::mem::take(&mut first) { agent.board().first_choice(draw) } else { None };
        let candidate = match first_choice {
            Some(chunk) => Candidate::Open(chunk),
            None => agent.board().next(draw, now),
        };
        match candidate {
            Candidate::Open(chunk) => return Ok(begin(agent, chunk, None)),
            Candidate::Take(chunk, prior) => return Ok(begin(agent, chunk, Some(prior))),
            Candidate::Look(chunk) => {
                let found = look(agent, chunk).await?;
                agent.board().on_look(chunk, found, agent.now().at);
            }
            Candidate::List(chunk) => {
                let page = agent.bucket.coverage(chunk).await?;
                agent.board().on_page(&page, agent.now().at);
            }
            Candidate::None(verdict) => {
                *last = Some(LastVerdict { began, changes, verdict });
                return Ok(Choice::Nothing(verdict));
            }
        }
        agent.note_answer();
    }
}

fn begin(agent: &Agent, chunk: ChunkId, prior: Option<Box<Prior>>) -> Choice {
    agent.board().begin(chunk);
    agent.tally().active += 1;
    agent.idle_looks.store(0, SeqCst);
    Choice::Claim(chunk, prior)
}

type Seen = (Semaphore, dayfly_shared::store::ETag, Option<Duration>);

async fn look(agent: &Agent, chunk: ChunkId) -> Result<Option<Seen>> {
    let key = agent.plan.semaphore_key(chunk);
    match agent.bucket.semaphore(&key).await {
        Ok(found) => Ok(found.map(|(record, meta)| (record, meta.etag, age(meta.served, meta.modified)))),
        // Somebody's own text under a semaphore's name: a holder that never renews. It expires like any other.
        Err(error) if error.kind == StoreErrorKind::BadRecord => {
            tracing::warn!(%error, "a semaphore that is none");
            let meta = agent.bucket.store().head(&key).await?;
            Ok(meta.map(|meta| (unreadable(agent), meta.etag, age(meta.served, meta.modified))))
        }
        Err(error) => Err(error),
    }
}

fn unreadable(agent: &Agent) -> Semaphore {
    Semaphore {
        schema: SCHEMA,
        agent: AgentId::of("unknown", Nonce(0)),
        tenure: Nonce(0),
        write: 0,
        epoch: 1,
        ttl_seconds: agent.job.lease_ttl_seconds,
        state: LeaseState::Held,
        since: agent.now().wall,
        name: None,
        decided: 0,
        running: None,
        attempts: Vec::new(),
        losses: 0,
        tenures: Vec::new(),
    }
}

/// Notes how a tenure ended.
pub fn settle(agent: &Agent, chunk: ChunkId, over: TenureOver) {
    let now = agent.now().at;
    agent.board().settle(chunk, &over, now);
    match over {
        TenureOver::Closed(result) => {
            let failed = |r: &dayfly_shared::records::TaskResult| matches!(r.outcome, TaskOutcome::Failed { .. });
            let failed = result.tasks.iter().filter(|r| failed(r)).count() as u64;
            let mut tally = agent.tally();
            tally.failed += failed;
            tally.done += result.tasks.len() as u64 - failed;
            drop(tally);
            agent.mark_dirty();
        }
        TenureOver::Broken(why) => agent.fail(why),
        TenureOver::NotOurs | TenureOver::Lost | TenureOver::Released | TenureOver::AlreadyClosed => {}
    }
    agent.tally().active -= 1;
    agent.note_change();
}

/// There is nothing to claim: waits until there may be, or ends the agent if this is its last slot at work.
async fn idle(agent: &Arc<Agent>, verdict: Verdict, orders: &mut Watcher<Orders>, changes: &mut Watcher<u64>) {
    let at = agent.now().at;
    // One idle slot watches for all; the others sleep until it, or a slot that finishes, wakes them.
    let mut seat = tokio::select! {
        biased;
        seat = agent.poll.lock() => seat,
        () = changes.changed() => return,
        () = orders.changed() => return orders.mark_changed(),
    };
    if agent.now().at.since(at) > VERDICT_FRESH {
        return;
    }
    // Nothing is decided on a plan that could not be read.
    let knows_the_plan = match new_segments(agent).await {
        Ok(true) => return agent.note_change(),
        Ok(false) => true,
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "looking for new lines");
            false
        }
        Err(error) => return agent.fail(error.to_string()),
    };
    let next = verdict.idle(agent.tally().active > 0);
    // The end of a small job comes soon, so the first looks follow each other closely, the closer the fewer pages one
    // takes; then each heartbeat.
    let looks = agent.idle_looks.fetch_add(1, SeqCst).min(16);
    let first = FIRST_LOOK.saturating_mul((agent.board().total() / 1000).max(1));
    let mut wait = first.saturating_mul(1 << looks).min(agent.policy.heartbeat());
    if let Some(again) = verdict.look_again {
        // A moment more than the lease's end, so that this look finds it expired.
        wait = wait.min(again.since(agent.now().at) + Duration::from_millis(50));
    }
    if next != Idle::LookAgain && knows_the_plan {
        fleet::shut_off(agent).await;
    }
    let closing = match next {
        Idle::LookAgain => {
            seat.leave(agent).await;
            closing::Next::Wait
        }
        Idle::Finish | Idle::StandBy if !knows_the_plan => closing::Next::Wait,
        Idle::Finish => closing::all_closed(agent).await,
        Idle::StandBy => closing::others_work(agent, &mut seat).await,
    };
    if let closing::Next::End(ending) = closing {
        let _no_search = agent.search.lock().await;
        // A refresh under way may be planning a segment.
        let _no_refresh = agent.refresher.lock().await;
        // A segment that was planned on the way here was not searched yet; one more refresh may plan another.
        let news = changes.has_changed() || refresher::is_behind(agent);
        if agent.tally().active == 0 && !news {
            agent.decide(ending.exit, ending.why);
            agent.order(Orders::End);
            return;
        }
    }
    if let Some(due) = seat.due() {
        wait = wait.min(due.since(agent.now().at));
    }
    tokio::select! {
        biased;
        () = agent.parts.clock.sleep(wait) => {}
        () = changes.changed() => {}
        () = orders.changed() => orders.mark_changed(),
    }
    if next != Idle::LookAgain {
        seat.keep(agent).await;
    }
}

/// Takes in segments that others made. Whether there were any.
pub async fn new_segments(agent: &Agent) -> Result<bool> {
    let mut new = false;
    // One read of an object that is not there is a twelfth of the price of a listing.
    loop {
        let next = agent.board().segments() + 1;
        let Some(segment) = agent.bucket.segment(next).await? else { break };
        new |= agent.add_segment(segment).await?;
    }
    agent.note_answer();
    Ok(new)
}

/// Whether nothing has been heard of the store for so long that going on is a waste.
pub fn is_cut_off(agent: &Agent, now: Moment) -> bool {
    now.since(agent.tally().answered) > agent.settings.give_up_after
}
