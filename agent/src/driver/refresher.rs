//! Refreshes the views: on every closed chunk in a small job, less often in a large one, and at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use dayfly_shared::bucket::{JobBucket, existing_outputs};
use dayfly_shared::clock::Clock;
use dayfly_shared::ids::AgentId;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{ETag, Outcome, Result, Store, StoreError, StoreErrorKind};
use dayfly_shared::views::{Refresh, RefreshAsk, RefreshOver, RefreshReply, SMALL_JOB, refresh_interval};

use super::agent::{Agent, Orders};

/// How often one refresh starts over before it is left to a later one: with 15 updates a second at best, a fleet that
/// contends harder than this does better to wait.
const ROUNDS: u32 = 20;

/// Between two refreshes of one agent: a person who watches sees no more than ten states a second, and what closes
/// meanwhile is in the next one.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The views' refresher of one agent.
pub struct Refresher {
    machine: Refresh,
    bucket: JobBucket,
    outputs: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
}

impl Refresher {
    pub fn new(
        me: AgentId,
        job: JobSettings,
        bucket: JobBucket,
        outputs: Arc<dyn Store>,
        (clock, dice): (Arc<dyn Clock>, Arc<dyn Dice>),
    ) -> Self {
        Self { machine: Refresh::new(me, bucket.location.clone(), job), bucket, outputs, clock, dice }
    }

    /// What it knows of the job.
    pub fn ledger(&self) -> &dayfly_shared::views::Ledger {
        &self.machine.ledger
    }

    /// Plans every line of `tasklist.txt` that is not planned; unless `plan_only`, brings the views up to date.
    ///
    /// # Errors
    /// A store that refuses, or views that others kept changing throughout (transient).
    pub async fn refresh(&mut self, plan_only: bool) -> Result<RefreshOver> {
        let mut ask = self.machine.begin(plan_only);
        let mut rounds = 0;
        let mut wait = Duration::from_millis(20);
        let mut refused = false;
        loop {
            if ask == RefreshAsk::ReadViews || refused {
                rounds += 1;
                if rounds > ROUNDS {
                    return Err(StoreError {
                        kind: StoreErrorKind::Transient,
                        action: "s3:PutObject",
                        place: self.bucket.place(&self.bucket.keys.view(View::Tasklist)),
                        detail: format!(
                            "views or plan could not be written {ROUNDS} times in a row, as others wrote them or the store did \
                                 not answer; left to a later refresh"
                        ),
                    });
                }
                if rounds > 1 {
                    self.clock.sleep(self.dice.up_to(wait)).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
            let reply = self.answer(ask).await?;
            refused = matches!(reply, RefreshReply::Rejected | RefreshReply::Unknown);
            match self.machine.on(reply, self.clock.now()) {
                Some(next) => ask = next,
                None => break,
            }
        }
        let over = self.machine.take_outcome();
        Ok(over.unwrap_or(RefreshOver { job_over: false, tasks: 0, view_bytes: 0, trimmed: Vec::new() }))
    }

    async fn answer(&self, ask: RefreshAsk) -> Result<RefreshReply> {
        Ok(match ask {
            RefreshAsk::ReadViews => RefreshReply::Views(self.bucket.views().await?),
            RefreshAsk::Survey => RefreshReply::Surveyed(Box::new(self.bucket.survey(&self.machine.ledger).await?)),
            RefreshAsk::CheckOutputs(names) => {
                let settings = self.machine.ledger.settings().cloned().unwrap_or_default();
                let outputs = existing_outputs(&*self.outputs, &settings, &self.bucket.location, names).await?;
                RefreshReply::Outputs(outputs)
            }
            RefreshAsk::PutText(number, text) => written(self.bucket.put_segment_text(number, text).await?),
            RefreshAsk::PutSegment(segment) => {
                tracing::info!(segment = segment.segment, tasks = segment.tasks, "planning");
                written(self.bucket.put_segment(&segment).await?)
            }
            RefreshAsk::PutView(view, text, condition) => written(self.bucket.put_view(view, text, &condition).await?),
        })
    }
}

fn written(outcome: Outcome<ETag>) -> RefreshReply {
    match outcome {
        Outcome::Applied(etag) => RefreshReply::Applied(etag),
        Outcome::Rejected(_) => RefreshReply::Rejected,
        Outcome::Unknown(_) => RefreshReply::Unknown,
    }
}

/// Refreshes whenever the views are behind, until there are orders to end.
pub async fn run(agent: Arc<Agent>) {
    let mut orders = agent.orders();
    let first = refresh_interval(agent.board().tasks(), agent.job.agents, 0);
    // In a large fleet the first chunks close together; their refreshes should not.
    let mut next = agent.now().at.after(agent.parts.dice.up_to(first));
    loop {
        let wait = next.since(agent.now().at);
        tokio::select! {
            biased;
            () = agent.refresh.notified() => {}
            _ = orders.wait_for(|o| matches!(o, Orders::End)) => return,
        }
        tokio::select! {
            biased;
            () = agent.parts.clock.sleep(wait) => {}
            _ = orders.wait_for(|o| matches!(o, Orders::End)) => return,
        }
        match refresh(&agent).await {
            Ok(over) => {
                let interval = refresh_interval(over.tasks, agent.job.agents, over.view_bytes).max(LEAST_INTERVAL);
                next = agent.now().at.after(interval + agent.parts.dice.up_to(interval / 2));
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "refreshing the views");
                next = agent.now().at.after(first + agent.parts.dice.up_to(Duration::from_secs(5)));
                agent.mark_dirty();
            }
            Err(error) => return agent.fail(error.to_string()),
        }
    }
}

/// Whether the views of a small job want a refresh before an agent leaves others at work: there people watch; in a large
/// one another refresh comes soon.
pub fn is_behind(agent: &Agent) -> bool {
    u64::from(agent.board().total()) <= SMALL_JOB && agent.dirty.load(SeqCst)
}

/// Before an agent leaves others at work.
pub async fn refresh_small(agent: &Agent) {
    if is_behind(agent)
        && let Err(error) = refresh(agent).await
    {
        tracing::warn!(%error, "the last refresh of the views; a later one covers it");
    }
}

/// Whether the views were behind before a refresh; says so again if the refresh does not go through.
struct Behind<'a>(&'a Agent, bool);

impl Behind<'_> {
    fn caught_up(mut self) {
        self.1 = false;
    }
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.dirty.store(true, SeqCst);
        }
    }
}

/// One refresh; takes in the segments that it found or made.
///
/// # Errors
/// A store that refuses.
pub async fn refresh(agent: &Agent) -> Result<RefreshOver> {
    let mut refresher = agent.refresher.lock().await;
    // Behind again unless this one goes through: it may fail, or be dropped on the way.
    let behind = Behind(agent, agent.dirty.swap(false, SeqCst));
    let over = refresher.refresh(false).await?;
    behind.caught_up();
    agent.note_answer();
    for name in &over.trimmed {
        tracing::warn!(name, "a line of tasklist.txt names a task whose output stands; it was taken out");
    }
    let mut new = false;
    let known = agent.board().segments() as usize;
    for planned in refresher.ledger().segments().iter().skip(known) {
        new |= agent.add_segment(planned.segment.clone()).await?;
    }
    // Before the refresher is free for who waits for it to see what it found.
    if new {
        agent.note_change();
    }
    drop(refresher);
    Ok(over)
}
